"""What history costs: US dollars a GiB of uncompressed records, by schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

BYTES_PER_GIB: Final = 2**30
DEFAULT_UNIT_PRICES: Final[Mapping[str, float]] = {
    "mbo": 1.80,
    "mbp-1": 1.80,
    "mbp-10": 0.50,
    "trades": 28.0,
    "tbbo": 28.0,
    "bbo-1s": 18.0,
    "bbo-1m": 18.0,
    "ohlcv-1s": 70.0,
    "ohlcv-1m": 70.0,
    "ohlcv-1h": 190.0,
    "ohlcv-1d": 190.0,
    "definition": 1.70,
    "statistics": 1.0,
    "status": 4.0,
}
"""List prices of GLBX.MDP3 on 2026-06-12."""
MODES: Final = ("historical-streaming", "historical")


def cost_usd(billable_bytes: int, unit_price: float) -> float:
    """Return the price of so many bytes.

    >>> cost_usd(2**30, 1.8)
    1.8
    """
    return billable_bytes / BYTES_PER_GIB * unit_price
