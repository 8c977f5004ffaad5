"""What a gateway serves: records that only ever grow.

A record has a place that never changes, `end` is how many there are for now, and every session
reads at its own speed. So a slow client delays nobody, and a replay is nothing but reading from an
earlier place.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import databento_dbn as dbn
import numpy as np

from ifd.records import MboArray
from simulator.live.snapshots import OrderFollower
from simulator.live.symbology import Symbology

_FOLLOWED_AT_ONCE: Final = 8_192
_SEARCHED_AT_ONCE: Final = 65_536


class Store(Protocol):
    """Where a source keeps its records, those that may not be read yet included."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def read(self, start: int, stop: int) -> MboArray:
        """Return the records `start` to `stop` (exclusive), fewer where there are no more."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class RecordSource(abc.ABC):
    """Base of the sources: the records so far, and who wants to know of more."""

    def __init__(self, dataset: str, store: Store) -> None:
        self.dataset = dataset
        self.definitions: Sequence[dbn.InstrumentDefMsg] = ()
        self.symbology = Symbology(())
        self.ready = asyncio.Event()
        """Set when all that lies in the past is held."""
        self.finished = False
        """True when nothing will ever follow."""
        self._store = store
        self._end = 0
        self._listeners: set[asyncio.Event] = set()
        self._follower = OrderFollower()
        self._followed = 0
        self._following = asyncio.Lock()

    @property
    def end(self) -> int:
        """How many records may be read now."""
        return self._end

    def present(self) -> int:
        """Return the place where a session that asks for no replay begins."""
        return self._end

    def read(self, start: int, stop: int) -> MboArray:
        """Return the records from `start` up to `stop` that may be read now."""
        return self._store.read(start, min(stop, self._end))

    async def first_at(self, start_ns: int) -> int:
        """Return the place of the first record with `ts_event` at `start_ns` or later."""
        for place in range(0, self._end, _SEARCHED_AT_ONCE):
            stamps = self.read(place, place + _SEARCHED_AT_ONCE)["ts_event"]
            late = np.flatnonzero(stamps >= np.uint64(start_ns))
            if len(late):
                return place + int(late[0])
            await asyncio.sleep(0)
        return self._end

    def begin(self) -> None:  # noqa: B027  most have nothing to do then
        """Hear that a session wants market data; a paced recording starts to run."""

    def ask_for_more(self) -> None:  # noqa: B027  as above
        """Hear that a session has read to the end; only what readers drive gives more."""

    @abc.abstractmethod
    async def run(self) -> None:
        """Produce records until cancelled, or until nothing will follow."""

    async def snapshot(self, place: int, instrument_ids: Iterable[int], ns: int) -> MboArray:
        """Return the orders that rest at `place`, made at `ns`."""
        async with self._following:
            if place < self._followed:
                self._follower, self._followed = OrderFollower(), 0
            while self._followed < place:
                records = self.read(self._followed, min(self._followed + _FOLLOWED_AT_ONCE, place))
                self._follower.follow(records)
                self._followed += len(records)
                await asyncio.sleep(0)
            return self._follower.snapshot(instrument_ids, ns)

    def listen(self, wake: asyncio.Event) -> None:
        """Set `wake` whenever records are added."""
        self._listeners.add(wake)

    def unlisten(self, wake: asyncio.Event) -> None:
        """Forget a listener."""
        self._listeners.discard(wake)

    def close(self) -> None:
        """Give the records' space back."""
        self._store.close()

    def publish(self, end: int) -> None:
        """Let everybody read the first `end` records."""
        self._end = end
        for wake in self._listeners:
            wake.set()
