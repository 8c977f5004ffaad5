"""What the compiled books are made of: flat arrays, grown between kernel calls, never inside one.

Orders lie in one pool. A hash finds them by (instrument, order id), and each is linked to the
orders before and behind it at its price. The hash is Litwin's (1980): it grows by one bucket at a
time, so no insertion ever waits for a rehash. A side of a book is one block of levels, worst to
best, with free room at both ends, so that what happens near the touch or at the far end moves
little, whether there are three levels or nine hundred. Prices of asks are kept complemented
(`~price`): on both sides the greatest key is best.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ifd.records import MboArray
from ifd.units import UNDEFINED_PRICE

Structured = npt.NDArray[np.void]
Integers = npt.NDArray[np.int64]

DEPTH_LEVELS: Final = 5
"""First levels of each side whose changes make the imbalance of the depth."""
NOWHERE: Final = -(2**63)
"""Key of a level that does not exist: worse than every price."""
NOT_KNOWN: Final = UNDEFINED_PRICE
"""A price, or a mid, that is not there."""

ORDER_DTYPE: Final = np.dtype(
    [
        ("order_id", "u8"),
        ("price", "i8"),
        ("size", "u4"),
        ("shown", "u4"),  # lots when it was last placed
        ("filled", "u4"),  # lots filled in the event `event` of its instrument
        ("event", "u4"),
        ("owner", "i4"),  # index of its side: twice its book's, one more for asks
        ("before", "i4"),
        ("behind", "i4"),
        ("chain", "i4"),  # next in its bucket, or next free slot
    ]
)
LEVEL_DTYPE: Final = np.dtype(
    [
        ("key", "i8"),
        ("size", "i8"),
        ("orders", "i4"),
        ("first", "i4"),  # next free block, where the block is free
        ("last", "i4"),
        ("spare", "i4"),
    ]
)
SIDE_DTYPE: Final = np.dtype(
    [
        ("offset", "i4"),
        ("capacity", "i4"),
        ("begin", "i4"),  # its worst level; free room is kept on both sides
        ("count", "i4"),
        ("hint", "i4"),  # index where a level was last searched for
        ("changed", "i4"),  # 1 when the event that is running touched a level
        # Lots of the event that is running.
        ("added", "i8"),
        ("removed", "i8"),
        ("filled", "i8"),
        ("refills", "i8"),
        # The order that fills took away last: it may come back as the next slice of an iceberg.
        ("gone_price", "i8"),
        ("gone_size", "i8"),
        ("gone_ts", "i8"),
    ]
)
BOOK_DTYPE: Final = np.dtype(
    [
        ("instrument_id", "i8"),
        ("orders", "i8"),
        ("records", "i8"),
        ("events", "i8"),
        ("crossed_events", "i8"),
        ("malformed_records", "i8"),
        ("unknown_cancels", "i8"),
        ("unknown_modifies", "i8"),
        ("unknown_fills", "i8"),
        ("buy_volume", "i8"),
        ("sell_volume", "i8"),
        ("unsided_volume", "i8"),
        ("trades", "i8"),
        ("last_price", "i8"),
        # The event that is running.
        ("event_prints", "i8"),
        ("event_buy", "i8"),
        ("event_sell", "i8"),
        ("run_side", "i8"),  # one aggressor's prints in a row
        ("run_order", "u8"),
        ("run_price", "i8"),
        ("run_levels", "i8"),
        ("event_levels", "i8"),
        ("event_number", "u4"),
        ("snapshot", "u1"),
        ("complete", "u1"),
        ("faulty", "u1"),
        ("reset", "u1"),  # 1 when the event that is running holds a clear or snapshot
        # What it is, and where its time stands; for windows alone.
        ("kind", "i8"),
        ("strike_price", "i8"),
        ("expiration_ns", "i8"),
        ("is_call", "i8"),
        ("underlying", "i8"),
        ("mid", "i8"),
        ("delta", "i8"),  # in millionths
        ("delta_ts", "i8"),
        ("event_ts", "i8"),
        ("event_recv", "i8"),
        ("floor", "i8"),
        ("quoted_until", "i8"),
        ("bars", "i8"),
    ]
)

# Columns of `counts`.
FREE_ORDER: Final = 0
POOL_TOP: Final = 1
LIVE_ORDERS: Final = 2
BUCKETS: Final = 3
HALF: Final = 4
LEVELS_TOP: Final = 5
LARGEST_BLOCK: Final = 6
BOOKS: Final = 7
FAULTS: Final = 8
FREE_BLOCKS: Final = 9
COUNTS: Final = FREE_BLOCKS + 32

# Columns of `faults`: index of the book, event time, cause, 1 where the fault ends.
FAULT_COLUMNS: Final = 4
FLAGGED: Final = 0
UNKNOWN_ORDER: Final = 1

SMALLEST_BLOCK: Final = 4
_ID_SPREAD: Final = 40_503
"""Knuth's multiplier for sixteen bits: a product with an id stays far below 2**63."""
_FIRST_ORDERS: Final = 65_536
_FIRST_BUCKETS: Final = 65_536
_FIRST_LEVELS: Final = 65_536
_FIRST_BOOKS: Final = 64
_FAULT_ROWS: Final = 1_024


