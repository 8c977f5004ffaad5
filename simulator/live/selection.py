"""Which records of the stream a session wants, by instrument and, in a replay, by time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from ifd.records import MboArray


class Selection:
    """The instruments of a session, each from a place in the stream or a moment on.

    Before `edge`, the end of the stream when the session started, lies the past: there an
    instrument with a replay is filtered by `ts_event`. From the edge on everything counts.
    """

    def __init__(self) -> None:
        self.edge = 0
        self._from: dict[int, tuple[int, int]] = {}
        self._rebuild()

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

    def __bool__(self) -> bool:
        return bool(self._from)

    def wanted(self, records: MboArray, place: int) -> npt.NDArray[np.bool_]:
        """Return which of `records`, the first of which lies at `place`, are wanted."""
        if not self:
            return np.zeros(len(records), np.bool_)
        ident = records["instrument_id"].astype(np.int64)
        at = np.minimum(np.searchsorted(self._idents, ident), len(self._idents) - 1)
        places = np.arange(place, place + len(records))
        wanted: npt.NDArray[np.bool_] = (self._idents[at] == ident) & (places >= self._places[at])
        if place < self.edge:
            wanted &= (places >= self.edge) | (records["ts_event"] >= self._starts[at])
        return wanted

    def _rebuild(self) -> None:
        wanted = sorted(self._from.items())
        self._idents = np.array([ident for ident, _ in wanted], dtype=np.int64)
        self._places = np.array([place for _, (place, _) in wanted], dtype=np.int64)
        self._starts = np.array([start for _, (_, start) in wanted], dtype=np.uint64)
