"""The score: factors of one flow, each with its weight, joined by a logistic function.

The weights are a first, hand-set version (`ifd-v3.0`), chosen on a few simulated sessions so that
planted sweeps of 150 lots and more stand out and ordinary trades do not. They are **not
calibrated**: 0.8 is a rank among flows, not yet eight of ten.

A factor is 0 when it says nothing, and its contribution is weight times factor, so the sum over
`Score.contributions` is exactly the logit of the confidence.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Final

MODEL_VERSION: Final = "ifd-v3.0"

INTERCEPT: Final = -4.9
WEIGHTS: Final = {
    "surprise": 1.3,
    "dominance": 1.5,
    "sweep": 0.6,
    "touch": 0.3,
    "persistence": 1.0,
    "coordination": 1.2,
    "rank": 0.5,
    "market_making": -3.0,
}
"""Surprise is worth most: eight times the usual size raises the odds about fifteenfold."""

PERSISTENCE_LOTS: Final = 100.0
"""Signed lots of earlier windows that make half a persistence."""
RANK_FROM: Final = 0.9
"""Percentile rank at which a window begins to be unusual."""


@dataclasses.dataclass(frozen=True, slots=True)
class Factors:
    """What is weighed about one flow.

    Attributes
    ----------
    zscore : float
        Signed volume in robust deviations above the baseline, or above the profile's prior.
    dominance : float
        One-sidedness of the window, 0..1.
    sweep_levels : int
        Most price levels taken by one aggressor in one event.
    touch : float
        Order-flow imbalance at the touch per signed lot, along the flow.
    earlier_lots : int
        Signed lots of recent windows, along the flow.
    coordination, market_making : float
        0..1.
    rank : float or None
        Percentile rank in the baseline; None without one.
    """

    zscore: float
    dominance: float
    sweep_levels: int
    touch: float
    earlier_lots: int
    coordination: float
    rank: float | None
    market_making: float


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """A confidence, 0..1, and what each factor gave to its logit."""

    confidence: float
    contributions: dict[str, float]


def score(factors: Factors) -> Score:
    """Return the confidence that a flow is institutional and directional, uncalibrated."""
    earlier = max(0, factors.earlier_lots)
    rank = 0.0 if factors.rank is None else (factors.rank - RANK_FROM) / (1.0 - RANK_FROM)
    values = {
        # Sizes have heavy tails: what counts is how many times the usual, not how many more.
        "surprise": math.log1p(max(0.0, factors.zscore)),
        "dominance": factors.dominance,
        "sweep": math.log2(max(1, factors.sweep_levels)),
        "touch": math.tanh(factors.touch),
        "persistence": earlier / (earlier + PERSISTENCE_LOTS),
        "coordination": factors.coordination,
        "rank": max(0.0, rank),
        "market_making": factors.market_making,
    }
    contributions = {"intercept": INTERCEPT}
    contributions |= {name: WEIGHTS[name] * value for name, value in values.items()}
    logit = sum(contributions.values())
    return Score(1.0 / (1.0 + math.exp(-logit)), contributions)
