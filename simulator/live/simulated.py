"""The simulated market at the pace of the clock: some history at once, then live, without end."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Final

import structlog

from ifd.clock import Clock
from ifd.units import NANOS_PER_MILLISECOND, NANOS_PER_MINUTE, NANOS_PER_SECOND
from simulator.live.sources import RecordSource
from simulator.live.spool import Spool
from simulator.live.symbology import Symbology
from simulator.market.chain import list_chain
from simulator.market.confounders import CONFOUNDERS
from simulator.market.definitions import definition_messages
from simulator.market.episodes import Episode
from simulator.market.market import Market, MarketParams

log = structlog.get_logger(__name__)

_TICK_NS: Final = 5 * NANOS_PER_MILLISECOND
_HISTORY_STEP_NS: Final = 5 * NANOS_PER_SECOND
_SETTLING_NS: Final = NANOS_PER_MILLISECOND
"""How far the market stays behind the clock: its capture times must not lie ahead."""
_LISTED_FOR: Final = dt.timedelta(days=4)
"""How long a gateway may run before something it lists expires."""
_FIRST_SWEEP_SECONDS: Final = 3.0
"""From the first session that wants market data, or from the end of the history, to a sweep."""
_NOT_LIVE: Final = frozenset({"halt", "expiry-rush"})
"""Whoever tries the exchange need not sit through a halt; nothing expires while it runs."""
_SWEEP_SHARE: Final = 0.6


def live_params(records_per_second: float) -> MarketParams:
    """Return the parameters of a market to look at: most of what is planted is easily seen."""
    return MarketParams(
        records_per_second=records_per_second,
        confounders=tuple(kind for kind in CONFOUNDERS if kind not in _NOT_LIVE),
        sweep_share=_SWEEP_SHARE,
    )


class SimulatedSource(RecordSource):
    """The simulated market: some history at once, then live, without end.

    Parameters
    ----------
    session : date
        Trading date whose instruments are listed.
    seed : int
        Seed of the market; times are those of the clock.
    history_minutes : float
        How long before now the market opened.
    episode_seconds : float
        Mean time between planted episodes once live; the first, a sweep, comes soon after the first
        session begins, so that whoever tries the exchange need not wait for one.
    """

    def __init__(
        self,
        session: dt.date,
        *,
        seed: int,
        clock: Clock,
        params: MarketParams,
        history_minutes: float,
        episode_seconds: float,
        dataset: str = "GLBX.MDP3",
    ) -> None:
        self.spool = Spool()
        super().__init__(dataset, self.spool)
        self._clock = clock
        self._episode_seconds = episode_seconds
        self._opening_ns = clock.now_ns() - int(history_minutes * NANOS_PER_MINUTE)
        chain = list_chain(session + _LISTED_FOR)
        self._market = Market(seed, self._opening_ns, chain, params)
        self._labelled = 0
        self._attended = False
        self.definitions = definition_messages(chain, session)
        self.symbology = Symbology(self.definitions)

    @property
    def labels(self) -> tuple[Episode, ...]:
        """The planted episodes that have ended, in order."""
        return self._market.labels

    async def run(self) -> None:
        """Make the history in small steps, then keep up with the clock."""
        # The first call compiles the market's inner loop, which may take half a minute once: not in
        # the way of whoever connects.
        await asyncio.to_thread(self._advance, self._opening_ns + 1)
        at_ns = self._opening_ns
        while at_ns + _TICK_NS < self._now_ns():
            at_ns = min(at_ns + _HISTORY_STEP_NS, self._now_ns())
            self._advance(at_ns)
            await asyncio.sleep(0)
        self._plant_soon(at_ns)
        self.ready.set()
        while True:
            await asyncio.sleep(_TICK_NS / NANOS_PER_SECOND)
            self._advance(self._now_ns())
            self._tell_of_episodes()

    def begin(self) -> None:
        """Hear that a session wants market data: the first one shall see a sweep soon."""
        if self.ready.is_set() and not self._attended:
            self._plant_soon(self._now_ns())
        self._attended = True

    def _plant_soon(self, from_ns: int) -> None:
        self._market.plant_every(self._episode_seconds, from_ns, first_after=_FIRST_SWEEP_SECONDS)

    def _now_ns(self) -> int:
        return self._clock.now_ns() - _SETTLING_NS

    def _advance(self, until_ns: int) -> None:
        records = self._market.advance(until_ns)
        if len(records):
            self.spool.append(records)
            self.publish(len(self.spool))

    def _tell_of_episodes(self) -> None:
        labels = self.labels
        for episode in labels[self._labelled :]:
            legs = [f"{leg.side} {leg.raw_symbol}" for leg in episode.legs]
            log.info(
                "planted",
                episode=episode.episode_id,
                kind=episode.kind,
                institutional=episode.institutional,
                legs=legs,
                lots=episode.lots,
            )
        self._labelled = len(labels)
