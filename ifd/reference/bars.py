"""A bar that is still moving."""

from __future__ import annotations

from ifd.sessions import session_date
from ifd.symbols import Instrument
from ifd.windows.facts import Bar


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
