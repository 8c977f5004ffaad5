"""What traded in one instrument: totals, and the event that is running.

One aggressive order is published as one trade record per price it reached, and one fill record per
resting order it met. Lots are counted from the trades alone; the fills tell which cancels and
modifies of the same event are executions and not withdrawals. A trade without a side (implied
orders, auctions) is nobody's aggression: it is kept apart.

`Market` is books and tapes alone, for `ifd book`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ifd.book.books import CompiledBook
from ifd.book.changes import apply, find_book, has_room, signed
from ifd.book.quotes import Best, Quote
from ifd.book.state import BookArrays, BookStore, Integers, read_only
from ifd.compiled import kernel, part
from ifd.records import ASK, BID, F_LAST, F_SNAPSHOT, TRADE, MboArray
from ifd.units import UNDEFINED_PRICE

BBO_COLUMNS: Final = 8
"""`ts_recv`, instrument id, then price (1e-9), lots and orders of bid and ask."""
_DONE: Final = 0
_NEW_INSTRUMENT: Final = 1
_NO_ROOM: Final = 2


@part
def trade(book: Any, side: int, order_id: Any, price: int, size: int) -> None:
    """Take in a trade record; one without a price is lots all the same.

    `event_levels` is the most prices that one aggressor reached in a row in this event.
    """
    # Any: one element of BOOK_DTYPE, and an unsigned integer of numba's.
    book.trades += 1
    if price != UNDEFINED_PRICE:
        book.last_price = price
    book.event_prints += 1
    if side == BID:
        book.buy_volume += size
        book.event_buy += size
    elif side == ASK:
        book.sell_volume += size
        book.event_sell += size
    else:
        book.unsided_volume += size
        return
    if book.run_side != side or book.run_order != order_id:
        book.run_side = side
        book.run_order = order_id
        book.run_levels = 1
    elif price != book.run_price:
        book.run_levels += 1
    book.run_price = price
    book.event_levels = max(book.event_levels, book.run_levels)


@part
def end_event(arrays: BookArrays, index: int) -> None:
    """Make room for the next event of a book."""
    book = arrays.books[index]
    book.events += 1
    book.event_number += 1
    book.reset = 0
    if book.event_prints:
        book.event_prints = 0
        book.event_buy = 0
        book.event_sell = 0
        book.event_levels = 0
        book.run_side = 0
    for owner in range(2 * index, 2 * index + 2):
        side = arrays.sides[owner]
        side.added = 0
        side.removed = 0
        side.filled = 0
        side.refills = 0
        side.changed = 0


@part
def is_crossed(arrays: BookArrays, index: int) -> Any:
    """Return True if the best bid is above the best ask: legitimate before the open."""
    # Any: numba's boolean.
    bids, asks = arrays.sides[2 * index], arrays.sides[2 * index + 1]
    if bids.count == 0 or asks.count == 0:
        return False
    bid = arrays.levels[bids.begin + bids.count - 1].key
    return bid > ~arrays.levels[asks.begin + asks.count - 1].key


@kernel
def rebuild(
    records: MboArray, start: int, arrays: BookArrays, bbo: Integers
) -> tuple[int, int, int]:
    """Take in records from `start` on; return why it stopped, where, and the rows of `bbo`."""
    rows = 0
    for position in range(start, len(records)):
        record = records[position]
        index = find_book(arrays.ids, signed(record.instrument_id))
        if index < 0:
            return _NEW_INSTRUMENT, position, rows
        if not has_room(arrays.counts, arrays.orders, arrays.buckets, arrays.levels, arrays.faults):
            return _NO_ROOM, position, rows
        book = arrays.books[index]
        book.records += 1
        action, side, flags = record.action, record.side, record.flags
        size = signed(record.size)
        if action == TRADE and not flags & F_SNAPSHOT:
            trade(book, side, record.order_id, record.price, size)
        now = signed(record.ts_recv)
        apply(arrays, index, action, side, record.order_id, record.price, size, flags, now)
        if flags & F_LAST:
            end_event(arrays, index)
            book.crossed_events += is_crossed(arrays, index)
            if len(bbo):
                write_best(arrays, index, bbo[rows], now)
                rows += 1
    return _DONE, len(records), rows


@part
def write_best(arrays: BookArrays, index: int, row: Integers, ts_recv: int) -> None:
    """Write one row of best prices; a side without orders has 0 orders."""
    row[0] = ts_recv
    row[1] = arrays.books[index].instrument_id
    for owner in range(2 * index, 2 * index + 2):
        side = arrays.sides[owner]
        column = 2 + 3 * (owner & 1)
        if side.count:
            level = arrays.levels[side.begin + side.count - 1]
            row[column] = level.key ^ -(owner & 1)
            row[column + 1] = level.size
            row[column + 2] = level.orders
        else:
            row[column : column + 3] = 0


class Market:
    """Books and tapes of any number of instruments, with nothing else: no windows, no definitions.

    An event is counted where it ends. It is crossed when its best bid is above its best ask, which
    is legitimate before the open and in the daily pause.
    """

    def __init__(self) -> None:
        self._store = BookStore()

    @property
    def nbytes(self) -> int:
        """Memory of all books."""
        return self._store.nbytes

    def update(self, records: MboArray) -> None:
        """Take in records in wire order."""
        self._rebuild(records, np.empty((0, BBO_COLUMNS), np.int64))

    def best_prices(self, records: MboArray) -> list[Best]:
        """Take in records in wire order, and return the best prices at each end of event."""
        bbo = np.empty((len(records), BBO_COLUMNS), np.int64)
        return [
            Best(row[0] % 2**64, row[1], _quote(*row[2:5]), _quote(*row[5:8]))
            for row in bbo[: self._rebuild(records, bbo)].tolist()
        ]

    def instruments(self) -> list[CompiledBook]:
        """Return every instrument's book as it is now, by instrument id."""
        books = [CompiledBook(self._store, index) for index in range(self._store.size)]
        return sorted(books, key=lambda book: book.instrument_id)

    def _rebuild(self, records: MboArray, bbo: Integers) -> int:
        """Run the kernel to the end of `records`; return how many rows of `bbo` it wrote."""
        records = read_only(records)
        position = written = 0
        while True:
            store = self._store
            stop, position, rows = rebuild(records, position, store.arrays(), bbo[written:])
            written += rows
            if stop == _DONE:
                return written
            if stop == _NEW_INSTRUMENT:
                store.open_book(int(records[position]["instrument_id"]))
            else:
                store.make_room()
                store.take_faults()


def _quote(price: int, size: int, orders: int) -> Quote | None:
    return Quote(price, size, orders) if orders else None
