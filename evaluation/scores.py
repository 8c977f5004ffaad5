"""Scores of one detector over sessions: found, missed, false, how soon, and how honest.

Precision is episodes found over episodes found plus false alerts; repeats count neither way. The
area under precision and recall moves the threshold down the detector's own scores, step by step,
without interpolation. Calibration compares the score, read as a probability, with how often such
alerts were right; a repeat is right too.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from evaluation.matching import Alert, Judged, institutional, judge
from ifd.units import NANOS_PER_SECOND
from simulator.market.episodes import Episode

BINS: Final = 10
SIZES: Final = (("obvious", 300), ("clear", 150), ("small", 75), ("faint", 0))
"""Fewest lots of an episode of each size, over all its legs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """What one detector said in one session, and what was true."""

    alerts: Sequence[Alert]
    episodes: Sequence[Episode]


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    found: int
    of: int

    @property
    def value(self) -> float | None:
        """The share, None where there was nothing."""
        return self.found / self.of if self.of else None


@dataclasses.dataclass(frozen=True, slots=True)
class Bin:
    """Alerts of about one score: how many, their mean score, the share that was right."""

    alerts: int
    mean_score: float
    right: float


@dataclasses.dataclass(frozen=True, slots=True)
class Scores:
    """How good one detector is at one threshold; `curve` is of all thresholds.

    `curve` holds (recall, precision) from the highest score down. `calibration_error` is None where
    scores are not probabilities, or nothing was said.
    """

    sessions: int
    threshold: float
    recall: Share
    precision: float | None
    false_alerts: int
    false_alerts_a_day: float
    median_seconds_to_detect: float | None
    recall_by_family: dict[str, Share]
    recall_by_size: dict[str, Share]
    false_alerts_by_cause: dict[str, int]
    area: float
    curve: list[tuple[float, float]]
    calibration_error: float | None
    brier: float | None
    reliability: list[Bin]


def score(sessions: Sequence[Session], *, threshold: float, is_probability: bool) -> Scores:
    """Return the scores of what one detector said at `threshold` and above."""
    kept = [
        Session([alert for alert in each.alerts if alert.score >= threshold], each.episodes)
        for each in sessions
    ]
    judged = [judge(each.alerts, each.episodes) for each in kept]
    wanted = [institutional(each.episodes) for each in kept]
    found = [{one.episode for one in each if one.verdict == "found"} for each in judged]
    hits = sum(map(len, found))
    wrong = [one for each in judged for one in each if one.verdict == "false"]
    curve = precision_recall_curve(sessions)
    reliability = reliability_of(judged) if is_probability else []
    return Scores(
        sessions=len(sessions),
        threshold=threshold,
        recall=Share(hits, sum(map(len, wanted))),
        precision=hits / (hits + len(wrong)) if hits + len(wrong) else None,
        false_alerts=len(wrong),
        false_alerts_a_day=len(wrong) / len(sessions),
        median_seconds_to_detect=_median_delay(judged, wanted),
        recall_by_family=_recall_by(wanted, found, lambda each: each.kind),
        recall_by_size=_recall_by(wanted, found, size_of),
        false_alerts_by_cause=dict(Counter(one.blame for one in wrong).most_common()),
        area=area_under(curve),
        curve=curve,
        calibration_error=expected_calibration_error(reliability),
        brier=_brier(judged) if is_probability else None,
        reliability=reliability,
    )


