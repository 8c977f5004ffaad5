"""What became of signals, in the mean, and how sure that is.

A signal's excess is its move less the mean move of its random moments: what is left when the day's
own drift is taken away. Signals of one half hour share their fate, so the bootstrap draws half
hours of sessions, not signals; with fewer than two of them there is no interval.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ifd.baseline.keys import time_bucket
from ifd.units import NANOS_PER_MINUTE, PRICE_SCALE
from models.outcomes import SignalOutcomeRow
from models.signals import SignalRow

RESAMPLES: Final = 2_000
CONFIDENCE_PERCENT: Final = 95.0
_SEED: Final = 20_261_005
_CLUSTER_NS: Final = 30 * NANOS_PER_MINUTE

Outcome = tuple[SignalRow, SignalOutcomeRow]


@dataclasses.dataclass(frozen=True, slots=True)
class OutcomeScore:
    """What one subject did at one horizon, over signals; moves are points, for the institution.

    `known` are the signals with a move, `missing` the others by reason. `right` is the share of
    moves above zero. `excess` is the mean excess over the `compared` signals that have random
    moments beside them, `low` and `high` its 95 % bootstrap interval; None where nothing is known.
    """

    subject: str
    horizon_minutes: int
    signals: int
    known: int
    missing: dict[str, int]
    right: float | None
    move: float | None
    compared: int
    control_move: float | None
    excess: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        # Any: numbers, names and one object of counts.
        return dataclasses.asdict(self)


def score_outcomes(outcomes: Iterable[Outcome]) -> list[OutcomeScore]:
    """Return the score of each subject and horizon, the option first."""
    groups: defaultdict[tuple[str, int], list[Outcome]] = defaultdict(list)
    for signal, row in outcomes:
        groups[row.subject, row.horizon_minutes].append((signal, row))
    order = sorted(groups, key=lambda key: (key[0] != "option", key))
    return [_score(subject, minutes, groups[subject, minutes]) for subject, minutes in order]


def clustered_interval(
    values: Sequence[float], clusters: Sequence[object]
) -> tuple[float, float] | None:
    """Return the bootstrap interval of the mean of `values` when whole clusters are drawn.

    None of fewer than two clusters. The draws are seeded: the same values, the same interval.

    Examples
    --------
    >>> clustered_interval([1.0, 1.0, 1.0], ["a", "b", "b"])
    (1.0, 1.0)
    """
    names = list(dict.fromkeys(clusters))
    if len(names) < 2:
        return None
    place = {name: number for number, name in enumerate(names)}
    index = np.array([place[name] for name in clusters])
    sums = np.bincount(index, weights=np.asarray(values, np.float64))
    counts = np.bincount(index)
    draws = np.random.default_rng(_SEED).integers(len(names), size=(RESAMPLES, len(names)))
    means: npt.NDArray[np.float64] = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    tail = (100.0 - CONFIDENCE_PERCENT) / 2
    low, high = np.percentile(means, (tail, 100.0 - tail))
    return float(low), float(high)


def _score(subject: str, minutes: int, outcomes: Sequence[Outcome]) -> OutcomeScore:
    moves = [row.move / PRICE_SCALE for _, row in outcomes if row.move is not None]
    compared = [
        (signal, row.move / PRICE_SCALE, row.control_move / PRICE_SCALE)
        for signal, row in outcomes
        if row.move is not None and row.control_move is not None
    ]
    excess = [move - control for _, move, control in compared]
    interval = clustered_interval(excess, [_cluster(signal) for signal, _, _ in compared])
    return OutcomeScore(
        subject=subject,
        horizon_minutes=minutes,
        signals=len(outcomes),
        known=len(moves),
        missing=dict(Counter(row.missing for _, row in outcomes if row.missing).most_common()),
        right=_mean([float(move > 0) for move in moves]),
        move=_mean(moves),
        compared=len(compared),
        control_move=_mean([control for _, _, control in compared]),
        excess=_mean(excess),
        low=None if interval is None else interval[0],
        high=None if interval is None else interval[1],
    )


def _cluster(signal: SignalRow) -> tuple[str, int]:
    return signal.session_date, time_bucket(signal.ts_event, _CLUSTER_NS)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