class BookArrays(NamedTuple):
    """The arrays of all books, as kernels take them."""

    counts: Integers
    orders: Structured
    buckets: npt.NDArray[np.int32]
    levels: Structured
    sides: Structured
    books: Structured
    depth: Integers
    ids: Integers
    faults: Integers


def read_only(records: MboArray) -> MboArray:
    """Return a contiguous view of records that cannot be written: kernels know one type alone."""
    view = np.ascontiguousarray(records).view()
    view.flags.writeable = False
    return view


def id_place(instrument_id: int, mask: int) -> int:
    """Return where the search for an instrument id begins."""
    return (instrument_id * _ID_SPREAD >> 8) & mask


def grown(array: npt.NDArray[Any], rows: int, fill: int | None = None) -> npt.NDArray[Any]:
    """Return `array` with room for `rows`; what is new holds `fill`, or zeros."""
    # Any: of whatever dtype it is.
    larger = np.zeros((rows, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    if fill is not None:
        larger[len(array) :] = fill
    return larger


def unpacked(data: bytes, like: npt.NDArray[Any], fill: int | None = None) -> npt.NDArray[Any]:
    """Return an array of the dtype and row of `like` from bytes, at least as long, padded."""
    # Any: of whatever dtype it is.
    found = np.frombuffer(data, like.dtype).reshape(-1, *like.shape[1:])
    rows = len(like)
    while rows < len(found):
        rows *= 2
    return grown(found, rows, fill)


class BookStore:
    """Owns the arrays of all books, and makes room before a kernel needs it."""

    def __init__(self) -> None:
        counts = np.zeros(COUNTS, np.int64)
        counts[FREE_ORDER] = -1
        counts[FREE_BLOCKS:] = -1
        counts[BUCKETS] = counts[HALF] = _FIRST_BUCKETS
        self.counts = counts
        self.orders = np.zeros(_FIRST_ORDERS, ORDER_DTYPE)
        self.buckets = np.full(2 * _FIRST_BUCKETS, -1, np.int32)
        self.levels = np.zeros(_FIRST_LEVELS, LEVEL_DTYPE)
        self.sides = np.zeros(2 * _FIRST_BOOKS, SIDE_DTYPE)
        self.books = np.zeros(_FIRST_BOOKS, BOOK_DTYPE)
        self.depth = np.zeros((2 * _FIRST_BOOKS, 2 * DEPTH_LEVELS), np.int64)
        # Instrument ids to indices of books: open addressing, twice as many places as ids.
        self.ids = np.full((2 * _FIRST_BOOKS, 2), -1, np.int64)
        self.faults = np.empty((_FAULT_ROWS, FAULT_COLUMNS), np.int64)

    def arrays(self) -> BookArrays:
        """Return the arrays as they are; after any growth they are others."""
        return BookArrays(
            self.counts,
            self.orders,
            self.buckets,
            self.levels,
            self.sides,
            self.books,
            self.depth,
            self.ids,
            self.faults,
        )

    @property
    def size(self) -> int:
        """How many books there are."""
        return int(self.counts[BOOKS])

    @property
    def nbytes(self) -> int:
        """Memory of all arrays."""
        return sum(array.nbytes for array in self.arrays())

    def make_room(self) -> None:
        """Double what is nearly used up: copying takes milliseconds, nothing is rehashed."""
        counts = self.counts
        if counts[FREE_ORDER] < 0 and counts[POOL_TOP] + 1 >= len(self.orders):
            self.orders = grown(self.orders, 2 * len(self.orders))
        if counts[BUCKETS] + 2 >= len(self.buckets):
            self.buckets = grown(self.buckets, 2 * len(self.buckets), -1)
        if counts[LEVELS_TOP] + 2 * max(counts[LARGEST_BLOCK], SMALLEST_BLOCK) >= len(self.levels):
            self.levels = grown(self.levels, 2 * len(self.levels))

    def take_faults(self) -> list[list[int]]:
        """Return the rows of `faults` since the last call."""
        count = int(self.counts[FAULTS])
        self.counts[FAULTS] = 0
        rows: list[list[int]] = self.faults[:count].tolist()
        return rows

    def open_book(self, instrument_id: int) -> int:
        """Return the index of a new, empty book."""
        index = self.size
        if index == len(self.books):
            self.books = grown(self.books, 2 * index)
            self.sides = grown(self.sides, 4 * index)
            self.depth = grown(self.depth, 4 * index)
        if 2 * (index + 1) > len(self.ids):
            self._widen_ids()
        self.counts[BOOKS] = index + 1
        self.reset(index, instrument_id)
        self._note_id(instrument_id, index)
        return index

    def reset(self, index: int, instrument_id: int) -> None:
        """Make a book one that never saw a record; it must hold no orders."""
        self.books[index] = np.zeros((), BOOK_DTYPE)
        book = self.books[index]
        book["instrument_id"] = instrument_id
        book["last_price"] = book["mid"] = NOT_KNOWN
        book["underlying"] = book["bars"] = -1
        for side in (2 * index, 2 * index + 1):
            self.depth[side, :DEPTH_LEVELS] = NOWHERE
            self.depth[side, DEPTH_LEVELS:] = 0
            block = self.sides[side]
            offset, capacity = block["offset"], block["capacity"]
            self.sides[side] = np.zeros((), SIDE_DTYPE)
            self.sides[side]["offset"] = self.sides[side]["begin"] = offset
            self.sides[side]["capacity"] = capacity

    def pack(self) -> dict[str, bytes]:
        """Return the arrays as bytes, without the room that is not used."""
        counts = self.counts
        used = {
            "orders": int(counts[POOL_TOP]),
            "buckets": int(counts[BUCKETS]),
            "levels": int(counts[LEVELS_TOP]),
            "sides": 2 * self.size,
            "books": self.size,
            "depth": 2 * self.size,
        }
        return {
            name: array[: used.get(name, len(array))].tobytes()
            for name, array in self.arrays()._asdict().items()
        }

    @classmethod
    def unpack(cls, packed: dict[str, bytes]) -> BookStore:
        """Return a store with the arrays that `pack` gave."""
        store = cls()
        fresh = store.arrays()._asdict()
        for name, array in fresh.items():
            setattr(store, name, unpacked(packed[name], array, -1 if name == "buckets" else None))
        return store

    def find(self, instrument_id: int) -> int:
        """Return the index of an instrument's book, or -1."""
        mask = len(self.ids) - 1
        place = id_place(instrument_id, mask)
        while self.ids[place, 0] >= 0:
            if self.ids[place, 0] == instrument_id:
                return int(self.ids[place, 1])
            place = (place + 1) & mask
        return -1

    def _note_id(self, instrument_id: int, index: int) -> None:
        mask = len(self.ids) - 1
        place = id_place(instrument_id, mask)
        while self.ids[place, 0] >= 0:
            place = (place + 1) & mask
        self.ids[place] = (instrument_id, index)

    def _widen_ids(self) -> None:
        known = self.ids[self.ids[:, 0] >= 0].tolist()
        self.ids = np.full((2 * len(self.ids), 2), -1, np.int64)
        for instrument_id, index in known:
            self._note_id(instrument_id, index)