def precision_recall_curve(sessions: Sequence[Session]) -> list[tuple[float, float]]:
    """Return (recall, precision) at every threshold, from the highest score down."""
    total = sum(len(institutional(each.episodes)) for each in sessions)
    # Judged once for each threshold that exists would be exact and slow. The rule is monotone: an
    # episode is found as soon as its best alert is in, and a false alert is false at any threshold.
    best: list[float] = []
    false: list[float] = []
    for each in sessions:
        best_of: dict[int, float] = {}
        for one in judge(each.alerts, each.episodes):
            if one.episode is None:
                false.append(one.alert.score)
            else:
                best_of[one.episode] = max(best_of.get(one.episode, -np.inf), one.alert.score)
        best += best_of.values()
    found_at, false_at = np.sort(best)[::-1], np.sort(false)[::-1]
    points = []
    for threshold in np.unique(np.concatenate([found_at, false_at]))[::-1]:
        hits = int(np.count_nonzero(found_at >= threshold))
        wrong = int(np.count_nonzero(false_at >= threshold))
        points.append((hits / total if total else 0.0, hits / (hits + wrong)))
    return points


def area_under(curve: Sequence[tuple[float, float]]) -> float:
    """Return the average precision: each step of recall at the precision it was reached with.

    Examples
    --------
    >>> area_under([(0.5, 1.0), (1.0, 0.5)])
    0.75
    """
    area = before = 0.0
    for recall, precision in curve:
        area += (recall - before) * precision
        before = recall
    return area


def reliability_of(judged: Sequence[Sequence[Judged]]) -> list[Bin]:
    """Return the alerts in `BINS` equal steps of their score, the empty steps left out."""
    said = np.array([one.alert.score for each in judged for one in each], np.float64)
    right = np.array([one.verdict != "false" for each in judged for one in each], np.float64)
    step = np.minimum((said * BINS).astype(np.int64), BINS - 1)
    return [
        Bin(int((step == k).sum()), float(said[step == k].mean()), float(right[step == k].mean()))
        for k in range(BINS)
        if (step == k).any()
    ]


def expected_calibration_error(bins: Sequence[Bin]) -> float | None:
    """Return how far scores lie from the truth on average, weighted by alerts; None of nothing.

    Examples
    --------
    >>> expected_calibration_error([Bin(3, 0.75, 0.5), Bin(1, 0.25, 0.25)])
    0.1875
    """
    alerts = sum(each.alerts for each in bins)
    if not alerts:
        return None
    return sum(each.alerts * abs(each.mean_score - each.right) for each in bins) / alerts


def threshold_for(sessions: Sequence[Session], *, false_alerts_a_day: float) -> float:
    """Return the lowest threshold that gives no more false alerts a day than so many.

    Infinity where none does: the detector then keeps silent.
    """
    allowed = int(false_alerts_a_day * len(sessions))
    false = sorted(
        (
            one.alert.score
            for each in sessions
            for one in judge(each.alerts, each.episodes)
            if one.verdict == "false"
        ),
        reverse=True,
    )
    every = sorted({alert.score for each in sessions for alert in each.alerts})
    if len(false) <= allowed:
        return every[0] if every else float("inf")
    above = [value for value in every if value > false[allowed]]
    return above[0] if above else float("inf")


def size_of(episode: Episode) -> str:
    """Return how large an episode is, in words."""
    return next(name for name, least in SIZES if episode.lots >= least)


def _recall_by(
    wanted: Sequence[Sequence[Episode]],
    found: Sequence[set[int | None]],
    key: Callable[[Episode], str],
) -> dict[str, Share]:
    total: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    for episodes, places in zip(wanted, found, strict=True):
        for place, episode in enumerate(episodes):
            total[key(episode)] += 1
            hits[key(episode)] += place in places
    return {name: Share(hits[name], count) for name, count in sorted(total.items())}


def _median_delay(
    judged: Sequence[Sequence[Judged]], wanted: Sequence[Sequence[Episode]]
) -> float | None:
    delays = [
        (one.alert.ts_ns - episodes[one.episode].start_ns) / NANOS_PER_SECOND
        for each, episodes in zip(judged, wanted, strict=True)
        for one in each
        if one.verdict == "found" and one.episode is not None
    ]
    return statistics.median(delays) if delays else None


def _brier(judged: Sequence[Sequence[Judged]]) -> float | None:
    errors = [(one.alert.score - (one.verdict != "false")) ** 2 for each in judged for one in each]
    return statistics.fmean(errors) if errors else None
