"""What one event did to a book, measured where it ends, and the window as it then stands."""

from __future__ import annotations

from typing import Any, Final

from ifd.book.state import DEPTH_LEVELS, NOT_KNOWN, NOWHERE, BookArrays, Integers, Structured
from ifd.compiled import part
from ifd.options import option_delta
from ifd.units import DELTA_SCALE, NANOS_PER_MINUTE, NANOS_PER_SECOND
from ifd.windows.closing import accrue, merge
from ifd.windows.state import (
    BID_ADDS,
    BID_PULLS,
    BID_REFILLS,
    COLUMNS,
    DELTA_IMBALANCE,
    DELTA_VOLUME,
    DEPTH_IMBALANCE,
    END,
    FUTURE,
    MID_CLOSE,
    MID_OPEN,
    OPTION,
    QUOTED_EVENTS,
    SPREAD_SUM,
    SWEEP_LEVELS,
    TOUCH_CHANGES,
    TOUCH_IMBALANCE,
    WIDEST_SPREAD,
    FlowArrays,
)

TRADED_DELTA_NS: Final = NANOS_PER_SECOND
"""How old a delta may be that weighs a trade."""
QUOTED_DELTA_NS: Final = NANOS_PER_MINUTE
"""How old a delta may be that weighs a change of quotes, of which there are a thousand times more;
over a minute the future moves a delta by a few hundredths."""


@part
def measure_event(arrays: BookArrays, flows: FlowArrays, index: int) -> None:
    """Add what an event did to the shortest window that is open, and remember where it ended.

    Only an event that a snapshot ends can find the shortest closed, and it adds nothing but a mid.
    """
    book = arrays.books[index]
    level = 0
    while level < len(flows.lengths) and flows.running[index, level, END] == 0:
        level += 1
    if level < len(flows.lengths):
        window = flows.running[index, level]
        if level == 0:
            accrue(book, window, book.event_ts)
        if book.reset == 0:
            add_event(arrays, index, window)
    mark(arrays, index)
    book.mid = mid_of(arrays, index)
    if level < len(flows.lengths):
        note_mid(arrays, index, flows.running[index, level])


@part
def add_event(arrays: BookArrays, index: int, window: Any) -> None:
    """Add the flow of an event, which was neither snapshot nor clear, to a window."""
    # Any: a row of integers.
    book, depth = arrays.books[index], arrays.depth
    touch = deep = moved = 0
    for owner in range(2 * index, 2 * index + 2):
        side = arrays.sides[owner]
        ask = owner & 1
        window[BID_ADDS + ask] += side.added
        # What left the book and was filled is an execution; a refill after a fill leaves nothing.
        window[BID_PULLS + ask] += max(side.removed - side.filled, 0)
        window[BID_REFILLS + ask] += side.refills
        if side.changed:
            sign = 1 - 2 * ask
            moved += best_key(arrays.levels, side) != depth[owner, 0]
            touch += sign * imbalance(arrays.levels, side, depth[owner], 1)
            deep += sign * imbalance(arrays.levels, side, depth[owner], DEPTH_LEVELS)
    window[TOUCH_IMBALANCE] += touch
    window[DEPTH_IMBALANCE] += deep
    window[TOUCH_CHANGES] += moved > 0
    window[SWEEP_LEVELS] = max(window[SWEEP_LEVELS], book.event_levels)
    signed = book.event_buy - book.event_sell
    if signed != 0 or touch != 0:
        traded = book.event_buy + book.event_sell > 0
        refresh_delta(arrays, index, TRADED_DELTA_NS if traded else QUOTED_DELTA_NS)
        window[DELTA_VOLUME] += book.delta * signed
        window[DELTA_IMBALANCE] += book.delta * touch


@part
def imbalance(levels: Structured, side: Any, before: Integers, count: int) -> Any:
    """Return the change of size at the first `count` levels of a side, after Cont et al.

    A level that is not there lies beyond every price.
    """
    # Any: one element of SIDE_DTYPE, and numba's integer.
    total = 0
    for level in range(count):
        key, size = NOWHERE, 0
        if level < side.count:
            found = levels[side.begin + side.count - 1 - level]
            key, size = found.key, found.size
        if key >= before[level]:
            total += size
        if key <= before[level]:
            total -= before[DEPTH_LEVELS + level]
    return total


