"""The records of one schema that one file holds, found by time and instrument without the rest.

They lie uncompressed in an unnamed temporary file; of each block memory keeps only where it is and
the earliest and latest time in it. So an order of an hour ago costs the blocks of that hour,
whatever the size of the day, also where a snapshot stands out of order.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import databento
import databento_dbn as dbn
import numpy as np
import numpy.typing as npt

from simulator.live.spool import Spool

BLOCK_RECORDS: Final = 16_384
Records = npt.NDArray[np.void]
"""A one-dimensional array of a schema's dtype."""
InstrumentIds = npt.NDArray[np.uint32]
"""Sorted."""


@dataclass(frozen=True, slots=True)
class _Block:
    start: int
    stop: int
    first_ns: int
    last_ns: int


class Holding:
    """Records of one schema, in the order of their file."""

    def __init__(self, schema: str) -> None:
        dtype = dtype_of(schema)
        self._time = time_field(dtype)
        self._spool = Spool(dtype)
        self._blocks: list[_Block] = []

    @property
    def first_ns(self) -> int:
        """Earliest time of any record."""
        return min(block.first_ns for block in self._blocks)

    @property
    def last_ns(self) -> int:
        """Latest time of any record."""
        return max(block.last_ns for block in self._blocks)

    def append(self, records: Records) -> None:
        """Add records at the end."""
        for begin in range(0, len(records), BLOCK_RECORDS):
            part = records[begin : begin + BLOCK_RECORDS]
            place = len(self._spool)
            self._spool.append(part)
            times = part[self._time]
            self._blocks.append(
                _Block(place, place + len(part), int(times.min()), int(times.max()))
            )

    def select(self, idents: InstrumentIds, start_ns: int, end_ns: int) -> Iterator[Records]:
        """Give the records of these instruments in `[start_ns, end_ns)`."""
        for block in self._blocks:
            if block.last_ns < start_ns or block.first_ns >= end_ns:
                continue
            records = self._spool.read(block.start, block.stop)
            times = records[self._time]
            wanted = (times >= np.uint64(start_ns)) & (times < np.uint64(end_ns))
            wanted &= _among(records["instrument_id"], idents)
            if wanted.any():
                yield records[wanted]

    def close(self) -> None:
        """Give the disk space back."""
        self._spool.close()


@functools.cache
def dtype_of(schema: str) -> np.dtype[np.void]:
    """Return the layout of a schema's records, as the client decodes them."""
    empty = dbn.Metadata(
        dataset="GLBX.MDP3",
        start=0,
        stype_in=None,
        stype_out=dbn.SType.from_str("instrument_id"),
        schema=dbn.Schema.from_str(schema),
    )
    decoded = databento.DBNStore.from_bytes(empty.encode()).to_ndarray()
    assert isinstance(decoded, np.ndarray)
    dtype: np.dtype[np.void] = decoded.dtype
    return dtype


def time_field(dtype: np.dtype[np.void]) -> str:
    """Return what a schema is filtered by: `ts_recv` where there is one, else `ts_event`."""
    return "ts_recv" if "ts_recv" in (dtype.names or ()) else "ts_event"


def _among(found: npt.NDArray[np.uint32], idents: InstrumentIds) -> npt.NDArray[np.bool_]:
    if not len(idents):
        return np.zeros(len(found), dtype=np.bool_)
    places = np.minimum(np.searchsorted(idents, found), len(idents) - 1)
    return np.asarray(idents[places] == found)
