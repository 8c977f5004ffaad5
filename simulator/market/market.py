"""The market as one stream of records that can be asked to go on until any moment.

Between planted episodes the compiled beats run alone (`simulator.market.beats`); at the times on
the agenda a plan is drawn up, or one of its steps is taken. The stream depends on the seed and the
parameters alone, never on how it is cut by the calls of `advance`.

What is on the agenda knows its market by a weak reference: a market that is done with is gone at
once, with its tens of megabytes, not whenever somebody collects cycles.
"""

from __future__ import annotations

import heapq
import itertools
import random
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ifd.records import MboArray
from ifd.sessions import session_date
from ifd.units import NANOS_PER_MILLISECOND, NANOS_PER_SECOND
from simulator.market.beats import open_market, run
from simulator.market.chain import CENTRE, Chain
from simulator.market.confounders import CONFOUNDERS, session_rushes
from simulator.market.episodes import Episode, Leg
from simulator.market.institutions import INSTITUTIONS, sweep
from simulator.market.plans import BUY, Act, Floor, Plan
from simulator.market.state import (
    ACTIVITY,
    END_NS,
    FUTURE,
    HALTED_UNTIL,
    MINUTE_VOLATILITY,
    PRICES,
    WRITTEN,
    make_state,
)

_RECORDS_PER_SECOND_AT_ONE: Final = 205.0
"""Measured: what an activity of 1 gives."""
_MOST_LABELS: Final = 65_536
"""Episodes before the first one's row is used again; a live market plants without end."""
_OPENING_SPREAD: Final = 60.0
_CLEARANCE_NS: Final = NANOS_PER_SECOND

Draw = Callable[[], Plan]


