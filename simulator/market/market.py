"""The market as one stream of records that can be asked to go on until any moment.

Everything happens at the beats of one Poisson clock: a maker re-quotes, somebody adds or pulls a
small order, somebody trades; planted sweeps have times of their own. The stream depends on the seed
and the parameters alone, never on how it is cut by the calls of `advance`.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ifd.records import ASK, BID, MboArray
from ifd.units import NANOS_PER_MILLISECOND, NANOS_PER_SECOND
from simulator.market.chain import CENTRE, Chain
from simulator.market.episodes import LONGEST_NS, Episode, Sweep, SweepPlanner
from simulator.market.exchange import NO_ASK, NO_BID, OrderIds
from simulator.market.listing import FuturePath, Listing, makers_of
from simulator.market.tape import Tape

_RECORDS_PER_SECOND_AS_WEIGHTED: Final = 133.0
_ACTIVITY_EXPONENT: Final = 1.25
"""Measured: what the weights below give, and how much more must happen for twice the records (the
oftener makers look, the less they find to change)."""
_WEIGHTS: Final = (12.0, 25.0, 20.0, 3.0, 0.9)
"""Events a second: the future's quotes, the options' quotes, small orders, the future's trades,
the options' trades."""
_STRANGERS_A_BOOK: Final = 6
_FUTURE_TAIL: Final = 1.6
_OPTION_TAIL: Final = 1.8
"""Exponents of the power laws of trade sizes."""
_BIGGEST_ORDINARY: Final = 30


@dataclass(frozen=True, slots=True)
class MarketParams:
    """How busy the market is.

    `records_per_second` scales all activity; `episode_seconds` is the mean time between planted
    sweeps; `minute_volatility` is what the future usually moves in a minute, in points.
    """

    records_per_second: float = 150.0
    episode_seconds: float = 900.0
    minute_volatility: float = 6.0


