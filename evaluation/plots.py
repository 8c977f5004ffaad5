"""What was measured, drawn: the evaluation, a simulated market, what became of signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluation.facts import Facts
from evaluation.outcomes import OutcomeScore
from evaluation.scores import SIZES, Scores, Share
from evaluation.trial import OURS

_SIZE_INCHES: Final = (12.0, 9.0)
_WIDE_INCHES: Final = (12.0, 4.5)
_DOTS_AN_INCH: Final = 110


def draw(scores: Mapping[str, Scores], out: Path | IO[bytes]) -> None:
    """Write one PNG with four plots."""
    figure = _figure(_SIZE_INCHES)
    curves, reliability, families, sizes = figure.subplots(2, 2).flat
    _draw_curves(curves, scores)
    _draw_reliability(reliability, scores[OURS])
    kinds = list(scores[OURS].recall_by_family)
    _draw_recall(families, {n: s.recall_by_family for n, s in scores.items()}, kinds, "family")
    names = [name for name, _ in SIZES]
    _draw_recall(sizes, {n: s.recall_by_size for n, s in scores.items()}, names, "size")
    _save(figure, out)


def draw_market(facts: Facts, out: Path | IO[bytes]) -> None:
    """Write one PNG with four plots of what a simulated session is like."""
    figure = _figure(_SIZE_INCHES)
    prices, sizes, clusters, season = figure.subplots(2, 2).flat
    prices.plot(facts.future_by_minute, linewidth=1)
    prices.set(xlabel="minute of the session", ylabel="points", title="The future")
    sizes.loglog(*facts.size_tail, "o", markersize=3)
    sizes.set(xlabel="lots", ylabel="share of option trades this large or larger")
    sizes.set_title(f"Trade sizes: exponent {facts.tail_exponent:.1f} between 2 and 20 lots")
    clusters.loglog(*facts.dispersion, "o-")
    clusters.axhline(1.0, color="grey", linewidth=1)
    clusters.set(xlabel="seconds", ylabel="variance / mean of the number of option trades")
    clusters.set_title("Clustering: 1 where trades do not know of each other")
    season.bar(range(len(facts.trades_by_half_hour)), facts.trades_by_half_hour)
    season.set(xlabel="half hour of the session", ylabel="option trades", title="Season")
    _save(figure, out)


def draw_outcomes(scores: Sequence[OutcomeScore], out: Path | IO[bytes]) -> None:
    """Write one PNG: the excess of the option and of the future at each horizon."""
    figure = _figure(_WIDE_INCHES)
    for axes, subject in zip(figure.subplots(1, 2).flat, ("option", "future"), strict=True):
        known = [each for each in scores if each.subject == subject and each.excess is not None]
        _draw_excess(axes, known, subject)
    _save(figure, out)


def _figure(inches: tuple[float, float]) -> Figure:
    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, out: Path | IO[bytes]) -> None:
    figure.savefig(out, format="png", dpi=_DOTS_AN_INCH)


def _draw_excess(axes: Axes, scores: Sequence[OutcomeScore], subject: str) -> None:
    axes.axhline(0.0, color="grey", linewidth=1)
    for place, each in enumerate(scores):
        if each.low is not None and each.high is not None:
            axes.vlines(place, each.low, each.high, color="C0")
        if each.excess is not None:
            axes.plot(place, each.excess, "o", color="C0")
            axes.annotate(f" {each.compared}", (place, each.excess), fontsize="small")
    axes.set_xticks(range(len(scores)), [f"+{each.horizon_minutes} min" for each in scores])
    axes.set(ylabel="points", title=f"The {subject} after signals, less random moments (95 %)")


def _draw_curves(axes: Axes, scores: Mapping[str, Scores]) -> None:
    for name, each in scores.items():
        recall = [point[0] for point in each.curve]
        precision = [point[1] for point in each.curve]
        label = f"{name} (area {each.area:.2f})"
        (line,) = axes.step(recall, precision, where="post", label=label)
        if each.recall.value is not None and each.precision is not None:
            axes.plot(each.recall.value, each.precision, "o", color=line.get_color())
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title("Precision and recall; the dot is the threshold in use")
    axes.legend(fontsize="small")


def _draw_reliability(axes: Axes, ours: Scores) -> None:
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    said = [each.mean_score for each in ours.reliability]
    right = [each.right for each in ours.reliability]
    axes.plot(said, right, "o-")
    for each in ours.reliability:
        axes.annotate(f" {each.alerts}", (each.mean_score, each.right), fontsize="small")
    error = ours.calibration_error
    words = "nothing said" if error is None else f"calibration error {error:.3f}"
    axes.set(xlabel="confidence", ylabel="share that was right", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"Reliability of {OURS}, with alerts: {words}")


def _draw_recall(
    axes: Axes, recalls: Mapping[str, Mapping[str, Share]], keys: list[str], what: str
) -> None:
    width = 0.8 / len(recalls)
    for number, (name, shares) in enumerate(recalls.items()):
        values = [shares[key].value or 0.0 if key in shares else 0.0 for key in keys]
        axes.bar([k + number * width for k in range(len(keys))], values, width, label=name)
    axes.set_xticks([k + 0.4 - width / 2 for k in range(len(keys))], keys, rotation=20)
    axes.set(ylabel="recall", ylim=(0, 1.02))
    axes.set_title(f"Recall by {what}, each at its threshold")
    axes.legend(fontsize="small")
