"""Which records of the stream a session wants, by instrument and, in a replay, by time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from ifd.records import MboArray

_LARGEST_TABLE: Final = 1 << 22
"""Instrument ids closer together than this are looked up in a table, eight times as fast."""

_Mask = npt.NDArray[np.bool_]


class Selection:
    """The instruments of a session, each from a place in the stream or a moment on.

    Before `edge`, the end of the stream when the session started, lies the past: there an
    instrument with a replay is filtered by `ts_event`. From the edge on everything counts.
    """

    def __init__(self) -> None:
        self.edge = 0
        self._from: dict[int, tuple[int, int]] = {}
        self._rebuild()

    def __bool__(self) -> bool:
        return bool(self._from)

    def add(self, instrument_ids: Iterable[int], place: int) -> None:
        """Want these instruments from a place on; what was wanted earlier stays wanted."""
        for ident in instrument_ids:
            self._from.setdefault(ident, (place, 0))
        self._rebuild()

    def add_replay(self, instrument_ids: Iterable[int], start_ns: int) -> None:
        """Want these instruments from the first record with `ts_event` at `start_ns` or later."""
        for ident in instrument_ids:
            place, earlier_ns = self._from.get(ident, (0, start_ns))
            self._from[ident] = (0, start_ns if place else min(start_ns, earlier_ns))
        self._rebuild()

    def wanted(self, records: MboArray, place: int) -> _Mask:
        """Return which of `records`, the first of which lies at `place`, are wanted."""
        if not self:
            return np.zeros(len(records), np.bool_)
        idents = records["instrument_id"]
        if place >= self._last_place and (place >= self.edge or not self._starts.any()):
            return self._member(idents)
        at = self._positions(idents)
        places = np.arange(place, place + len(records))
        wanted: _Mask = (self._idents[at] == idents) & (places >= self._places[at])
        if place < self.edge:
            wanted &= (places >= self.edge) | (records["ts_event"] >= self._starts[at])
        return wanted

    def _member(self, idents: npt.NDArray[np.uint32]) -> _Mask:
        if self._table is None:
            found: _Mask = self._idents[self._positions(idents)] == idents
            return found
        # Below the lowest id the difference wraps around, and ends on the table's last, False.
        place = np.minimum(idents - self._idents[0], np.uint32(len(self._table) - 1))
        looked_up: _Mask = self._table[place]
        return looked_up

    def _positions(self, idents: npt.NDArray[np.uint32]) -> npt.NDArray[np.intp]:
        return np.minimum(np.searchsorted(self._idents, idents), len(self._idents) - 1)

    def _rebuild(self) -> None:
        wanted = sorted(self._from.items())
        self._idents = np.array([ident for ident, _ in wanted], dtype=np.uint32)
        self._places = np.array([place for _, (place, _) in wanted], dtype=np.int64)
        self._starts = np.array([start for _, (_, start) in wanted], dtype=np.uint64)
        self._last_place = int(self._places.max(initial=0))
        self._table = _table_of(self._idents)


def _table_of(idents: npt.NDArray[np.uint32]) -> _Mask | None:
    """Return whether each id from the lowest on is one of `idents`; the last entry is False."""
    if not len(idents) or int(idents[-1]) - int(idents[0]) > _LARGEST_TABLE:
        return None
    table = np.zeros(int(idents[-1] - idents[0]) + 2, np.bool_)
    table[idents - idents[0]] = True
    return table
