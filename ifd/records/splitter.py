"""From bytes to chunks: the walk over record headers, in bulk wherever records are MBO."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import databento_dbn as dbn
import numpy as np
import numpy.typing as npt

from ifd.errors import CorruptStreamError
from ifd.records.layout import (
    MBO_DTYPE,
    MBO_SIZE,
    MIN_RECORD_SIZE,
    RTYPE_MBO,
    TS_OUT_SIZE,
    Chunk,
    MboArray,
    Octets,
    smallest_sizes,
)

_FIRST_SCAN: Final = 64
_ALIGNMENT: Final = 8
"""Of an array whose columns are to be read at full speed."""


class RecordSplitter:
    """Cuts the bytes after a DBN header into chunks.

    Parameters
    ----------
    version : int
        DBN version from the header, 1 to 3.
    ts_out : bool
        The header's flag: every record carries 8 bytes more, the gateway's send time. They are
        taken off, so that a record reads the same with and without.

    Attributes
    ----------
    records : int
        Records given out.
    damage : CorruptStreamError or None
        Why the bytes cannot be records any more; nothing is read behind it.
    unknown_rtypes : Counter of int
        Records of types that this version does not know, passed over by their length.
    """

    def __init__(self, *, version: int, ts_out: bool = False) -> None:
        self.records = 0
        self.damage: CorruptStreamError | None = None
        self.unknown_rtypes: Counter[int] = Counter()
        self._remainder = b""
        self._stride = MBO_SIZE + (TS_OUT_SIZE if ts_out else 0)
        added = self._stride - MBO_SIZE
        self._sizes = {rtype: size + added for rtype, size in smallest_sizes(version).items()}
        # Length and rtype of an MBO record, read as one little-endian number.
        self._mbo_head = self._stride // 4 | RTYPE_MBO << 8
        self._decoder = dbn.DBNDecoder(
            has_metadata=False,
            ts_out=ts_out,
            input_version=version,
            upgrade_policy=dbn.VersionUpgradePolicy.UPGRADE_TO_V3,  # type: ignore[arg-type]  # stub says int
        )

    @property
    def remainder(self) -> int:
        """Bytes that `feed` keeps because their record is not whole yet."""
        return len(self._remainder)

    @property
    def unknown_records(self) -> int:
        """How many records were passed over, of whatever unknown type."""
        return self.unknown_rtypes.total()

    def feed(self, data: Octets) -> list[Chunk]:
        """Return the chunks that `data` completes; the cut-off rest waits for the next call.

        The arrays are copies and stay as they are.
        """
        whole = self._remainder + bytes(data) if self._remainder else data
        chunks, used = self._walk(memoryview(whole), self._copy_mbo)
        self._remainder = bytes(whole[used:])
        return chunks

    def split(self, data: Octets) -> tuple[list[Chunk], int]:
        """Return the chunks of all whole records in `data`, and how many bytes they took.

        For a caller that owns its buffer and is done with the chunks before it overwrites it: the
        arrays are views of `data` wherever its bytes lie as an array needs them. Where bytes
        cannot be a record it stops, for good, and `damage` says why; the chunks before are
        returned all the same.
        """
        return self._walk(memoryview(data), self._view_mbo)

    def _walk(
        self, octets: memoryview, take: Callable[[memoryview, int, int], MboArray]
    ) -> tuple[list[Chunk], int]:
        chunks: list[Chunk] = []
        position = 0
        while self.damage is None and len(octets) - position >= 2:
            if octets[position] | octets[position + 1] << 8 == self._mbo_head:
                count = self._count_mbo(octets, position)
                if count:
                    chunks.append(take(octets, position, count))
                    self.records += count
                size = count * self._stride
            else:
                size = self._take_others(octets[position:], chunks)
            if size == 0:
                break
            position += size
        return chunks, position

    def _count_mbo(self, octets: memoryview, position: int) -> int:
        # Looks ever further ahead, so that a short run in a mixed stream stays cheap.
        whole = (len(octets) - position) // self._stride
        heads: npt.NDArray[np.uint16] = np.ndarray(
            (whole,), "<u2", buffer=octets, offset=position, strides=(self._stride,)
        )
        done, scan = 0, _FIRST_SCAN
        while done < whole:
            other = heads[done : done + scan] != self._mbo_head
            first = int(other.argmax())
            if other[first]:
                return done + first
            done += len(other)
            scan *= 8
        return whole

    def _view_mbo(self, octets: memoryview, position: int, count: int) -> MboArray:
        if self._stride == MBO_SIZE:
            records = np.frombuffer(octets, MBO_DTYPE, count, position)
            if records.ctypes.data % _ALIGNMENT == 0:
                return records
        return self._copy_mbo(octets, position, count)

    def _copy_mbo(self, octets: memoryview, position: int, count: int) -> MboArray:
        records = np.empty(count, MBO_DTYPE)
        source = np.frombuffer(octets, np.uint8, count * self._stride, position)
        target = records.view(np.uint8).reshape(count, MBO_SIZE)
        target[:] = source.reshape(count, self._stride)[:, :MBO_SIZE]
        if self._stride != MBO_SIZE:
            records["length"] = MBO_SIZE // 4
        return records

    def _take_others(self, octets: memoryview, chunks: list[Chunk]) -> int:
        # Walks to the next MBO record; what the decoder knows goes to it in one piece.
        position = begin = count = 0
        while position < len(octets) and (size := self._measure(octets[position:])):
            rtype = octets[position + 1]
            if rtype in self._sizes:
                count += 1
            else:
                self._decode(octets[begin:position], count, chunks)
                begin, count = position + size, 0
                self.unknown_rtypes[rtype] += 1
            position += size
        self._decode(octets[begin:position], count, chunks)
        return position

    def _measure(self, octets: memoryview) -> int:
        """Return the size of the record that `octets` begins with.

        Returns
        -------
        int
            0 when it is not whole yet, is an MBO record, or cannot be a record.
        """
        size = octets[0] * 4
        if MIN_RECORD_SIZE <= size > len(octets):
            return 0
        rtype = octets[1] if size >= MIN_RECORD_SIZE else None
        if rtype == RTYPE_MBO and size == self._stride:
            return 0
        if rtype is None or rtype == RTYPE_MBO or size < self._sizes.get(rtype, MIN_RECORD_SIZE):
            named = "" if rtype is None else f" of type {rtype}"
            self.damage = CorruptStreamError(f"a record{named} of {size} bytes cannot be")
            return 0
        return size

    def _decode(self, octets: memoryview, count: int, chunks: list[Chunk]) -> None:
        if count == 0:
            return
        try:
            records = self._decoder.write_and_decode(bytes(octets))
        except dbn.DBNError as error:
            self.damage = CorruptStreamError(f"a record cannot be read: {error}")
            return
        chunks.extend(records)  # type: ignore[arg-type]  # no Metadata: has_metadata=False
        self.records += len(records)