class Market:
    """A seeded market, from its opening on.

    Parameters
    ----------
    seed : int
        Same seed, chain, parameters and times: same bytes.
    start_ns : int
        Opening, ns UTC: clears and opening orders come first.
    chain : Chain
        What is listed.
    end_ns : int, optional
        No sweep is planted that could outlast this moment.
    """

    def __init__(
        self,
        seed: int,
        start_ns: int,
        chain: Chain,
        params: MarketParams | None = None,
        *,
        end_ns: int | None = None,
    ) -> None:
        self._params = params or MarketParams()
        self._rng = random.Random(seed)  # noqa: S311 - a simulation, not a secret
        self._tape = Tape(self._rng)
        ids = OrderIds()
        listings = [
            Listing(contract, makers_of(contract, self._rng), self._tape, ids)
            for contract in chain.contracts
        ]
        self._future = listings[0]
        self._options = listings[1:]
        self._path = FuturePath(
            self._rng,
            start_ns=start_ns,
            price=CENTRE + self._rng.gauss(0.0, 60.0),
            minute_volatility=self._params.minute_volatility,
        )
        self._planner = SweepPlanner(self._rng, self._options)
        self._end_ns = end_ns
        self._labels: list[Episode] = []
        self._busy = _by_activity(self._options)
        self._kinds = list(itertools.accumulate(_WEIGHTS))
        busier = self._params.records_per_second / _RECORDS_PER_SECOND_AS_WEIGHTED
        self._rate = self._kinds[-1] * busier**_ACTIVITY_EXPONENT / NANOS_PER_SECOND
        self._agenda: list[tuple[int, int, Callable[[int], None]]] = []
        self._agenda_order = itertools.count()
        self._episode_seconds = self._params.episode_seconds
        self._planting = 0
        self._open(start_ns)
        self._next_ns = start_ns + self._wait()
        self.plant_every(self._episode_seconds, start_ns)

    @property
    def labels(self) -> tuple[Episode, ...]:
        """The planted episodes that have ended, in order."""
        return tuple(self._labels)

    def plant_every(
        self, seconds: float, from_ns: int, *, first_after: float | None = None
    ) -> None:
        """Plant a sweep about every `seconds` from `from_ns` on, the first after `first_after`."""
        self._episode_seconds = seconds
        # Plans made before are out of date.
        self._planting += 1
        wait = first_after if first_after is not None else seconds * self._rng.uniform(0.3, 1.0)
        self._schedule_planting(from_ns + int(wait * NANOS_PER_SECOND))

    def advance(self, until_ns: int) -> MboArray:
        """Return all records of events that happen before `until_ns` and were not yet returned."""
        while True:
            if self._agenda and self._agenda[0][0] <= self._next_ns:
                if self._agenda[0][0] >= until_ns:
                    break
                ns, _, act = heapq.heappop(self._agenda)
                act(ns)
            else:
                if self._next_ns >= until_ns:
                    break
                self._beat(self._next_ns)
                self._next_ns += self._wait()
        return self._tape.take()

    def _wait(self) -> int:
        return 1 + int(self._rng.expovariate(self._rate))

    def _open(self, ns: int) -> None:
        future = self._path.at(ns)
        for listing in (self._future, *self._options):
            listing.book.begin(ns)
            listing.book.clear()
            listing.book.end()
        for listing in (self._future, *self._options):
            listing.requote_all(future, ns)

    def _beat(self, ns: int) -> None:
        rng = self._rng
        future = self._path.at(ns)
        kind = bisect.bisect(self._kinds, rng.random() * self._kinds[-1])
        if kind == 0:
            self._requote(self._future, future, ns)
        elif kind == 1:
            self._requote(self._options[int(rng.random() * len(self._options))], future, ns)
        elif kind == 2:
            self._stranger(self._any_listing(), ns)
        elif kind == 3:
            self._trade(self._future, _FUTURE_TAIL, ns)
        else:
            self._trade(self._any_option(), _OPTION_TAIL, ns)

    def _requote(self, listing: Listing, future: float, ns: int) -> None:
        makers = listing.makers
        maker = makers[int(self._rng.random() * len(makers))]
        maker.requote(listing.book, listing.fair(future, ns), listing.strangers, ns)

    def _stranger(self, listing: Listing, ns: int) -> None:
        # Half of the time the oldest small order leaves, else a new one comes near the touch.
        rng = self._rng
        book = listing.book
        strangers = listing.strangers
        if strangers and (len(strangers) >= _STRANGERS_A_BOOK or rng.random() < 0.5):
            book.begin(ns)
            book.cancel(next(iter(strangers.values())))
            book.end()
            return
        behind = int(rng.expovariate(0.7)) - 1
        size = 1 + int(rng.random() * 5)
        bid, ask = book.best_bid(), book.best_ask()
        if bid == NO_BID or ask == NO_ASK:
            return
        book.begin(ns)
        if rng.random() < 0.5:
            book.add(BID, max(min(bid - behind, ask - 1), 1), size, strangers)
        else:
            book.add(ASK, max(ask + behind, bid + 1), size, strangers)
        book.end()

    def _trade(self, listing: Listing, tail: float, ns: int) -> None:
        rng = self._rng
        side = BID if rng.random() < 0.5 else ASK
        lots = min(int((1.0 - rng.random()) ** (-1.0 / tail)), _BIGGEST_ORDINARY)
        listing.book.take(side, lots, 2, ns)

    def _any_listing(self) -> Listing:
        return self._future if self._rng.random() < 0.3 else self._any_option()

    def _any_option(self) -> Listing:
        return self._busy[int(self._rng.random() * len(self._busy))]

    def _schedule(self, ns: int, act: Callable[[int], None]) -> None:
        heapq.heappush(self._agenda, (ns, next(self._agenda_order), act))

    def _schedule_planting(self, ns: int) -> None:
        planting = self._planting
        if self._end_ns is None or ns + LONGEST_NS < self._end_ns:
            self._schedule(ns, lambda at: self._plant(at, planting))

    def _plant(self, ns: int, planting: int) -> None:
        if planting != self._planting:
            return
        wait = self._episode_seconds * self._rng.uniform(0.7, 1.3)
        self._schedule_planting(ns + int(wait * NANOS_PER_SECOND))
        sweep = self._planner.plan()
        if sweep is None:
            return
        # Its strikes are fully quoted when it comes.
        future = self._path.at(ns)
        for listing in sweep.listings:
            listing.requote_all(future, ns)
        sweep.prepare(self._rng, ns + 300 * NANOS_PER_MILLISECOND)
        self._schedule(sweep.orders[-1][0], lambda _: self._execute(sweep))

    def _execute(self, sweep: Sweep) -> None:
        sweep.execute_next()
        if sweep.orders:
            self._schedule(sweep.orders[-1][0], lambda _: self._execute(sweep))
        elif sweep.trade_times:
            self._labels.append(sweep.episode())


def _by_activity(options: list[Listing]) -> list[Listing]:
    # Near the money they trade up to four times as often as at the edge of the chain.
    drawn = []
    for listing in options:
        strike = listing.contract.strike or 0
        away = abs(strike - CENTRE) / 100.0
        drawn += [listing] * max(1, round(4.0 - away))
    return drawn
