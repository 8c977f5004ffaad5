"""Windows and bars open with the first record in them, and close by their end."""

from __future__ import annotations

from typing import Any

from ifd.book.state import BOOKS, NOT_KNOWN, BookArrays, Integers
from ifd.compiled import part
from ifd.windows.facts import FAR, RECENT_WINDOWS
from ifd.windows.state import (
    BUY_VOLUME,
    CLOSED,
    CLOSED_BARS,
    COLUMNS,
    END,
    FUTURE,
    GRACE_NS,
    LARGEST_PRINT,
    MID_CLOSE,
    MID_OPEN,
    PRIMARY,
    QUOTED_NS,
    SELL_VOLUME,
    START,
    SUMS,
    SWEEP_AT,
    SWEEP_LEVELS,
    WATERMARK,
    WINDOWS,
    FlowArrays,
)


@part
def open_windows(arrays: BookArrays, flows: FlowArrays, index: int, now: int) -> None:
    """Open a window of every length that has none.

    What passed unseen since the last window, in which no order came but the quotes stood, is quoted
    time of the longer windows alone.
    """
    book = arrays.books[index]
    for level in range(len(flows.lengths) - 1, -1, -1):
        window = flows.running[index, level]
        if window[END] == 0:
            window[:] = 0
            window[START] = now - now % flows.lengths[level]
            window[END] = window[START] + flows.lengths[level]
            window[MID_OPEN] = window[MID_CLOSE] = book.mid
        if level > 0:
            accrue(book, window, now - now % flows.lengths[level - 1])
    expect_end(flows, index, flows.running[index, 0, END])


@part
def accrue(book: Any, window: Any, until: int) -> None:
    """Add the time both sides were quoted, from where it was counted last, to a window."""
    # Any: one element of BOOK_DTYPE, and a row of integers.
    since = max(book.quoted_until, window[START])
    if until > since and book.mid != NOT_KNOWN:
        window[QUOTED_NS] += until - since
    book.quoted_until = max(book.quoted_until, until)


@part
def expect_end(flows: FlowArrays, index: int, end: int) -> None:
    """Remember when something that has opened will end."""
    flows.deadlines[index] = min(flows.deadlines[index], end)
    flows.clock[SWEEP_AT] = min(flows.clock[SWEEP_AT], end + GRACE_NS)


@part
def open_bar(flows: FlowArrays, index: int, bar: Any, now: int, price: int) -> None:
    """Begin a bar."""
    # Any: one element of BAR_DTYPE.
    bar.start = now - now % bar.interval
    bar.end = bar.start + bar.interval
    bar.open = bar.high = bar.low = bar.close = price
    bar.volume = bar.trades = 0
    expect_end(flows, index, bar.end)


@part
def sweep(arrays: BookArrays, flows: FlowArrays) -> None:
    """Close what ended a grace before the stream's time, also of instruments that fell silent."""
    limit = flows.clock[WATERMARK] - GRACE_NS
    earliest = FAR - GRACE_NS
    for index in range(arrays.counts[BOOKS]):
        if flows.deadlines[index] <= limit:
            close_ended(arrays, flows, index, limit)
        earliest = min(earliest, flows.deadlines[index])
    flows.clock[SWEEP_AT] = earliest + GRACE_NS


@part
def close_ended(arrays: BookArrays, flows: FlowArrays, index: int, now: int) -> None:
    """Close what of one instrument ended by `now`, the shortest first, and find its next end."""
    book = arrays.books[index]
    deadline = FAR
    for level in range(len(flows.lengths)):
        window = flows.running[index, level]
        if window[END] == 0:
            continue
        if now < window[END]:
            deadline = window[END]
            break
        accrue(book, window, window[END])
        if level + 1 < len(flows.lengths):
            merge(flows.running[index, level + 1], window)
        if level >= flows.clock[PRIMARY]:
            write_closed(flows, index, window)
        if level == flows.clock[PRIMARY]:
            remember(flows.recent[index], window)
        book.floor = max(book.floor, window[END])
        window[END] = 0
    if book.kind == FUTURE:
        deadline = min(deadline, close_bars(arrays, flows, index, now))
    flows.deadlines[index] = deadline


@part
def merge(into: Any, window: Any) -> None:
    """Add a window to a longer one that holds it and has already all before it."""
    # Any: rows of integers.
    for column in range(SUMS, COLUMNS):
        into[column] += window[column]
    into[LARGEST_PRINT] = max(into[LARGEST_PRINT], window[LARGEST_PRINT])
    into[SWEEP_LEVELS] = max(into[SWEEP_LEVELS], window[SWEEP_LEVELS])
    if into[MID_OPEN] == NOT_KNOWN:
        into[MID_OPEN] = window[MID_OPEN]
    into[MID_CLOSE] = window[MID_CLOSE]


@part
def write_closed(flows: FlowArrays, index: int, window: Any) -> None:
    """Write one row of `closed`."""
    # Any: a row of integers.
    row = flows.clock[CLOSED]
    flows.clock[CLOSED] = row + 1
    flows.clock[WINDOWS] += 1
    flows.closed[row, 0] = index
    for column in range(COLUMNS):
        flows.closed[row, 1 + column] = window[column]


@part
def remember(recent: Integers, window: Any) -> None:
    """Keep start and signed volume of a window in which something traded, the newest last."""
    # Any: a row of integers.
    signed = window[BUY_VOLUME] - window[SELL_VOLUME]
    if signed != 0:
        for place in range(2 * RECENT_WINDOWS - 2):
            recent[place] = recent[place + 2]
        recent[2 * RECENT_WINDOWS - 2] = window[START]
        recent[2 * RECENT_WINDOWS - 1] = signed


@part
def close_bars(arrays: BookArrays, flows: FlowArrays, index: int, now: int) -> Any:
    """Close the bars of a future that ended by `now`; return when the next one ends."""
    # Any: numba's integer.
    book = arrays.books[index]
    deadline = FAR
    for place in range(book.bars, book.bars + len(flows.intervals)):
        bar = flows.bars[place]
        if bar.end == 0:
            continue
        if now < bar.end:
            deadline = min(deadline, bar.end)
            continue
        write_bar(flows, bar)
        book.floor = max(book.floor, bar.end)
        bar.end = 0
        bar.moved = 0
    return deadline


@part
def write_bar(flows: FlowArrays, bar: Any) -> None:
    """Write one row of `closed_bars`."""
    # Any: one element of BAR_DTYPE.
    row = flows.closed_bars[flows.clock[CLOSED_BARS]]
    flows.clock[CLOSED_BARS] += 1
    row[0] = bar.book
    row[1] = bar.interval
    row[2] = bar.start
    row[3] = bar.open
    row[4] = bar.high
    row[5] = bar.low
    row[6] = bar.close
    row[7] = bar.volume
    row[8] = bar.trades
