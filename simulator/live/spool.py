"""The records a gateway holds, on disk: appended at one end, read anywhere, flat in memory."""

from __future__ import annotations

import os
import tempfile

import numpy as np

from ifd.records import MBO_DTYPE, MboArray


class Spool:
    """An append-only list of records of one size in an unnamed temporary file.

    The file has no name, so the system takes it back even when the process is killed.
    """

    def __init__(self, dtype: np.dtype[np.void] = MBO_DTYPE) -> None:
        self.dtype = dtype
        self._file = tempfile.TemporaryFile(prefix="ifd-spool-", buffering=0)  # noqa: SIM115 - lives as long as the spool
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, records: MboArray) -> None:
        """Add records at the end."""
        octets = memoryview(records.tobytes())
        position = self._length * self.dtype.itemsize
        while octets:
            written = os.pwrite(self._file.fileno(), octets, position)
            octets = octets[written:]
            position += written
        self._length += len(records)

    def read(self, start: int, stop: int) -> MboArray:
        """Return the records `start` to `stop` (exclusive), fewer where there are no more."""
        count = max(min(stop, self._length) - start, 0)
        size = self.dtype.itemsize
        octets = os.pread(self._file.fileno(), count * size, start * size)
        return np.frombuffer(octets, dtype=self.dtype)

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()
