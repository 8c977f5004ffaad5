"""What the compiled windows are made of: rows of integers per instrument and length.

Lengths are nested: each is a multiple of the one before. An event is added to the shortest window
alone, and a window that closes is added to the next longer one, so the cost of an event does not
depend on how many lengths there are.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ifd.book.state import Integers, Structured, grown
from ifd.units import NANOS_PER_SECOND
from ifd.windows.facts import FAR, RECENT_WINDOWS, WINDOW_COLUMNS

LATEST: Final = 2**62
"""A timestamp from here on (the year 2116) is no timestamp."""
GRACE_NS: Final = NANOS_PER_SECOND
"""How far another instrument's time must be past a silent window's end to close it."""
CLOCK_TOLERANCE_NS: Final = NANOS_PER_SECOND
"""How far `ts_event` may be ahead of `ts_recv`; beyond it the clock that stamped it is wrong."""
WIDEST_SPREAD: Final = 2**41
"""A spread beyond 2,199 points, either way, counts as that: sums stay far from overflow."""

# Columns of a window's row: the order of WINDOW_COLUMNS.
START: Final = WINDOW_COLUMNS.index("start")
END: Final = WINDOW_COLUMNS.index("end")
MID_OPEN: Final = WINDOW_COLUMNS.index("mid_open")
MID_CLOSE: Final = WINDOW_COLUMNS.index("mid_close")
LARGEST_PRINT: Final = WINDOW_COLUMNS.index("largest_print")
SWEEP_LEVELS: Final = WINDOW_COLUMNS.index("sweep_levels")
SUMS: Final = WINDOW_COLUMNS.index("buy_volume")
"""From here on, every column is a sum."""
BUY_VOLUME: Final = WINDOW_COLUMNS.index("buy_volume")
SELL_VOLUME: Final = WINDOW_COLUMNS.index("sell_volume")
UNSIDED_VOLUME: Final = WINDOW_COLUMNS.index("unsided_volume")
BUY_TRADES: Final = WINDOW_COLUMNS.index("buy_trades")
SELL_TRADES: Final = WINDOW_COLUMNS.index("sell_trades")
UNSIDED_TRADES: Final = WINDOW_COLUMNS.index("unsided_trades")
MESSAGES: Final = WINDOW_COLUMNS.index("messages")
CANCELS: Final = WINDOW_COLUMNS.index("cancels")
BID_ADDS: Final = WINDOW_COLUMNS.index("bid_adds")
BID_PULLS: Final = WINDOW_COLUMNS.index("bid_pulls")
BID_REFILLS: Final = WINDOW_COLUMNS.index("bid_refills")
TOUCH_IMBALANCE: Final = WINDOW_COLUMNS.index("order_flow_imbalance")
DEPTH_IMBALANCE: Final = WINDOW_COLUMNS.index("depth_imbalance")
QUOTED_NS: Final = WINDOW_COLUMNS.index("quoted_ns")
TOUCH_CHANGES: Final = WINDOW_COLUMNS.index("touch_changes")
QUOTED_EVENTS: Final = WINDOW_COLUMNS.index("quoted_events")
SPREAD_SUM: Final = WINDOW_COLUMNS.index("spread_sum")
DELTA_VOLUME: Final = WINDOW_COLUMNS.index("delta_volume")
DELTA_IMBALANCE: Final = WINDOW_COLUMNS.index("delta_imbalance")
COLUMNS: Final = len(WINDOW_COLUMNS)

# Columns of `clock`.
WATERMARK: Final = 0
WAKE_AT: Final = 1
SWEEP_AT: Final = 2
SESSION_CHECK_AT: Final = 3
PRIMARY: Final = 4
JUDGING: Final = 5
CLOSED: Final = 6
CLOSED_BARS: Final = 7
JUDGED: Final = 8
EVENT_BUY: Final = 9
EVENT_SELL: Final = 10
EVENT_PRINTS: Final = 11
RECORDS: Final = 12
EVENTS: Final = 13
TRADES: Final = 14
WINDOWS: Final = 15
UNDEFINED_RECORDS: Final = 16
LATE_RECORDS: Final = 17
PLACED: Final = 18
CLOCK: Final = 19

# What a book is, in its `kind`.
NOT_DEFINED: Final = 0
OTHER: Final = 1
OPTION: Final = 2
FUTURE: Final = 3

BAR_DTYPE: Final = np.dtype(
    [
        ("book", "i8"),
        ("interval", "i8"),
        ("start", "i8"),
        ("end", "i8"),  # 0 while no bar is open
        ("open", "i8"),
        ("high", "i8"),
        ("low", "i8"),
        ("close", "i8"),
        ("volume", "i8"),
        ("trades", "i8"),
        ("moved", "i8"),
    ]
)
BAR_COLUMNS: Final = 9
"""Of `closed_bars`: book, interval, start, open, high, low, close, volume, trades."""

_FIRST_FLOWS: Final = 64
_SPARE_ROWS: Final = 4_096
_BAR_ROWS: Final = 1_024


class FlowArrays(NamedTuple):
    """The arrays of all windows, as kernels take them; `running` is by book, length, column."""

    clock: Integers
    lengths: Integers
    intervals: Integers
    running: Integers
    deadlines: Integers
    recent: Integers
    bars: Structured
    closed: Integers
    closed_bars: Integers
    judged: Integers


class FlowStore:
    """Owns the arrays of all windows, and makes room before a kernel needs it."""

    def __init__(self, lengths: tuple[int, ...], primary: int, intervals: tuple[int, ...]) -> None:
        self.clock = np.zeros(CLOCK, np.int64)
        self.clock[WAKE_AT] = self.clock[SWEEP_AT] = FAR
        self.clock[PRIMARY] = primary
        self.lengths = np.array(lengths, np.int64)
        self.intervals = np.array(intervals, np.int64)
        self.running = np.zeros((_FIRST_FLOWS, len(lengths), COLUMNS), np.int64)
        self.deadlines = np.full(_FIRST_FLOWS, FAR, np.int64)
        # The newest last: its place, then starts and signed volumes.
        self.recent = np.zeros((_FIRST_FLOWS, 2 * RECENT_WINDOWS), np.int64)
        self.bars = np.zeros(0, BAR_DTYPE)
        self.closed = np.zeros((_SPARE_ROWS, 1 + COLUMNS), np.int64)
        self.closed_bars = np.zeros((_BAR_ROWS, BAR_COLUMNS), np.int64)
        self.judged = np.zeros((len(lengths), COLUMNS), np.int64)

    def arrays(self) -> FlowArrays:
        """Return the arrays as they are; after any growth they are others."""
        return FlowArrays(
            self.clock,
            self.lengths,
            self.intervals,
            self.running,
            self.deadlines,
            self.recent,
            self.bars,
            self.closed,
            self.closed_bars,
            self.judged,
        )

    @property
    def nbytes(self) -> int:
        """Memory of all arrays."""
        return sum(array.nbytes for array in self.arrays())

    def pack(self) -> dict[str, bytes]:
        """Return the arrays as bytes, without what is only room for closed windows."""
        kept = self.arrays()._asdict()
        del kept["closed"], kept["closed_bars"], kept["judged"]
        return {name: array.tobytes() for name, array in kept.items()}

    @classmethod
    def unpack(cls, packed: dict[str, bytes]) -> FlowStore:
        """Return a store with the arrays that `pack` gave."""
        lengths = np.frombuffer(packed["lengths"], np.int64).tolist()
        intervals = np.frombuffer(packed["intervals"], np.int64).tolist()
        store = cls(tuple(lengths), 0, tuple(intervals))
        for name, data in packed.items():
            like = getattr(store, name)
            array = np.frombuffer(data, like.dtype).reshape(-1, *like.shape[1:]).copy()
            setattr(store, name, array)
        return store

    def make_room(self, books: int) -> None:
        """Make rows for every window and bar of `books` instruments to close at once."""
        wanted = 2 * len(self.lengths) * books + _SPARE_ROWS
        if len(self.closed) < wanted:
            self.closed = grown(self.closed, 2 * wanted)
        if len(self.closed_bars) < 2 * len(self.bars) + _BAR_ROWS:
            self.closed_bars = grown(self.closed_bars, 4 * len(self.bars) + _BAR_ROWS)

    def open_flow(self, index: int) -> None:
        """Begin without windows at `index`."""
        if index == len(self.deadlines):
            self.running = grown(self.running, 2 * index)
            self.recent = grown(self.recent, 2 * index)
            self.deadlines = grown(self.deadlines, 2 * index, FAR)
        self.running[index] = 0
        self.recent[index] = 0
        self.deadlines[index] = FAR

    def open_bars(self, index: int) -> int:
        """Return where the bars of a future's intervals are from now on."""
        place = len(self.bars)
        self.bars = grown(self.bars, place + len(self.intervals))
        self.bars["book"][place:] = index
        self.bars["interval"][place:] = self.intervals
        return place
