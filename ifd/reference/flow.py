"""One instrument while it is watched: its book, its tape, its open windows and bars."""

from __future__ import annotations

from collections import deque
from typing import Final

from ifd.book.quotes import Quote
from ifd.book.state import DEPTH_LEVELS
from ifd.options import delta_millionths
from ifd.reference.bars import OpenBar
from ifd.reference.order_book import OrderBook
from ifd.reference.tape import Tape, levels_taken
from ifd.symbols import Instrument
from ifd.units import DELTA_SCALE, NANOS_PER_MINUTE, NANOS_PER_SECOND, UNDEFINED_PRICE
from ifd.windows.facts import FAR, RECENT_WINDOWS, OpenWindow
from ifd.windows.state import WIDEST_SPREAD

_NO_BID: Final = -(2**63)
_NO_ASK: Final = 2**63
_TRADED_DELTA_NS: Final = NANOS_PER_SECOND
_QUOTED_DELTA_NS: Final = NANOS_PER_MINUTE

Levels = list[tuple[int, int]]
"""Price and lots, the best first, filled up with levels that are not there."""


class ReferenceFlow:
    """Everything known of one instrument.

    Attributes
    ----------
    instrument : Instrument or None
        None while no definition was seen: the book is kept, nothing else.
    windows : dict of int to OpenWindow
        The running window of each length in ns, in order of lengths; empty before a first record.
    bars : dict of int to OpenBar
        The open bar of each interval in ns; futures only.
    event_ts, event_recv : int
        Event time of the last record as placed, and its capture time, ns UTC.
    floor : int
        End of the newest closed window or bar: nothing is placed before it.
    quoted_until : int
        Up to when the time at which both sides were quoted has been counted.
    recent : deque of (int, int)
        Start and signed volume of the last closed windows in which something traded.
    """

    def __init__(self, instrument: Instrument | None) -> None:
        self.instrument = instrument
        self.book = OrderBook()
        self.tape = Tape()
        self.windows: dict[int, OpenWindow] = {}
        self.bars: dict[int, OpenBar] = {}
        self.recent: deque[tuple[int, int]] = deque(maxlen=RECENT_WINDOWS)
        self.event_ts = 0
        self.event_recv = 0
        self.floor = 0
        self.quoted_until = 0
        self.mid: int | None = None
        self.delta = 0
        self.reset_in_event = False
        self._delta_ts = 0
        self._bids: Levels = [(_NO_BID, 0)] * DEPTH_LEVELS
        self._asks: Levels = [(_NO_ASK, 0)] * DEPTH_LEVELS
        self._mark_sizes()

    @property
    def is_option(self) -> bool:
        """True for an outright option."""
        return self.instrument is not None and self.instrument.is_option

    @property
    def is_future(self) -> bool:
        """True for an outright future."""
        return self.instrument is not None and self.instrument.is_future

    @property
    def deadline(self) -> int:
        """The first moment at which something that is open ends."""
        ends = [window.end for window in self.windows.values()]
        ends += [bar.end for bar in self.bars.values()]
        return min(ends, default=FAR)

    @property
    def reference_price(self) -> int | None:
        """Mid, or the last trade where a side is empty, in 1e-9; None before either."""
        return self.tape.last_price if self.mid is None else self.mid

    def accrue(self, until: int) -> None:
        """Add the time both sides were quoted to every window that is open."""
        for window in self.windows.values():
            since = max(self.quoted_until, window.start)
            if self.mid is not None:
                window.quoted_ns += max(0, min(until, window.end) - since)
        self.quoted_until = max(self.quoted_until, until)

    def end_event(self, future_price: int | None, *, shortest_is_open: bool) -> None:
        """Look at the book where an event ends and add what happened to the open windows."""
        if shortest_is_open:
            self.accrue(self.event_ts)
        bids = _padded(self.book.bids.first_levels(DEPTH_LEVELS), _NO_BID)
        asks = _padded(self.book.asks.first_levels(DEPTH_LEVELS), _NO_ASK)
        if self.windows and not self.reset_in_event:
            self._count_size()
            self._count_imbalance(bids, asks, future_price)
        self._bids, self._asks = bids, asks
        self._mark_sizes()
        self._note_mid(self.book.best_bid(), self.book.best_ask())
        self.tape.end_event()
        self.book.end_event()
        self.reset_in_event = False

    def _count_size(self) -> None:
        bids, asks, tape = self.book.bids, self.book.asks, self.tape
        bid_added, bid_removed, bid_refills, ask_added, ask_removed, ask_refills = self._sizes
        for window in self.windows.values():
            window.bid_adds += bids.added - bid_added
            window.ask_adds += asks.added - ask_added
            # What left the book and was filled is an execution; a refill after a fill leaves none.
            window.bid_pulls += max(0, bids.removed - bid_removed - tape.filled_bids)
            window.ask_pulls += max(0, asks.removed - ask_removed - tape.filled_asks)
            window.bid_refills += bids.refills - bid_refills
            window.ask_refills += asks.refills - ask_refills
            window.sweep_levels = max(window.sweep_levels, levels_taken(tape.event_prints))

    def _count_imbalance(self, bids: Levels, asks: Levels, future_price: int | None) -> None:
        """Count the change of size at the first levels, after Cont, Kukanov and Stoikov (2014)."""
        by_level = [
            _came(bid, before, sign=1) - _came(ask, ask_before, sign=-1)
            for bid, before, ask, ask_before in zip(bids, self._bids, asks, self._asks, strict=True)
        ]
        moved = bids[0][0] != self._bids[0][0] or asks[0][0] != self._asks[0][0]
        signed = self.tape.event_buy - self.tape.event_sell
        if signed or by_level[0]:
            traded = self.tape.event_buy + self.tape.event_sell > 0
            self._refresh_delta(future_price, _TRADED_DELTA_NS if traded else _QUOTED_DELTA_NS)
        for window in self.windows.values():
            window.order_flow_imbalance += by_level[0]
            window.depth_imbalance += sum(by_level)
            window.touch_changes += moved
            window.delta_volume += self.delta * signed
            window.delta_imbalance += self.delta * by_level[0]

    def _refresh_delta(self, future_price: int | None, oldest_ns: int) -> None:
        instrument = self.instrument
        if self.is_future:
            self.delta = DELTA_SCALE
        elif instrument is not None and self.is_option:
            if self.event_ts - self._delta_ts < oldest_ns:
                return
            assert instrument.strike_price is not None
            self.delta = delta_millionths(
                UNDEFINED_PRICE if self.mid is None else self.mid,
                UNDEFINED_PRICE if future_price is None else future_price,
                instrument.strike_price,
                instrument.expiration_ns - self.event_ts,
                instrument.right == "C",
            )
            is_priced = self.mid is not None and future_price is not None
            self._delta_ts = self.event_ts if is_priced else 0

    def _note_mid(self, bid: Quote | None, ask: Quote | None) -> None:
        self.mid = None if bid is None or ask is None else (bid.price + ask.price) // 2
        for window in self.windows.values():
            window.mid_close = self.mid
            if window.mid_open is None:
                window.mid_open = self.mid
            if bid is not None and ask is not None and not self.reset_in_event:
                spread = ask.price - bid.price
                window.quoted_events += 1
                window.spread_sum += min(max(spread, -WIDEST_SPREAD), WIDEST_SPREAD)

    def _mark_sizes(self) -> None:
        bids, asks = self.book.bids, self.book.asks
        self._sizes = (
            *(bids.added, bids.removed, bids.refills),
            *(asks.added, asks.removed, asks.refills),
        )


def _padded(levels: Levels, nowhere: int) -> Levels:
    return levels + [(nowhere, 0)] * (DEPTH_LEVELS - len(levels))


def _came(now: tuple[int, int], before: tuple[int, int], *, sign: int) -> int:
    """Return the size that came to a level: all of it if the price is better, none if worse."""
    (price, size), (price_before, size_before) = now, before
    came = 0
    if sign * price >= sign * price_before:
        came += size
    if sign * price <= sign * price_before:
        came -= size_before
    return came
