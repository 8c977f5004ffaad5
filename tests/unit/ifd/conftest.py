"""Hand-written markets: an exchange that writes MBO records, and instruments to trade on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ifd.records import F_LAST, F_SNAPSHOT, MBO_DTYPE, RTYPE_MBO, MboArray
from ifd.symbols import Instrument
from ifd.units import NANOS_PER_MILLISECOND, NANOS_PER_SECOND, PRICE_SCALE, UNDEFINED_PRICE

OPEN_NS = 1_791_207_000_000_000_000
"""Monday 2026-10-05, 09:30 in New York: a minute, a bucket and the cash hours begin."""
SESSION = "2026-10-05"
FUTURE_ID = 1


class Exchange:
    """Writes records of hand-made events; prices in points, time in ms since 09:30."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.ms = 0.0
        self.next_order_id = 1_000

    def record(
        self,
        action: str,
        side: str = "N",
        price: float | None = None,
        size: int = 0,
        order_id: int = 0,
        *,
        instrument_id: int = FUTURE_ID,
        flags: int = F_LAST,
        ts_event: int | None = None,
        ts_recv: int | None = None,
    ) -> None:
        now = OPEN_NS + round(self.ms * NANOS_PER_MILLISECOND) if ts_event is None else ts_event
        self.rows.append(
            (
                MBO_DTYPE.itemsize // 4,
                RTYPE_MBO,
                1,
                instrument_id,
                now,
                order_id,
                UNDEFINED_PRICE if price is None else round(price * PRICE_SCALE),
                size,
                flags,
                0,
                ord(action),
                ord(side),
                now + 100_000 if ts_recv is None else ts_recv,
                0,
                len(self.rows),
            )
        )

    def add(self, side: str, price: float, size: int, order_id: int = 0, **fields: Any) -> int:
        if not order_id:
            order_id = self.next_order_id
            self.next_order_id += 1
        self.record("A", side, price, size, order_id, **fields)
        return order_id

    def quote(self, instrument_id: int, bid: float, ask: float, size: int = 50) -> None:
        """Make a two-sided market of one level."""
        self.add("B", bid, size, instrument_id=instrument_id)
        self.add("A", ask, size, instrument_id=instrument_id)

    def trade(
        self, instrument_id: int, side: str, price: float, size: int, *, flags: int = F_LAST
    ) -> None:
        """Print a trade against an order that is added for it and gone with it, in one event."""
        resting = {"B": "A", "A": "B", "N": "A"}[side]
        order_id = self.add(resting, price, size, instrument_id=instrument_id)
        aggressor = self.next_order_id
        self.next_order_id += 1
        inside = {"instrument_id": instrument_id, "flags": 0}
        self.record("T", side, price, size, aggressor, **inside)
        self.record("F", resting, price, size, order_id, **inside)
        self.record("C", resting, price, size, order_id, instrument_id=instrument_id, flags=flags)

    def sweep(self, instrument_id: int, side: str, prints: list[tuple[float, int]]) -> None:
        """Let one aggressor take several prices in one event."""
        resting = "A" if side == "B" else "B"
        rested = [
            self.add(resting, price, size, instrument_id=instrument_id) for price, size in prints
        ]
        aggressor = self.next_order_id
        self.next_order_id += 1
        inside = {"instrument_id": instrument_id, "flags": 0}
        for (price, size), order_id in zip(prints, rested, strict=True):
            self.record("T", side, price, size, aggressor, **inside)
            self.record("F", resting, price, size, order_id, **inside)
        for number, ((price, size), order_id) in enumerate(zip(prints, rested, strict=True)):
            inside["flags"] = F_LAST if number == len(prints) - 1 else 0
            self.record("C", resting, price, size, order_id, **inside)

    def snapshot(self, orders: list[tuple[str, float, int, int]], **fields: Any) -> None:
        """Send a whole book as snapshot records: side, price, size, order id."""
        for number, (side, price, size, order_id) in enumerate(orders):
            last = F_LAST if number == len(orders) - 1 else 0
            self.record("A", side, price, size, order_id, flags=F_SNAPSHOT | 8 | last, **fields)

    def wait(self, *, ms: float = 0.0, seconds: float = 0.0) -> None:
        self.ms += ms + seconds * 1_000

    def records(self) -> MboArray:
        """Return what was written so far."""
        return np.array(self.rows, dtype=MBO_DTYPE)

    def take(self) -> MboArray:
        """Return what was written since the last call."""
        taken, self.rows = self.records(), []
        return taken


class Listing:
    """Makes instruments that expire in eleven weeks, on one future at 25,000 points."""

    def future(self, instrument_id: int = FUTURE_ID, symbol: str = "NQZ6") -> Instrument:
        return self._instrument(instrument_id, symbol, "F", None, None)

    def option(
        self, instrument_id: int, strike: float = 25_000.0, right: str = "C", **changes: Any
    ) -> Instrument:
        symbol = changes.pop("raw_symbol", f"NQZ6 {right}{strike:g}")
        return self._instrument(instrument_id, symbol, right, strike, right, **changes)

    def _instrument(
        self,
        instrument_id: int,
        symbol: str,
        instrument_class: str,
        strike: float | None,
        right: str | None,
        **changes: Any,
    ) -> Instrument:
        fields: dict[str, Any] = {
            "session_date": SESSION,
            "instrument_id": instrument_id,
            "raw_symbol": symbol,
            "asset": "NQ",
            "instrument_class": instrument_class,
            "underlying": "NQZ6",
            "underlying_id": FUTURE_ID if right else 0,
            "expiration_ns": OPEN_NS + 77 * 86_400 * NANOS_PER_SECOND,
            "strike_price": None if strike is None else round(strike * PRICE_SCALE),
            "right": right,
            "multiplier": 20.0,
            "min_price_increment": 250_000_000,
            "user_defined": False,
        }
        return Instrument(**{**fields, **changes})


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
def listing() -> Listing:
    return Listing()


@pytest.fixture
def open_ns() -> int:
    return OPEN_NS
