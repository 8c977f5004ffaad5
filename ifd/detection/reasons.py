"""Why a signal was given, in plain words with its numbers."""

from __future__ import annotations

from typing import NamedTuple

from ifd.baseline import BaselineStat
from ifd.detection.score import Factors
from ifd.makers import MakerDoubt
from ifd.params import DetectionParams
from ifd.pressure import ChainView, pressure_ratio
from ifd.signals import Side
from ifd.units import NANOS_PER_SECOND
from ifd.windows import OpenWindow


class Evidence(NamedTuple):
    """Everything a verdict rests on."""

    side: Side
    window: OpenWindow
    factors: Factors
    baseline: BaselineStat | None
    chain: ChainView
    doubt: MakerDoubt


def reasons(evidence: Evidence, params: DetectionParams) -> tuple[str, ...]:
    """Return the reasons in the order of their weight, one sentence each."""
    sentences = [
        _volume(evidence),
        _history(evidence, params),
        _aggression(evidence.window),
        _earlier(evidence),
        _chain(evidence.chain),
        _makers(evidence.doubt),
    ]
    return tuple(sentence for sentence in sentences if sentence)


def _volume(evidence: Evidence) -> str:
    window = evidence.window
    along, against = window.buy_volume, window.sell_volume
    words = ("bought", "sold")
    if evidence.side is Side.SELL:
        along, against, words = against, along, ("sold", "bought")
    seconds = (window.end - window.start) // NANOS_PER_SECOND
    ratio = pressure_ratio(window.buy_volume, window.sell_volume)
    return (
        f"{along:,} lots {words[0]} by aggressors against {against:,} {words[1]} "
        f"in a {seconds} s window (pressure ratio {ratio:.2f})"
    )


def _history(evidence: Evidence, params: DetectionParams) -> str:
    factors, baseline = evidence.factors, evidence.baseline
    if baseline is None:
        return (
            f"no baseline here yet: {factors.zscore:.1f} deviations above the profile's prior of "
            f"{params.prior_median:g} ± {params.prior_mad:g} signed lots"
        )
    rank = 0.0 if factors.rank is None else factors.rank
    return (
        f"{factors.zscore:.1f} robust deviations above the usual {baseline.median:.1f} signed lots "
        f"at this time of day, percentile rank {rank:.3f} "
        f"({baseline.key}, {baseline.sessions} sessions, {baseline.samples:,} windows)"
    )


def _aggression(window: OpenWindow) -> str:
    levels = window.sweep_levels
    return (
        f"one aggressor took {levels} price level{'' if levels == 1 else 's'} in one event; "
        f"largest print {window.largest_print:,} lots; "
        f"imbalance at the touch {window.order_flow_imbalance:+,} lots"
    )


def _earlier(evidence: Evidence) -> str:
    earlier = evidence.factors.earlier_lots
    if earlier <= 0:
        return ""
    return f"{earlier:,} more lots the same way in the windows just before"


def _chain(chain: ChainView) -> str:
    if not chain.same_way_lots and not chain.opposite_lots:
        return "no other strike traded in this window"
    return (
        f"other strikes: {chain.same_way_lots:.0f} delta-weighted lots lean the same way, "
        f"{chain.opposite_lots:.0f} the other (coordination {chain.coordination:.2f})"
    )


def _makers(doubt: MakerDoubt) -> str:
    parts = {
        "volume matched on both sides": doubt.two_sided,
        "call and put traded together": doubt.straddle,
        "quoting storm": doubt.storm,
        "symmetric quoting": doubt.symmetry,
    }
    name, most = max(parts.items(), key=lambda part: part[1])
    because = f", mostly {name} ({most:.2f})" if most >= 0.1 else ""
    return f"market-maker probability {doubt.probability:.2f}{because}"