@dataclass(frozen=True, slots=True)
class MarketParams:
    """How busy the market is, and what is planted in it.

    `records_per_second` scales all activity; `minute_volatility` is what the future usually moves
    in a minute, in points. `episode_seconds` and `confounder_seconds` are the mean times between
    planted institutional episodes, and between what only looks like them (0: none of them).
    `families` and `confounders` are drawn from, all alike, but for `sweep_share`: so many episodes
    are sweeps that nobody can miss.
    """

    records_per_second: float = 75.0
    episode_seconds: float = 600.0
    confounder_seconds: float = 600.0
    minute_volatility: float = 6.0
    families: tuple[str, ...] = tuple(INSTITUTIONS)
    confounders: tuple[str, ...] = tuple(CONFOUNDERS)
    sweep_share: float = 0.0


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
        The close: activity is a U until then, and nothing planted outlasts it. Without it the day
        has no season.
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
        self._state = make_state(chain, seed, start_ns, labels=_MOST_LABELS)
        self._floor = Floor(self._state, self._rng)
        self._chain = chain
        self._end_ns = end_ns
        self._taken: list[MboArray] = []
        self._agenda: list[tuple[int, int, Act]] = []
        self._order = itertools.count()
        self._labels: list[Episode] = []
        self._planted = 0
        self._planting = 0
        self._set_out(start_ns)

    @property
    def labels(self) -> tuple[Episode, ...]:
        """The planted episodes and confounders that have ended, in that order."""
        return tuple(self._labels)

    def plant_every(
        self, seconds: float, from_ns: int, *, first_after: float | None = None
    ) -> None:
        """Plant an institutional episode about every `seconds` from `from_ns` on.

        With `first_after` the first one comes then, and is a sweep that nobody can miss.
        """
        # Plans made before are out of date.
        self._planting += 1
        planting = self._planting
        market = weakref.proxy(self)
        wait = first_after if first_after is not None else seconds * self._rng.uniform(0.3, 1.0)

        def plant(ns: int, *, plain: bool = False) -> None:
            if planting == market._planting:
                gap = int(seconds * market._rng.uniform(0.7, 1.3) * NANOS_PER_SECOND)
                market._schedule(ns + gap, lambda _, at: plant(at))
                market._begin(market._draw_institution(ns, plain=plain), ns)

        self._schedule(
            from_ns + int(wait * NANOS_PER_SECOND),
            lambda _, at: plant(at, plain=first_after is not None),
        )

    def advance(self, until_ns: int) -> MboArray:
        """Return all records of events that happen before `until_ns` and were not yet returned."""
        agenda = self._agenda
        while agenda and agenda[0][0] < until_ns:
            self._run(agenda[0][0])
            ns, _, act = heapq.heappop(agenda)
            act(self._state, ns)
        self._run(until_ns)
        self._take()
        taken = np.concatenate(self._taken)
        self._taken.clear()
        taken.flags.writeable = False
        return taken

    def best_prices(self) -> npt.NDArray[np.float64]:
        """Return bid and ask in ticks of everything listed, as it stands; nan: an empty side."""
        best = self._state.best.astype(np.float64)
        best[best[:, 0] <= 0, 0] = np.nan
        best[best[:, 1] >= PRICES, 1] = np.nan
        base: npt.NDArray[np.int32] = self._state.books["base"]
        return best + base[:, np.newaxis]

    def _set_out(self, start_ns: int) -> None:
        params, levels = self._params, self._state.levels
        levels[FUTURE] = CENTRE + self._rng.gauss(0.0, _OPENING_SPREAD)
        levels[ACTIVITY] = params.records_per_second / _RECORDS_PER_SECOND_AT_ONE
        levels[MINUTE_VOLATILITY] = params.minute_volatility
        self._schedule(start_ns, open_market)
        if self._end_ns is not None:
            self._state.ints[END_NS] = self._end_ns
        self.plant_every(params.episode_seconds, start_ns)
        if params.confounder_seconds and params.confounders:
            self._confound(start_ns)

    def _confound(self, start_ns: int) -> None:
        params, rng, market = self._params, self._rng, weakref.proxy(self)
        if self._end_ns is not None:
            for plan in session_rushes(self._planted, start_ns, self._end_ns):
                self._begin(plan, plan.start_ns)

        def confound(ns: int) -> None:
            gap = int(params.confounder_seconds * rng.uniform(0.6, 1.4) * NANOS_PER_SECOND)
            market._schedule(ns + gap, lambda _, at: confound(at))
            draw = CONFOUNDERS[rng.choice(params.confounders)]
            market._begin(draw(market._floor, market._label(), ns), ns)

        first = int(params.confounder_seconds * rng.uniform(0.2, 1.0) * NANOS_PER_SECOND)
        self._schedule(start_ns + first, lambda _, at: confound(at))

    def _draw_institution(self, ns: int, *, plain: bool) -> Plan:
        rng, params = self._rng, self._params
        if plain or rng.random() < params.sweep_share:
            return sweep(self._floor, self._label(), ns, obvious=True)
        plan = INSTITUTIONS[rng.choice(params.families)](self._floor, self._label(), ns)
        # Late in the day only what is quick is begun.
        return plan if self._fits(plan) else sweep(self._floor, self._label(), ns)

    def _begin(self, plan: Plan, ns: int) -> None:
        if not self._fits(plan):
            return
        self._planted += 1
        self._state.labels[plan.label] = (0, 0, 0)
        left = itertools.count(len(plan.steps) - 1, -1)
        for at, act in plan.steps:
            self._schedule(max(at, ns + 1), self._step(plan, act, left))

    def _step(self, plan: Plan, act: Act, left: itertools.count[int]) -> Act:
        market = weakref.proxy(self)
        return lambda _, ns: market._take_step(plan, act, left, ns)

    def _take_step(self, plan: Plan, act: Act, left: itertools.count[int], ns: int) -> None:
        halted_until = int(self._state.ints[HALTED_UNTIL])
        if ns < halted_until:
            self._schedule(halted_until + NANOS_PER_MILLISECOND, self._step(plan, act, left))
            return
        plan.note(ns)
        act(self._state, ns)
        if next(left) == 0:
            self._finish(plan)

    def _finish(self, plan: Plan) -> None:
        lots, first, last = (int(value) for value in self._state.labels[plan.label])
        if plan.keeps_plan:
            first, last = plan.first_step_ns, plan.last_step_ns
        elif lots == 0:
            # Nobody was there to trade with: it did not happen.
            return
        self._labels.append(
            Episode(
                episode_id=f"{session_date(first)}-{len(self._labels) + 1:04d}",
                kind=plan.kind,
                institutional=plan.institutional,
                session_date=session_date(first),
                legs=tuple(self._leg(inst, side) for inst, side in plan.legs),
                start_ns=first,
                end_ns=last,
                lots=lots,
            )
        )

    def _leg(self, inst: int, side: int) -> Leg:
        contract = self._chain.contracts[inst]
        return Leg(contract.instrument_id, contract.raw_symbol, "BUY" if side == BUY else "SELL")

    def _fits(self, plan: Plan) -> bool:
        return self._end_ns is None or plan.end_ns + _CLEARANCE_NS < self._end_ns + (
            _CLEARANCE_NS if plan.kind == "close-rush" else 0
        )

    def _label(self) -> int:
        return self._planted % _MOST_LABELS

    def _schedule(self, ns: int, act: Act) -> None:
        heapq.heappush(self._agenda, (ns, next(self._order), act))

    def _run(self, until_ns: int) -> None:
        while not run(self._state, until_ns):
            self._take()

    def _take(self) -> None:
        written = int(self._state.ints[WRITTEN])
        self._taken.append(self._state.out[:written].copy())
        self._state.ints[WRITTEN] = 0
