"""Records of several sources as one stream in order of time, and each exactly once.

What two ways of fetching gave is the same record when publisher, instrument, event time, sequence,
order, action, side, price and size are the same, and so is its ordinal among such: two equal
records of one source are two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from ifd.records import MboArray

IDENTITY: Final = [
    "publisher_id",
    "instrument_id",
    "ts_event",
    "sequence",
    "order_id",
    "action",
    "side",
    "price",
    "size",
]


def merge_by_time(sources: Iterable[Iterable[MboArray]]) -> Iterator[MboArray]:
    """Give the records of all sources in order of `ts_recv`; each source keeps its own order.

    A source that steps back in time holds what follows until the others have come as far. At the
    same time the earlier source comes first. No more than an array of each is held.

    Parameters
    ----------
    sources : iterable of iterables of MboArray
        None of their arrays may change afterwards.
    """
    streams = [_Stream(arrays) for arrays in sources]
    while streams := [stream for stream in streams if stream.fill()]:
        if len(streams) == 1:
            yield streams[0].take_all()
            continue
        reach = min(stream.last for stream in streams)
        first = next(place for place, stream in enumerate(streams) if stream.last == reach)
        # Who comes behind `first` waits with that very time: `first` may have more of it.
        pieces = [
            stream.take(reach, "right" if place <= first else "left")
            for place, stream in enumerate(streams)
        ]
        times = np.concatenate([times for times, _ in pieces])
        yield np.concatenate([records for _, records in pieces])[np.argsort(times, kind="stable")]


class Received:
    """Records that are there already.

    Parameters
    ----------
    arrays : iterable of MboArray
        At least those of the times that will be asked for; snapshots are not counted, for they
        repeat orders that were received before.
    """

    def __init__(self, arrays: Iterable[MboArray]) -> None:
        self._counts: Counter[bytes] = Counter()
        times: set[int] = set()
        for records in arrays:
            self._counts.update(_identities(records))
            times.update(records["ts_event"].tolist())
        self._times = np.array(sorted(times), np.uint64)

    def new_of(self, records: MboArray) -> MboArray:
        """Return the records that are not there; what is there is crossed out, one for one."""
        keep = np.ones(len(records), np.bool_)
        doubtful = np.flatnonzero(np.isin(records["ts_event"], self._times))
        for place, identity in zip(doubtful, _identities(records[doubtful]), strict=True):
            if self._counts[identity] > 0:
                self._counts[identity] -= 1
                keep[place] = False
        return records[keep]


class _Stream:
    """One source and what was read of it and not taken."""

    def __init__(self, arrays: Iterable[MboArray]) -> None:
        self._arrays = iter(arrays)
        self._records: MboArray | None = None
        self._times: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._reached = np.uint64(0)

    @property
    def last(self) -> np.uint64:
        """Time of the last record that was read."""
        return self._reached

    def fill(self) -> bool:
        """Read on when nothing is held; False at the end."""
        while self._records is None or not len(self._records):
            self._records = next(self._arrays, None)
            if self._records is None:
                return False
            if len(self._records):
                times = np.maximum.accumulate(self._records["ts_recv"])
                self._times = np.maximum(times, self._reached)
                self._reached = self._times[-1]
        return True

    def take(
        self, until: np.uint64, side: Literal["left", "right"]
    ) -> tuple[npt.NDArray[np.uint64], MboArray]:
        """Return the times and records up to a time, with it (right) or without (left)."""
        assert self._records is not None
        count = int(np.searchsorted(self._times, until, side=side))
        taken = self._times[:count], self._records[:count]
        self._times, self._records = self._times[count:], self._records[count:]
        return taken

    def take_all(self) -> MboArray:
        """Return everything that is held."""
        assert self._records is not None
        records, self._records = self._records, None
        return records


def _identities(records: MboArray) -> list[bytes]:
    packed = np.zeros(len(records), [(name, records.dtype[name]) for name in IDENTITY])
    for name in IDENTITY:
        packed[name] = records[name]
    size = packed.dtype.itemsize
    octets = packed.tobytes()
    return [octets[place : place + size] for place in range(0, len(octets), size)]
