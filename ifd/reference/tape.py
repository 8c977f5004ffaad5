"""What traded in one instrument: totals, and the event that is running.

One aggressive order is published as one trade record per price it reached, and one fill record per
resting order it met. Lots are counted from the trades alone; the fills tell which cancels and
modifies of the same event are executions and not withdrawals. A trade without a side (implied
orders, auctions) is nobody's aggression: it is kept apart.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

from ifd.book.quotes import Best
from ifd.records import ASK, BID, F_LAST, F_SNAPSHOT, TRADE, MboArray
from ifd.reference.order_book import OrderBook
from ifd.units import UNDEFINED_PRICE


class Print(NamedTuple):
    """One trade record: aggressor's side and order (0 when not told), price in 1e-9, lots."""

    side: int
    order_id: int
    price: int
    size: int


class Tape:
    """Totals since the start, and the prints and fills of the event that is running."""

    __slots__ = (
        "buy_volume",
        "event_prints",
        "filled_asks",
        "filled_bids",
        "last_price",
        "sell_volume",
        "trades",
        "unsided_volume",
    )

    def __init__(self) -> None:
        self.buy_volume = 0
        self.sell_volume = 0
        self.unsided_volume = 0
        self.trades = 0
        self.last_price: int | None = None
        self.event_prints: list[Print] = []
        self.filled_bids = 0
        self.filled_asks = 0

    @property
    def event_buy(self) -> int:
        """Lots that aggressors bought in this event."""
        return sum(one.size for one in self.event_prints if one.side == BID)

    @property
    def event_sell(self) -> int:
        """Lots that aggressors sold in this event."""
        return sum(one.size for one in self.event_prints if one.side == ASK)

    def trade(self, side: int, order_id: int, price: int, size: int) -> None:
        """Take in a trade record."""
        self.trades += 1
        if price != UNDEFINED_PRICE:
            self.last_price = price
        if side == BID:
            self.buy_volume += size
        elif side == ASK:
            self.sell_volume += size
        else:
            self.unsided_volume += size
        self.event_prints.append(Print(side, order_id, price, size))

    def fill(self, side: int, size: int) -> None:
        """Take in a fill record; `side` is that of the resting order."""
        if side == BID:
            self.filled_bids += size
        elif side == ASK:
            self.filled_asks += size

    def end_event(self) -> None:
        """Make room for the next event."""
        if self.event_prints:
            self.event_prints = []
        self.filled_bids = 0
        self.filled_asks = 0


def levels_taken(prints: list[Print]) -> int:
    """Return the most prices that one aggressor reached in a row; 0 without an aggressor.

    Examples
    --------
    >>> levels_taken([Print(66, 7, 100, 5), Print(66, 7, 101, 3), Print(65, 8, 99, 1)])
    2
    """
    sided = [one for one in prints if one.side in (BID, ASK)]
    most = 0
    for _, run in itertools.groupby(sided, key=lambda one: (one.side, one.order_id)):
        prices = [one.price for one in run]
        most = max(most, 1 + sum(one != other for one, other in itertools.pairwise(prices)))
    return most


class TrackedInstrument:
    """One instrument's book and tape, and what was counted on the way."""

    __slots__ = ("book", "crossed_events", "events", "records", "tape")

    def __init__(self) -> None:
        self.book = OrderBook()
        self.tape = Tape()
        self.records = 0
        self.events = 0
        self.crossed_events = 0


class Market:
    """Books and tapes of any number of instruments, with nothing else: no windows, no definitions.

    An event is counted where it ends. It is crossed when its best bid is above its best ask, which
    is legitimate before the open and in the daily pause.
    """

    def __init__(self) -> None:
        self.instruments: dict[int, TrackedInstrument] = {}

    def update(self, records: MboArray) -> list[Best]:
        """Take in records in wire order, and return the best prices at each end of event."""
        best = []
        columns = (
            records[name].tolist()
            for name in (
                "instrument_id",
                "action",
                "side",
                "order_id",
                "price",
                "size",
                "flags",
                "ts_recv",
            )
        )
        for instrument_id, action, side, order_id, price, size, flags, ts_recv in zip(
            *columns, strict=True
        ):
            tracked = self.instruments.get(instrument_id)
            if tracked is None:
                tracked = self.instruments[instrument_id] = TrackedInstrument()
            tracked.records += 1
            if action == TRADE and not flags & F_SNAPSHOT:
                tracked.tape.trade(side, order_id, price, size)
            tracked.book.apply(action, side, order_id, price, size, flags, ts_recv)
            if flags & F_LAST:
                tracked.events += 1
                tracked.tape.end_event()
                tracked.book.end_event()
                bid, ask = tracked.book.bids.best(), tracked.book.asks.best()
                if bid is not None and ask is not None and bid.price > ask.price:
                    tracked.crossed_events += 1
                best.append(Best(ts_recv, instrument_id, bid, ask))
        return best
