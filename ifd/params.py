"""Frozen parameters of every stage, and the fingerprint that goes on every stored row."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from typing import Any, Final

from ifd.errors import ConfigurationError
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND

ASSUMED_VOLATILITY: Final = 0.20
"""Yearly volatility of an option without a price of its own: the usual level of the Nasdaq-100."""
SHORTEST_LIFE_YEARS: Final = 1.0 / 365.0
"""Under that volatility an option of less than a day is one of a day: its delta would be a step."""
BASELINE_MEASURES: Final = 1
"""Raised when a measure or a statistic is defined anew, so that old rows are never read."""


@dataclasses.dataclass(frozen=True, slots=True)
class WindowParams:
    """Event-time windows, aligned to the clock; bars of the future come from the same pass.

    `length_ns` is the primary length, which baselines and signals speak of; `lengths_ns` are all,
    shortest first.
    """

    length_ns: int = 60 * NANOS_PER_SECOND
    lengths_ns: tuple[int, ...] = tuple(n * NANOS_PER_SECOND for n in (1, 10, 60, 300))
    bar_intervals_ns: tuple[int, ...] = (NANOS_PER_MINUTE, 5 * NANOS_PER_MINUTE)

    def nested_lengths_ns(self) -> tuple[int, ...]:
        """Return `lengths_ns`.

        Raises
        ------
        ConfigurationError
            If one is not a multiple of the one before, or the primary is not among them.
        """
        lengths = self.lengths_ns
        nested = all(
            longer > length > 0 and longer % length == 0
            for length, longer in itertools.pairwise(lengths)
        )
        if not nested or self.length_ns not in lengths:
            seconds = ", ".join(f"{length / NANOS_PER_SECOND:g}" for length in lengths)
            raise ConfigurationError(
                f"windows of {seconds} seconds cannot be used: each length must be a multiple of "
                f"the one before, and {self.length_ns / NANOS_PER_SECOND:g} seconds, the primary "
                "length, one of them"
            )
        return lengths


@dataclasses.dataclass(frozen=True, slots=True)
class BaselineParams:
    """What a baseline is made of: robust statistics by time of day over past sessions."""

    sessions: int = 20
    bucket_ns: int = 30 * NANOS_PER_MINUTE
    min_sessions: int = 3


@dataclasses.dataclass(frozen=True, slots=True)
class DetectionParams:
    """When a window becomes a signal."""

    min_confidence: float = 0.6
    min_volume: int = 20
    cooldown_ns: int = 5 * NANOS_PER_MINUTE
    prior_median: float = 4.0
    """Signed lots a window usually shows, used (and said so) while no baseline exists."""
    prior_mad: float = 4.0
    max_position_multiplier: float = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class EngineParams:
    """Everything the engine's result depends on, besides the records."""

    profile: str = "default"
    windows: WindowParams = WindowParams()
    baseline: BaselineParams = BaselineParams()
    detection: DetectionParams = DetectionParams()

    def fingerprint(self) -> str:
        """Return 16 hex digits that change when any parameter does."""
        return _digest(dataclasses.asdict(self))

    def baseline_fingerprint(self) -> str:
        """Return 16 hex digits of what baselines depend on.

        Profiles that differ only in thresholds, or in the bars they draw, share their baselines.
        """
        return _digest(
            {
                "measures": BASELINE_MEASURES,
                "window_ns": self.windows.length_ns,
                "baseline": dataclasses.asdict(self.baseline),
            }
        )


def _digest(values: dict[str, Any]) -> str:
    # Any: parameters of every type that JSON knows.
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
