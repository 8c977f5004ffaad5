"""How hard one instrument is pushed, and which way the whole chain leans.

A window's pressure is measured by four numbers (`METRICS`), the same for a live window and for the
past ones its baseline is made of. The pressure ratio is shrunk towards 1, so that three lots in a
thin strike do not look like three hundred. Across the chain volumes are weighted with each option's
own delta (`ifd.options`). Moneyness is in assumed deviations, since only the order of strikes
matters there.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Final, NamedTuple

from ifd.params import ASSUMED_VOLATILITY, SHORTEST_LIFE_YEARS
from ifd.symbols import Instrument
from ifd.units import DELTA_SCALE, NANOS_PER_YEAR
from ifd.windows import InstrumentFlow, OpenWindow, PressureWindow

SHRINK_LOTS: Final = 5.0
"""Lots added to both sides of the pressure ratio."""
COORDINATION_LOTS: Final = 50.0
"""Delta-weighted lots elsewhere in the chain that make its lean half believed."""

SIGNED_VOLUME: Final = "signed_volume"
TOTAL_VOLUME: Final = "total_volume"
PRESSURE_RATIO: Final = "pressure_ratio"
ORDER_FLOW_IMBALANCE: Final = "order_flow_imbalance"
METRICS: Final = (SIGNED_VOLUME, TOTAL_VOLUME, PRESSURE_RATIO, ORDER_FLOW_IMBALANCE)
"""Absolute signed lots, sided and unsided lots, shrunk ratio, imbalance of the touch."""


def pressure_ratio(buy_volume: int, sell_volume: int) -> float:
    """Return bought over sold lots, both raised by `SHRINK_LOTS`.

    Examples
    --------
    >>> pressure_ratio(0, 0)
    1.0
    >>> pressure_ratio(95, 0)
    20.0
    """
    return (buy_volume + SHRINK_LOTS) / (sell_volume + SHRINK_LOTS)


def measure(window: OpenWindow | PressureWindow) -> tuple[float, float, float, float]:
    """Return the metrics of a window in the order of `METRICS`."""
    buy, sell = window.buy_volume, window.sell_volume
    return (
        float(abs(buy - sell)),
        float(buy + sell + window.unsided_volume),
        pressure_ratio(buy, sell),
        float(window.order_flow_imbalance),
    )


def dominance(buy_volume: int, sell_volume: int) -> float:
    """Return how one-sided a volume is, 0 (balanced or nothing) to 1, shrunk like the ratio."""
    return abs(buy_volume - sell_volume) / (buy_volume + sell_volume + 2 * SHRINK_LOTS)


def robust_zscore(value: float, *, median: float, mad: float, floor: float) -> float:
    """Return how many robust deviations `value` lies above `median`.

    `mad` is scaled to a standard deviation already; `floor` keeps a strike that hardly ever trades
    from making every print a wonder.
    """
    return (value - median) / max(mad, floor)


def standard_moneyness(instrument: Instrument, underlying_price: int, ts: int) -> float:
    """Return ln(strike / underlying) in assumed standard deviations until expiry."""
    assert instrument.strike_price is not None  # asked of options only
    if underlying_price <= 0 or instrument.strike_price <= 0:
        return 0.0
    life = max((instrument.expiration_ns - ts) / NANOS_PER_YEAR, SHORTEST_LIFE_YEARS)
    distance = math.log(instrument.strike_price / underlying_price)
    return distance / (ASSUMED_VOLATILITY * math.sqrt(life))


class Lean(NamedTuple):
    """What one option traded in the running window: signed lots, and the same times delta."""

    instrument: Instrument
    signed_volume: int
    delta_volume: float


@dataclasses.dataclass(frozen=True, slots=True)
class ChainView:
    """The rest of the chain as one option sees it.

    `coordination` is 0..1: how far other strikes lean the same delta-weighted way, times how much
    they traded. `same_way_lots` and `opposite_lots` are those delta-weighted lots. `straddle` is
    the share of call and put volume at this strike that was traded the same way, 0..1.
    """

    coordination: float
    same_way_lots: float
    opposite_lots: float
    straddle: float


class ChainPressure:
    """Delta-weighted volume of every option of each underlying, in the window that is running."""

    def __init__(self) -> None:
        self._starts: dict[str, int] = {}
        self._leans: dict[str, dict[int, Lean]] = {}

    def update(self, flow: InstrumentFlow) -> None:
        """Take note of an option in which an event with trades has just ended."""
        instrument, window = flow.instrument, flow.window
        chain = instrument.underlying
        if self._starts.get(chain, -1) < window.start:
            self._starts[chain] = window.start
            self._leans[chain] = {}
        signed = window.signed_volume
        lean = Lean(instrument, signed, flow.delta / DELTA_SCALE * signed)
        self._leans[chain][instrument.instrument_id] = lean

    def view(self, instrument: Instrument) -> ChainView:
        """Return the rest of the chain as `instrument`, which has traded, sees it."""
        leans = self._leans[instrument.underlying]
        own = leans[instrument.instrument_id]
        direction = math.copysign(1.0, own.delta_volume)
        same_way = opposite = 0.0
        mirrored = 0
        for lean in leans.values():
            if lean is own:
                continue
            along = lean.delta_volume * direction
            if along > 0:
                same_way += along
            else:
                opposite -= along
            if _is_mirror(lean.instrument, instrument):
                mirrored += lean.signed_volume
        return ChainView(
            coordination=_coordination(same_way, opposite),
            same_way_lots=same_way,
            opposite_lots=opposite,
            straddle=_matched(own.signed_volume, mirrored),
        )


def _is_mirror(one: Instrument, other: Instrument) -> bool:
    return (
        one.strike_price == other.strike_price
        and one.expiration_ns == other.expiration_ns
        and one.right != other.right
    )


def _coordination(same_way: float, opposite: float) -> float:
    if same_way <= opposite:
        return 0.0
    return (same_way - opposite) / (same_way + opposite + COORDINATION_LOTS)


def _matched(one: int, other: int) -> float:
    """Return the matched share of two signed volumes; 0 when they were traded opposite ways."""
    if one * other <= 0:
        return 0.0
    return 2 * min(abs(one), abs(other)) / (abs(one) + abs(other))
