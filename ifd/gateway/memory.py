"""The memory of a ring, and the two pipes by which its sides wake each other.

Made by one process and inherited by another; it vanishes with the last of them, however that ends.
The end of a pipe tells each side that the other is gone.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
import tempfile
import threading
from typing import Final

import numpy as np
import numpy.typing as npt

MIN_LIMIT: Final = 64
"""Below this, half a queue would be less than the smallest read."""
BYTES_PER_EVENT: Final = 128
"""A lone order and its frame take 80; the rest is for definitions, which are larger."""
MIN_BYTES: Final = 2**20
NOTICE_BYTES: Final = 2**16
"""Kept free of records: a full queue must still be able to say so."""

_HEADER_BYTES: Final = 4_096
_FIELDS: Final = (
    "head",  # bytes written since the beginning
    "tail",  # bytes read
    "events_in",
    "events_out",
    "high_water",  # most events that were held at once
    "pauses",
    "waited_ns",
    "spilled",  # events that went by way of the disk
    "spill_depth",  # events on the disk now
    "spill_high_water_bytes",
    "waiting",  # 1: the writer wants to hear of room
    "closed",  # 1: nothing will be written any more
    "limit",
    "size",
)
_AT: Final = {name: place for place, name in enumerate(_FIELDS)}
_fence_lock = threading.Lock()


def fence() -> None:
    """Let everything stored before be seen by other processors before what is stored after.

    Python offers no memory barrier; taking and giving back a lock twice holds two of each kind.
    """
    for _ in range(2):
        with _fence_lock:
            pass


class RingMemory:
    """A ring of bytes, its counters by name (`memory["head"]`), and its pipes.

    Parameters
    ----------
    limit : int
        Events (records) the ring holds at most.

    Raises
    ------
    ValueError
        If the limit is below `MIN_LIMIT`.
    """

    def __init__(self, limit: int) -> None:
        if limit < MIN_LIMIT:
            raise ValueError(f"a queue holds at least {MIN_LIMIT} events, {limit} was asked for")
        size = max(limit * BYTES_PER_EVENT, MIN_BYTES) + NOTICE_BYTES
        file = _nameless_file()
        os.ftruncate(file, _HEADER_BYTES + size)
        self._open(file, [*os.pipe(), *os.pipe()])
        self["limit"], self["size"] = limit, size
        self.size = size
        self.data[:] = bytes(size)  # every page is touched now, and not in the first burst

    @classmethod
    def inherited(cls, descriptors: list[int]) -> RingMemory:
        """Return the memory whose `descriptors` another process handed over."""
        memory = cls.__new__(cls)
        memory._open(descriptors[0], descriptors[1:])
        return memory

    def _open(self, file: int, pipes: list[int]) -> None:
        self._file = file
        self._pipes = pipes
        for end in pipes:
            os.set_blocking(end, False)
        self._map = mmap.mmap(file, 0)
        view = memoryview(self._map)
        self._fields: npt.NDArray[np.int64] = np.frombuffer(view, np.int64, len(_FIELDS))
        self.data = view[_HEADER_BYTES:]
        self.size = self["size"]
        """Bytes of the ring itself."""

    @property
    def descriptors(self) -> list[int]:
        """What the other process must inherit (`pass_fds`)."""
        return [self._file, *self._pipes]

    @property
    def reader_wakes_on(self) -> int:
        """Descriptor that becomes readable when something was written, or the writer is gone."""
        return self._pipes[0]

    @property
    def writer_wakes_on(self) -> int:
        """Descriptor that becomes readable when there is room, or the reader is gone."""
        return self._pipes[2]

    def leave_writing_to_other(self) -> None:
        """Close the writer's ends, in the process that reads."""
        self._close_ends(1, 2)

    def leave_reading_to_other(self) -> None:
        """Close the reader's ends, in the process that writes."""
        self._close_ends(0, 3)

    def wake_reader(self) -> None:
        """Say that something was written.

        Raises
        ------
        BrokenPipeError
            If the reading process is gone.
        """
        _wake(self._pipes[1])

    def wake_writer(self) -> None:
        """Say that there is room; a writer that is gone is not missed here."""
        with contextlib.suppress(BrokenPipeError):
            _wake(self._pipes[3])

    def __getitem__(self, field: str) -> int:
        return int(self._fields[_AT[field]])

    def __setitem__(self, field: str, value: int) -> None:
        self._fields[_AT[field]] = value

    def _close_ends(self, *which: int) -> None:
        for place in which:
            os.close(self._pipes[place])
            self._pipes[place] = -1

    def close(self) -> None:
        """Let go of the descriptors; the memory goes with the last view of it."""
        for end in (self._file, *self._pipes):
            if end >= 0:
                os.close(end)
        self._file, self._pipes = -1, [-1] * 4


def take_wakes(end: int) -> bool:
    """Empty a pipe; return False when the process at its other end is gone."""
    try:
        return os.read(end, 65_536) != b""
    except BlockingIOError:
        return True


def _wake(end: int) -> None:
    # A full pipe holds wake-ups enough.
    with contextlib.suppress(BlockingIOError):
        os.write(end, b"\0")


def _nameless_file() -> int:
    if sys.platform == "linux":
        return os.memfd_create("ifd-ring")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
