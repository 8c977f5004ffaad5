"""What was measured as rows of words, the same in the terminal and in Prefect."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from evaluation.outcomes import OutcomeScore
from evaluation.scores import Scores

Row = dict[str, str]


def score_rows(scores: Mapping[str, Scores]) -> list[Row]:
    """Return one row a detector."""
    return [
        {
            "detector": name,
            "threshold": "silent" if math.isinf(each.threshold) else f"{each.threshold:,.2f}",
            "precision": _share(each.precision),
            "recall": _share(each.recall.value),
            "false a day": f"{each.false_alerts_a_day:.1f}",
            "seconds to detect": _number(each.median_seconds_to_detect, 1),
            "area": f"{each.area:.2f}",
            "calibration error": _number(each.calibration_error, 3),
        }
        for name, each in scores.items()
    ]


def recall_rows(scores: Mapping[str, Scores]) -> list[Row]:
    """Return one row a family and one a size: found of planted, by detector."""
    first = next(iter(scores.values()))
    return [
        {"of": f"{what} {key}"}
        | {
            name: f"{shares[key].found}/{shares[key].of}"
            for name, each in scores.items()
            if key in (shares := getattr(each, f"recall_by_{what}"))
        }
        for what in ("family", "size")
        for key in getattr(first, f"recall_by_{what}")
    ]


def outcome_rows(scores: Iterable[OutcomeScore]) -> list[Row]:
    """Return one row a subject and horizon; moves are points."""
    return [
        {
            "subject": each.subject,
            "after": f"{each.horizon_minutes} min",
            "signals": f"{each.signals:,}",
            "known": f"{each.known:,}",
            "right": "" if each.right is None else f"{each.right:.0%}",
            "move": _points(each.move),
            "random moments": _points(each.control_move),
            "excess": _points(each.excess),
            "95 % interval": _interval(each),
            "missing": ", ".join(f"{count:,} {why}" for why, count in each.missing.items()),
        }
        for each in scores
    ]


def _interval(score: OutcomeScore) -> str:
    return "" if score.low is None else f"{_points(score.low)} to {_points(score.high)}"


def _points(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"


def _share(value: float | None) -> str:
    return _number(value, 2)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
