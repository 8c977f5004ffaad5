"""What one record does to a compiled book, and what the event it belongs to remembers.

The rules are those of `ifd.reference.order_book`, which says them in plain Python.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ifd.book.ladder import place, shrink, withdraw
from ifd.book.pool import Buckets, find_order, give_back, take_slot
from ifd.book.state import (
    BUCKETS,
    FAULTS,
    FLAGGED,
    FREE_ORDER,
    LARGEST_BLOCK,
    LEVELS_TOP,
    POOL_TOP,
    SMALLEST_BLOCK,
    UNKNOWN_ORDER,
    BookArrays,
    Integers,
    Structured,
    id_place,
)
from ifd.compiled import kernel, part
from ifd.records import (
    ADD,
    ASK,
    BID,
    CANCEL,
    CLEAR,
    F_LAST,
    F_MAYBE_BAD_BOOK,
    F_SNAPSHOT,
    FILL,
    MODIFY,
)
from ifd.units import NANOS_PER_MILLISECOND, UNDEFINED_PRICE

REFILL_NS: Final = 10 * NANOS_PER_MILLISECOND
"""How soon the next slice of a synthetic iceberg appears (Zotikov, Antonov 2019: milliseconds)."""
NO_SNAPSHOT: Final = 0
SNAPSHOT_RUNNING: Final = 1
SNAPSHOT_ENDED: Final = 2

_place_of_id = part(id_place)


@part
def signed(value: Any) -> Any:
    """Return a record's unsigned integer as a signed one: numba joins the two kinds to a float."""
    return np.int64(value)


@part
def find_book(ids: Integers, instrument_id: int) -> Any:
    """Return the index of an instrument's book, or -1."""
    # Any: numba's integer.
    mask = len(ids) - 1
    place_of = _place_of_id(instrument_id, mask)
    while ids[place_of, 0] >= 0:
        if ids[place_of, 0] == instrument_id:
            return ids[place_of, 1]
        place_of = (place_of + 1) & mask
    return -1


@part
def has_room(
    counts: Integers, orders: Structured, buckets: Buckets, levels: Structured, faults: Integers
) -> Any:
    """Return True if any one record can be taken in; `BookStore.make_room` makes it so."""
    # Any: numba's boolean.
    return (
        (counts[FREE_ORDER] >= 0 or counts[POOL_TOP] + 1 < len(orders))
        and counts[BUCKETS] + 2 < len(buckets)
        and counts[LEVELS_TOP] + 2 * max(counts[LARGEST_BLOCK], SMALLEST_BLOCK) < len(levels)
        and counts[FAULTS] + 2 <= len(faults)
    )


@part
def apply(
    arrays: BookArrays,
    index: int,
    action: int,
    side: int,
    order_id: Any,
    price: int,
    size: int,
    flags: int,
    ts: int,
) -> None:
    """Take in one record of the book at `index`; `ts` is its event time."""
    # Any: an unsigned integer of numba's.
    book = arrays.books[index]
    if flags & F_SNAPSHOT:
        if book.snapshot == NO_SNAPSHOT:
            clear(arrays, index)
            make_whole(arrays, index, ts)
        book.snapshot = SNAPSHOT_ENDED if flags & F_LAST else SNAPSHOT_RUNNING
    else:
        if book.snapshot == SNAPSHOT_ENDED:
            book.snapshot = NO_SNAPSHOT
        if flags & F_MAYBE_BAD_BOOK and action != CLEAR:
            doubt(arrays, index, ts, FLAGGED)
    owner = 2 * index + 1 if side == ASK else 2 * index if side == BID else -1
    if action == CLEAR:
        clear(arrays, index)
        make_whole(arrays, index, ts)
    elif action in (ADD, CANCEL, MODIFY, FILL):
        slot = find_order(arrays.counts, arrays.orders, arrays.buckets, index, order_id)
        if action == FILL:
            fill(arrays, index, slot, owner, size)
        elif action == CANCEL:
            cancel(arrays, index, slot, size, ts)
        elif action == ADD or slot < 0:
            if action == MODIFY:
                book.unknown_modifies += 1
                doubt(arrays, index, ts, UNKNOWN_ORDER)
            counted = action == MODIFY or not flags & F_SNAPSHOT
            add(arrays, index, slot, owner, order_id, price, size, ts, counted)
        else:
            modify(arrays, index, slot, owner, price, size, ts)


@part
def add(
    arrays: BookArrays,
    index: int,
    slot: int,
    owner: int,
    order_id: Any,
    price: int,
    size: int,
    ts: int,
    counted: Any,
) -> None:
    """Place an order; one that rests already is replaced by the newest word."""
    # Any: an unsigned integer, and a boolean of numba's.
    counts, orders, levels, sides = arrays.counts, arrays.orders, arrays.levels, arrays.sides
    book = arrays.books[index]
    if owner < 0 or price == UNDEFINED_PRICE:
        book.malformed_records += 1
        return
    if slot >= 0:
        withdraw(orders, levels, sides, slot)
        if size == 0:
            give_back(counts, orders, arrays.buckets, index, slot)
            book.orders -= 1
    elif size > 0:
        slot = take_slot(counts, orders, arrays.buckets, index, order_id)
        book.orders += 1
        if counted:
            count_add(sides[owner], price, size, ts)
    if size > 0:
        settle(arrays, slot, owner, price, size)


