"""What windows and bars are: facts once closed, and the accumulators they grow in.

Snapshots and clears say what rests, not what happened: they never reach an accumulator.
"""

from __future__ import annotations

import dataclasses

from ifd.records import ASK, BID
from ifd.sessions import session_date
from ifd.symbols import Instrument


@dataclasses.dataclass(frozen=True, slots=True)
class PressureWindow:
    """Pressure of one instrument in one closed window, `window_start <= ts_event < window_end`.

    Volumes, adds and pulls are lots; a pull is what was withdrawn, not what was filled.
    `sweep_levels` is the most price levels one aggressor took in one event, `largest_print` the
    largest trade record. `order_flow_imbalance` is the sum over events of the change of size at the
    touch, bids minus asks (Cont, Kukanov, Stoikov 2014). `mid_open` is the mid as the window
    opened, `mid_close` the last one; None where a side was empty.
    """

    instrument_id: int
    window_start: int
    window_end: int
    session_date: str
    raw_symbol: str
    buy_volume: int
    sell_volume: int
    unsided_volume: int
    buy_trades: int
    sell_trades: int
    largest_print: int
    sweep_levels: int
    messages: int
    bid_adds: int
    ask_adds: int
    bid_pulls: int
    ask_pulls: int
    order_flow_imbalance: int
    mid_open: int | None
    mid_close: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    """Open, high, low, close (1e-9), lots and trades of a future in one interval."""

    instrument_id: int
    interval_ns: int
    start_ns: int
    raw_symbol: str
    session_date: str
    open: int
    high: int
    low: int
    close: int
    volume: int
    trades: int
    closed: bool


class OpenWindow:
    """A window that is still filling; the fields are those of `PressureWindow`."""

    __slots__ = (
        "ask_adds",
        "ask_pulls",
        "bid_adds",
        "bid_pulls",
        "buy_trades",
        "buy_volume",
        "end",
        "largest_print",
        "messages",
        "mid_close",
        "mid_open",
        "order_flow_imbalance",
        "sell_trades",
        "sell_volume",
        "start",
        "sweep_levels",
        "unsided_volume",
    )

    def __init__(self, start: int, end: int, mid: int | None) -> None:
        self.start = start
        self.end = end
        self.buy_volume = 0
        self.sell_volume = 0
        self.unsided_volume = 0
        self.buy_trades = 0
        self.sell_trades = 0
        self.largest_print = 0
        self.sweep_levels = 0
        self.messages = 0
        self.bid_adds = 0
        self.ask_adds = 0
        self.bid_pulls = 0
        self.ask_pulls = 0
        self.order_flow_imbalance = 0
        self.mid_open = mid
        self.mid_close = mid

    def trade(self, side: int, size: int) -> None:
        """Take in a trade record; a side that is neither belongs to nobody."""
        if side == BID:
            self.buy_volume += size
            self.buy_trades += 1
        elif side == ASK:
            self.sell_volume += size
            self.sell_trades += 1
        else:
            self.unsided_volume += size
        self.largest_print = max(self.largest_print, size)

    @property
    def signed_volume(self) -> int:
        """Lots bought minus lots sold by aggressors."""
        return self.buy_volume - self.sell_volume

    def closed(self, instrument: Instrument) -> PressureWindow:
        """Return the window as the fact it has become."""
        return PressureWindow(
            instrument_id=instrument.instrument_id,
            window_start=self.start,
            window_end=self.end,
            session_date=session_date(self.start),
            raw_symbol=instrument.raw_symbol,
            buy_volume=self.buy_volume,
            sell_volume=self.sell_volume,
            unsided_volume=self.unsided_volume,
            buy_trades=self.buy_trades,
            sell_trades=self.sell_trades,
            largest_print=self.largest_print,
            sweep_levels=self.sweep_levels,
            messages=self.messages,
            bid_adds=self.bid_adds,
            ask_adds=self.ask_adds,
            bid_pulls=self.bid_pulls,
            ask_pulls=self.ask_pulls,
            order_flow_imbalance=self.order_flow_imbalance,
            mid_open=self.mid_open,
            mid_close=self.mid_close,
        )


class OpenBar:
    """A bar that is still moving."""

    __slots__ = ("close", "end", "high", "interval", "low", "open", "start", "trades", "volume")

    def __init__(self, interval: int, start: int, price: int) -> None:
        self.interval = interval
        self.start = start
        self.end = start + interval
        self.open = self.high = self.low = self.close = price
        self.volume = 0
        self.trades = 0

    def trade(self, price: int, size: int) -> None:
        """Take in a trade, whatever its side."""
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += size
        self.trades += 1

    def state(self, instrument: Instrument, *, closed: bool) -> Bar:
        """Return the bar as it is now."""
        return Bar(
            instrument_id=instrument.instrument_id,
            interval_ns=self.interval,
            start_ns=self.start,
            raw_symbol=instrument.raw_symbol,
            session_date=session_date(self.start),
            open=self.open,
            high=self.high,
            low=self.low,
            close=self.close,
            volume=self.volume,
            trades=self.trades,
            closed=closed,
        )
