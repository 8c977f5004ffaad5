"""One instrument while it is watched: its book, its tape, and the window and bars that are open."""

from __future__ import annotations

from collections import deque
from typing import Final

from ifd.book import OrderBook, Quote
from ifd.symbols import Instrument
from ifd.tape import Print, Tape, levels_taken
from ifd.windows.facts import OpenBar, OpenWindow

RECENT_WINDOWS: Final = 4
"""Closed windows with trades whose signed volume an instrument remembers, for slow accumulation."""
FAR: Final = 2**63
"""Later than any timestamp that is placed."""

_NO_BID: Final = -(2**63)
_NO_ASK: Final = 2**63


class InstrumentFlow:
    """Everything known of one instrument.

    Attributes
    ----------
    instrument : Instrument or None
        None while no definition was seen: the book is kept, nothing else.
    window : OpenWindow or None
        None before the first record of a window.
    bars : dict of int to OpenBar
        The open bar of each interval in ns; futures only.
    event_prints : list of Print
        The trade records of the event that just ended.
    event_ts, event_recv : int
        Event time of the last record as placed, and its capture time, ns UTC.
    floor : int
        End of the newest closed window or bar: nothing is placed before it.
    deadline : int
        The first moment at which something that is open ends.
    recent : deque of (int, int)
        Start and signed volume of the last closed windows in which something traded.
    """

    __slots__ = (
        "_ask_added",
        "_ask_price",
        "_ask_removed",
        "_ask_size",
        "_bid_added",
        "_bid_price",
        "_bid_removed",
        "_bid_size",
        "bars",
        "book",
        "deadline",
        "event_prints",
        "event_recv",
        "event_ts",
        "floor",
        "instrument",
        "is_future",
        "is_option",
        "mid",
        "recent",
        "reset_in_event",
        "tape",
        "window",
    )

    def __init__(self, instrument: Instrument | None) -> None:
        self.book = OrderBook()
        self.tape = Tape()
        self.window: OpenWindow | None = None
        self.bars: dict[int, OpenBar] = {}
        self.recent: deque[tuple[int, int]] = deque(maxlen=RECENT_WINDOWS)
        self.event_prints: list[Print] = []
        self.event_ts = 0
        self.event_recv = 0
        self.floor = 0
        self.deadline = FAR
        self.mid: int | None = None
        self.reset_in_event = False
        self._bid_price, self._bid_size = _NO_BID, 0
        self._ask_price, self._ask_size = _NO_ASK, 0
        self._bid_added = self._bid_removed = self._ask_added = self._ask_removed = 0
        self.identify(instrument)

    def identify(self, instrument: Instrument | None) -> None:
        """Say what the instrument is, without touching what is known of it."""
        self.instrument = instrument
        self.is_option = instrument is not None and instrument.is_option
        self.is_future = instrument is not None and instrument.is_future

    @property
    def reference_price(self) -> int | None:
        """Mid, or the last trade where a side is empty, in 1e-9; None before either."""
        return self.tape.last_price if self.mid is None else self.mid

    def end_event(self) -> None:
        """Look at the book where an event ends and add what happened to the open window."""
        book, window = self.book, self.window
        bid, ask = book.bids.best(), book.asks.best()
        if window is not None and not self.reset_in_event:
            self._count_size(window)
            window.order_flow_imbalance += self._touch_imbalance(bid, ask)
        self._mark(bid, ask)
        if window is not None:
            window.mid_close = self.mid
            if window.mid_open is None:
                window.mid_open = self.mid
        self.event_prints = self.tape.event_prints
        self.tape.end_event()
        self.reset_in_event = False

    def _count_size(self, window: OpenWindow) -> None:
        bids, asks, tape = self.book.bids, self.book.asks, self.tape
        window.bid_adds += bids.added - self._bid_added
        window.ask_adds += asks.added - self._ask_added
        # What left the book and was filled is an execution; a refill after a fill leaves nothing.
        window.bid_pulls += max(0, bids.removed - self._bid_removed - tape.filled_bids)
        window.ask_pulls += max(0, asks.removed - self._ask_removed - tape.filled_asks)
        if tape.event_prints:
            window.sweep_levels = max(window.sweep_levels, levels_taken(tape.event_prints))

    def _touch_imbalance(self, bid: Quote | None, ask: Quote | None) -> int:
        """Return the order-flow imbalance of one event; an empty side lies beyond every price."""
        bid_price, bid_size = (_NO_BID, 0) if bid is None else (bid.price, bid.size)
        ask_price, ask_size = (_NO_ASK, 0) if ask is None else (ask.price, ask.size)
        imbalance = 0
        if bid_price >= self._bid_price:
            imbalance += bid_size
        if bid_price <= self._bid_price:
            imbalance -= self._bid_size
        if ask_price <= self._ask_price:
            imbalance -= ask_size
        if ask_price >= self._ask_price:
            imbalance += self._ask_size
        return imbalance

    def _mark(self, bid: Quote | None, ask: Quote | None) -> None:
        """Remember where this event ended, for the differences of the next."""
        bids, asks = self.book.bids, self.book.asks
        self._bid_price, self._bid_size = (_NO_BID, 0) if bid is None else (bid.price, bid.size)
        self._ask_price, self._ask_size = (_NO_ASK, 0) if ask is None else (ask.price, ask.size)
        self._bid_added, self._bid_removed = bids.added, bids.removed
        self._ask_added, self._ask_removed = asks.added, asks.removed
        self.mid = None if bid is None or ask is None else (bid.price + ask.price) // 2