@part
def best_key(levels: Structured, side: Any) -> Any:
    """Return the key of the best level."""
    # Any: one element of SIDE_DTYPE, and numba's integer.
    return levels[side.begin + side.count - 1].key if side.count else NOWHERE


@part
def mark(arrays: BookArrays, index: int) -> None:
    """Remember the first levels where this event ended, for the differences of the next."""
    for owner in range(2 * index, 2 * index + 2):
        side = arrays.sides[owner]
        if not side.changed:
            continue
        before = arrays.depth[owner]
        for level in range(DEPTH_LEVELS):
            before[level], before[DEPTH_LEVELS + level] = NOWHERE, 0
            if level < side.count:
                found = arrays.levels[side.begin + side.count - 1 - level]
                before[level], before[DEPTH_LEVELS + level] = found.key, found.size


@part
def mid_of(arrays: BookArrays, index: int) -> Any:
    """Return the mid, rounded down, or NOT_KNOWN where a side is empty."""
    # Any: numba's integer.
    bids, asks = arrays.sides[2 * index], arrays.sides[2 * index + 1]
    if bids.count == 0 or asks.count == 0:
        return NOT_KNOWN
    bid, ask = best_key(arrays.levels, bids), ~best_key(arrays.levels, asks)
    # Half of a sum that might not fit sixty-four bits.
    return (bid & ask) + ((bid ^ ask) >> 1)


@part
def note_mid(arrays: BookArrays, index: int, window: Any) -> None:
    """Write the mid, and count the spread of an event that ended with both sides quoted."""
    # Any: a row of integers.
    book = arrays.books[index]
    window[MID_CLOSE] = book.mid
    if window[MID_OPEN] == NOT_KNOWN:
        window[MID_OPEN] = book.mid
    if book.mid != NOT_KNOWN and book.reset == 0:
        bid = best_key(arrays.levels, arrays.sides[2 * index])
        ask = ~best_key(arrays.levels, arrays.sides[2 * index + 1])
        window[QUOTED_EVENTS] += 1
        window[SPREAD_SUM] += bounded_spread(bid, ask)


@part
def bounded_spread(bid: int, ask: int) -> Any:
    """Return ask minus bid, at most `WIDEST_SPREAD` either way."""
    # Any: numba's integer. Halves first: the difference itself might not fit sixty-four bits.
    half = (ask >> 1) - (bid >> 1)
    if half >= WIDEST_SPREAD:
        return WIDEST_SPREAD
    if half <= -WIDEST_SPREAD:
        return -WIDEST_SPREAD
    return min(max(ask - bid, -WIDEST_SPREAD), WIDEST_SPREAD)


@part
def refresh_delta(arrays: BookArrays, index: int, oldest_ns: int) -> None:
    """Compute a book's delta, unless one not older than that is there."""
    book = arrays.books[index]
    if book.kind == FUTURE:
        book.delta = DELTA_SCALE
    elif book.kind == OPTION and book.event_ts - book.delta_ts >= oldest_ns:
        future = NOT_KNOWN
        if book.underlying >= 0:
            future = arrays.books[book.underlying].mid
            if future == NOT_KNOWN:
                future = arrays.books[book.underlying].last_price
        life = book.expiration_ns - book.event_ts
        book.delta = option_delta(book.mid, future, book.strike_price, life, book.is_call)
        # Without a price of its own or of the future it is a stopgap: the next event asks again.
        is_priced = book.mid != NOT_KNOWN and future != NOT_KNOWN
        book.delta_ts = book.event_ts if is_priced else 0


@part
def write_view(flows: FlowArrays, index: int) -> None:
    """Write the running window of every length, whole, into `judged`."""
    for level in range(len(flows.lengths)):
        row = flows.judged[level]
        for column in range(COLUMNS):
            row[column] = flows.running[index, level, column]
        for inner in range(level - 1, -1, -1):
            merge(row, flows.running[index, inner])
