"""How likely a flow is the work of market makers or volatility desks, not of somebody with a view.

Four kinds of evidence, each 0..1, joined as independent causes (noisy or): volume that is matched
on both sides of the instrument; calls and puts of one strike bought, or sold, together; a storm of
quotes beside little trading; and a storm that is the same on both sides. Storms alone never make
more than a doubt: makers quote in every option, also in those that an institution sweeps.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from ifd.windows import OpenWindow

TWO_SIDED_WEIGHT: Final = 0.70
STRADDLE_WEIGHT: Final = 0.85
STORM_WEIGHT: Final = 0.30
SYMMETRY_WEIGHT: Final = 0.20
STORM_LOTS: Final = 200.0
"""Lots quoted and withdrawn for each lot traded that make half a storm."""


@dataclasses.dataclass(frozen=True, slots=True)
class MakerDoubt:
    """Probability that a flow is market making, and the evidence, each 0..1."""

    probability: float
    two_sided: float
    straddle: float
    storm: float
    symmetry: float


def doubt(window: OpenWindow, *, straddle: float) -> MakerDoubt:
    """Return the doubt about a window.

    Parameters
    ----------
    window : OpenWindow
        The window so far; it must hold at least one sided trade.
    straddle : float
        Matched share of call and put volume at the strike, 0..1.
    """
    buy, sell = window.buy_volume, window.sell_volume
    two_sided = 2 * min(buy, sell) / (buy + sell)
    quoted = window.bid_adds + window.ask_adds + window.bid_pulls + window.ask_pulls
    storm = quoted / (quoted + STORM_LOTS * (buy + sell))
    added = window.bid_adds + window.ask_adds
    balance = 1 - abs(window.bid_adds - window.ask_adds) / added if added else 0.0
    symmetry = storm * balance
    # Squares: a little matched volume is chance, much of it is a habit.
    innocent = (
        (1 - TWO_SIDED_WEIGHT * two_sided**2)
        * (1 - STRADDLE_WEIGHT * straddle**2)
        * (1 - STORM_WEIGHT * storm)
        * (1 - SYMMETRY_WEIGHT * symmetry)
    )
    return MakerDoubt(
        probability=1 - innocent,
        two_sided=two_sided,
        straddle=straddle,
        storm=storm,
        symmetry=symmetry,
    )
