"""Best prices: of a side, and of an instrument where an event ended."""

from __future__ import annotations

from typing import NamedTuple


class Quote(NamedTuple):
    """The best price of a side: price in 1e-9, lots resting there, orders resting there."""

    price: int
    size: int
    orders: int


class Best(NamedTuple):
    """The best prices of an instrument where an event ended; None where a side is empty."""

    ts_recv: int
    instrument_id: int
    bid: Quote | None
    ask: Quote | None