@part
def count_add(side: Any, price: int, size: int, ts: int) -> None:
    """Count what comes to a side; the next slice of an iceberg is known by price, size and time."""
    # Any: one element of SIDE_DTYPE.
    side.added += size
    if price == side.gone_price and size == side.gone_size and 0 <= ts - side.gone_ts <= REFILL_NS:
        side.refills += 1
        side.gone_size = 0


@part
def settle(arrays: BookArrays, slot: int, owner: int, price: int, size: int) -> None:
    """Write an order and put it at the back of its level."""
    order = arrays.orders[slot]
    order.owner = owner
    order.price = price
    order.size = size
    order.shown = size
    order.filled = 0
    place(arrays.counts, arrays.orders, arrays.levels, arrays.sides, slot)


@part
def cancel(arrays: BookArrays, index: int, slot: int, size: int, ts: int) -> None:
    """Take lots off an order, or the order away."""
    if slot < 0:
        arrays.books[index].unknown_cancels += 1
        doubt(arrays, index, ts, UNKNOWN_ORDER)
        return
    rest = arrays.orders[slot].size - size
    if rest > 0:
        shrink(arrays.orders, arrays.levels, arrays.sides, slot, rest)
    else:
        delete(arrays, index, slot, ts)


@part
def modify(
    arrays: BookArrays, index: int, slot: int, owner: int, price: int, size: int, ts: int
) -> None:
    """Change an order that rests."""
    order = arrays.orders[slot]
    if owner < 0:
        owner = order.owner
    stays = owner == order.owner and price == order.price
    if price == UNDEFINED_PRICE:
        arrays.books[index].malformed_records += 1
    elif size == 0:
        delete(arrays, index, slot, ts)
    else:
        if stays and was_refilled(order, arrays.books[index].event_number, size):
            arrays.sides[owner].refills += 1
            order.filled = 0
        if stays and size <= order.size:
            shrink(arrays.orders, arrays.levels, arrays.sides, slot, size)
        else:
            requeue(arrays, slot, owner, price, size, stays)


@part
def was_refilled(order: Any, event_number: int, size: int) -> Any:
    """Return True if an order that was just filled shows more than the fills have left."""
    # Any: one element of ORDER_DTYPE, and a boolean of numba's.
    if order.event != event_number or order.filled == 0:
        return False
    return size > max(order.size - order.filled, 0)


@part
def requeue(arrays: BookArrays, slot: int, owner: int, price: int, size: int, stays: Any) -> None:
    """Put an order at the back of the level it now belongs to: its priority is lost."""
    # Any: a boolean of numba's.
    order, sides = arrays.orders[slot], arrays.sides
    before = order.size
    withdraw(arrays.orders, arrays.levels, sides, slot)
    if stays:
        sides[owner].added += size - before
    else:
        sides[order.owner].removed += before
        sides[owner].added += size
    settle(arrays, slot, owner, price, size)


@part
def delete(arrays: BookArrays, index: int, slot: int, ts: int) -> None:
    """Take an order away; one that fills took is remembered, for it may come back."""
    order = arrays.orders[slot]
    side = arrays.sides[order.owner]
    side.removed += order.size
    if order.event == arrays.books[index].event_number and order.filled >= order.size:
        side.gone_price = order.price
        side.gone_size = order.shown
        side.gone_ts = ts
    withdraw(arrays.orders, arrays.levels, arrays.sides, slot)
    give_back(arrays.counts, arrays.orders, arrays.buckets, index, slot)
    arrays.books[index].orders -= 1


@part
def fill(arrays: BookArrays, index: int, slot: int, owner: int, size: int) -> None:
    """Note that a resting order was filled: the cancel or modify that belongs to it follows."""
    book = arrays.books[index]
    if owner >= 0:
        arrays.sides[owner].filled += size
    if slot < 0:
        book.unknown_fills += 1
        return
    order = arrays.orders[slot]
    if order.event != book.event_number:
        order.event = book.event_number
        order.filled = 0
    order.filled += size


@part
def clear(arrays: BookArrays, index: int) -> None:
    """Forget every order of a book; what was counted stays."""
    counts, orders, levels = arrays.counts, arrays.orders, arrays.levels
    for owner in range(2 * index, 2 * index + 2):
        side = arrays.sides[owner]
        for position in range(side.begin, side.begin + side.count):
            slot = levels[position].first
            while slot >= 0:
                behind = orders[slot].behind
                give_back(counts, orders, arrays.buckets, index, slot)
                slot = behind
        side.count = 0
        side.changed = 1
        side.gone_size = 0
    arrays.books[index].orders = 0


@kernel
def empty_book(arrays: BookArrays, index: int) -> None:
    """Return the orders of a book to the pool."""
    clear(arrays, index)


@part
def doubt(arrays: BookArrays, index: int, ts: int, cause: int) -> None:
    """Mark a book that was complete as one that may lack orders."""
    book = arrays.books[index]
    if book.complete:
        book.complete = 0
        book.faulty = 1
        note_fault(arrays, index, ts, cause, 0)


@part
def make_whole(arrays: BookArrays, index: int, ts: int) -> None:
    """Mark a book as holding every order."""
    book = arrays.books[index]
    book.complete = 1
    if book.faulty:
        book.faulty = 0
        note_fault(arrays, index, ts, -1, 1)


@part
def note_fault(arrays: BookArrays, index: int, ts: int, cause: int, ended: int) -> None:
    """Write one row of `faults`."""
    row = arrays.counts[FAULTS]
    arrays.counts[FAULTS] = row + 1
    arrays.faults[row, 0] = index
    arrays.faults[row, 1] = ts
    arrays.faults[row, 2] = cause
    arrays.faults[row, 3] = ended
