"""What a gateway serves: records that only ever grow.

A record has a place that never changes, `end` is how many there are for now, and every session
reads at its own speed. So a slow client delays nobody, and a replay is nothing but reading from an
earlier place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import databento_dbn as dbn

from ifd.records import MboArray
from simulator.live.snapshots import OrderFollower
from simulator.live.spool import Spool
from simulator.live.symbology import Symbology

_FOLLOWED_AT_ONCE: Final = 8_192


class RecordSource:
    """Base of the sources: the records so far, and who wants to know of more."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self.definitions: Sequence[dbn.InstrumentDefMsg] = ()
        self.symbology = Symbology(())
        self.ready = asyncio.Event()
        """Set when all that lies in the past is held."""
        self.finished = False
        """True when nothing will ever follow."""
        self.spool = Spool()
        """All records, those that may not be read yet included."""
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
        return self.spool.read(start, min(stop, self._end))

    def begin(self) -> None:
        """Hear that the first session wants market data; a paced recording starts to run."""

    async def run(self) -> None:
        """Produce records until cancelled, or until nothing will follow."""
        raise NotImplementedError

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
        """Give the disk space back."""
        self.spool.close()

    def publish(self, end: int) -> None:
        """Let everybody read the first `end` records."""
        self._end = end
        for wake in self._listeners:
            wake.set()
