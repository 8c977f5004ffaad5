"""What every planted episode is made of: steps at their times, and the choice of where.

A plan is drawn up when it begins, from its own random numbers: nothing of the market's own noise
depends on it, and how the stream is cut changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ifd.units import NANOS_PER_MILLISECOND, NANOS_PER_SECOND
from simulator.market.matching import depth, take
from simulator.market.quoting import look_at
from simulator.market.state import DRIFT, FUTURE, State

BUY: Final = 0
SELL: Final = 1
SWEEP_LEVELS: Final = 6
USUAL_LOTS: Final = 300
"""Lots of an episode that nobody can miss; the factors of its size multiply this."""
_SIZES: Final = ((1.0, 2.5), (0.5, 0.8), (0.2, 0.4))
"""Factors of obvious, small and barely visible episodes."""
_INFORMED_POINTS: Final = 0.02
"""Points the future goes on to move for each delta-weighted lot of an institution."""
_DRIFT_SECONDS: Final = 90.0

Act = Callable[[State, int], object]
"""Does something to the market at a moment."""


@dataclass(slots=True)
class Plan:
    """One episode before it happens: `legs` are (instrument, BUY or SELL).

    `label` is its row in the state's truth. `keeps_plan` is True for what need not trade: its times
    are then those of its first and last step, which a halt may have put off, as `note` hears them.
    """

    kind: str
    institutional: bool
    label: int
    legs: list[tuple[int, int]]
    start_ns: int
    end_ns: int = 0
    keeps_plan: bool = False
    steps: list[tuple[int, Act]] = field(default_factory=list)
    first_step_ns: int = 0
    last_step_ns: int = 0

    def at(self, ns: int, act: Act) -> None:
        """Add a step."""
        self.steps.append((ns, act))
        self.end_ns = max(self.end_ns, ns)

    def note(self, ns: int) -> None:
        """Hear that a step was taken."""
        self.first_step_ns = min(self.first_step_ns or ns, ns)
        self.last_step_ns = ns


class Floor:
    """Where episodes are drawn up: the market as it stands, and random numbers of their own."""

    def __init__(self, state: State, rng: random.Random) -> None:
        self.state = state
        self.rng = rng
        self._used: dict[int, int] = {}
        self._turn = 0

    @property
    def expiries(self) -> int:
        """How many expiries are listed."""
        return len(self.state.looked_at)

    def side(self) -> int:
        """Return BUY or SELL."""
        return self.rng.choice((BUY, SELL))

    def lots(self, *, obvious: bool = False) -> int:
        """Return how large an episode shall be."""
        low, high = _SIZES[0] if obvious else self.rng.choice(_SIZES)
        return round(USUAL_LOTS * self.rng.uniform(low, high))

    def option(
        self,
        *,
        group: int | None = None,
        right: str | None = None,
        nearest: float | None = None,
        reach: float = 350.0,
    ) -> int:
        """Return an option near the money that no episode has used lately.

        Parameters
        ----------
        group : int, optional
            Only of this expiry.
        right : str, optional
            Only calls (`C`) or puts (`P`).
        nearest : float, optional
            The strike nearest to this, in points.
        reach : float
            Points from the money, at most, while no strike is asked for.
        """
        books = self.state.books
        future = float(self.state.levels[FUTURE])
        found = [
            inst
            for inst in range(1, len(books))
            if (group is None or books["group"][inst] == group)
            and (right is None or bool(books["is_call"][inst]) == (right == "C"))
        ]
        if nearest is None:
            near = [i for i in found if abs(books["strike"][i] - future) <= reach]
            found = near or found
            self.rng.shuffle(found)
            chosen = min(found, key=lambda inst: self._used.get(inst, 0))
        else:
            chosen = min(found, key=lambda inst: abs(books["strike"][inst] - nearest))
        self._turn += 1
        self._used[chosen] = self._turn
        return chosen

    def strike(self, inst: int) -> float:
        """Return an option's strike in points."""
        return float(self.state.books["strike"][inst])

    def group(self, inst: int) -> int:
        """Return the number of an option's expiry."""
        return int(self.state.books["group"][inst])

    def right(self, inst: int) -> str:
        """Return `C` or `P`."""
        return "C" if self.state.books["is_call"][inst] else "P"

    def seconds(self, low: float, high: float) -> int:
        """Return a random duration in ns."""
        return int(self.rng.uniform(low, high) * NANOS_PER_SECOND)

    def shares(self, lots: int, parts: int) -> list[int]:
        """Split lots into uneven parts, none empty."""
        weights = [self.rng.uniform(0.5, 1.5) for _ in range(parts)]
        return [max(1, round(lots * weight / sum(weights))) for weight in weights]


def slices(
    floor: Floor,
    plan: Plan,
    leg: tuple[int, int],
    sizes: Sequence[int],
    times: Sequence[int],
    *,
    levels: int,
) -> None:
    """Take `sizes` at `times` in one leg, and let the future follow what the institution knew."""
    inst, side = leg
    for size, ns in zip(sizes, times, strict=True):
        plan.at(ns, lambda st, at, size=size: _execute(st, plan, inst, side, size, levels, at))  # type: ignore[misc]


def _execute(st: State, plan: Plan, inst: int, side: int, lots: int, levels: int, ns: int) -> None:
    look_at(st, inst, ns)
    wanted = min(lots, int(0.9 * depth(st, inst, 1 - side, levels)))
    done = take(st, inst, side, wanted, levels, ns + NANOS_PER_MILLISECOND, plan.label)
    if plan.institutional:
        inform(st, inst, side, done)


def inform(st: State, inst: int, side: int, lots: int, *, points: float = _INFORMED_POINTS) -> None:
    """Let the future drift the way these lots lean, over the next minutes."""
    signed = lots if side == BUY else -lots
    st.levels[DRIFT] += points * signed * float(st.books["delta"][inst]) / _DRIFT_SECONDS
