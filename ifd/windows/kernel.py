"""Records through books and windows, until something must be done in Python.

The rules are those of `ifd.reference.stage`, which says them in plain Python. Whatever must stop it
is looked for before a record changes anything, so that it can be taken up again where it stopped.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ifd.book.changes import apply, find_book, has_room, signed
from ifd.book.state import BOOKS, NOT_KNOWN, BookArrays
from ifd.compiled import kernel, part
from ifd.records import (
    ASK,
    BID,
    CANCEL,
    CLEAR,
    F_BAD_TS_RECV,
    F_LAST,
    F_SNAPSHOT,
    TRADE,
    MboArray,
)
from ifd.tape import end_event, trade
from ifd.windows.closing import close_ended, open_bar, open_windows, sweep
from ifd.windows.events import measure_event, write_view
from ifd.windows.facts import FAR
from ifd.windows.state import (
    BUY_TRADES,
    BUY_VOLUME,
    CANCELS,
    CLOCK_TOLERANCE_NS,
    CLOSED,
    CLOSED_BARS,
    END,
    EVENT_BUY,
    EVENT_PRINTS,
    EVENT_SELL,
    EVENTS,
    FUTURE,
    JUDGED,
    JUDGING,
    LARGEST_PRINT,
    LATE_RECORDS,
    LATEST,
    MESSAGES,
    NOT_DEFINED,
    OPTION,
    PLACED,
    RECORDS,
    SELL_TRADES,
    SELL_VOLUME,
    SESSION_CHECK_AT,
    SWEEP_AT,
    TRADES,
    UNDEFINED_RECORDS,
    UNSIDED_TRADES,
    UNSIDED_VOLUME,
    WAKE_AT,
    WATERMARK,
    FlowArrays,
)

DONE: Final = 0
NEW_INSTRUMENT: Final = 1
NO_ROOM: Final = 2
SESSION: Final = 3
WAKE: Final = 4
JUDGE: Final = 5

_LATEST: Final = np.uint64(LATEST)
_TOLERANCE: Final = np.uint64(CLOCK_TOLERANCE_NS)


@kernel
def advance(
    records: MboArray, start: int, arrays: BookArrays, flows: FlowArrays
) -> tuple[int, int]:
    """Take in records from `start` on; return why it stopped, and at which record to go on."""
    clock = flows.clock
    for position in range(start, len(records)):
        record = records[position]
        now = placed(record, clock[WATERMARK])
        if now >= clock[SESSION_CHECK_AT]:
            clock[PLACED] = now
            return SESSION, position
        index = find_book(arrays.ids, signed(record.instrument_id))
        if index < 0:
            return NEW_INSTRUMENT, position
        if not has_room(
            arrays.counts, arrays.orders, arrays.buckets, arrays.levels, arrays.faults
        ) or not has_rows(flows, 1):
            return NO_ROOM, position
        book = arrays.books[index]
        is_flow = book.kind != NOT_DEFINED and not record.flags & F_SNAPSHOT
        if is_flow:
            clock[WATERMARK] = max(clock[WATERMARK], now)
            if clock[WATERMARK] >= clock[WAKE_AT]:
                clock[WAKE_AT] = FAR
                return WAKE, position
            if clock[WATERMARK] >= clock[SWEEP_AT]:
                if not has_rows(flows, arrays.counts[BOOKS]):
                    return NO_ROOM, position
                sweep(arrays, flows)
        clock[RECORDS] += 1
        book.records += 1
        if record.flags & F_SNAPSHOT or record.action == CLEAR:
            book.reset = 1
        if is_flow:
            now = take_in_flow(arrays, flows, index, record, now)
        elif book.kind == NOT_DEFINED:
            clock[UNDEFINED_RECORDS] += 1
        size = signed(record.size)
        if record.action == TRADE and not record.flags & F_SNAPSHOT:
            trade(book, record.side, record.order_id, record.price, size)
        apply(
            arrays,
            index,
            record.action,
            record.side,
            record.order_id,
            record.price,
            size,
            record.flags,
            now,
        )
        if record.flags & F_LAST:
            clock[EVENTS] += 1
            if finish_event(arrays, flows, index) and is_flow and clock[JUDGING]:
                clock[JUDGED] = index
                write_view(flows, index)
                return JUDGE, position + 1
    return DONE, len(records)


@kernel
def close_books(arrays: BookArrays, flows: FlowArrays, first: int, last: int, now: int) -> None:
    """Close what ended by `now` of the books from `first` to before `last`."""
    for index in range(first, last):
        if now >= flows.deadlines[index]:
            close_ended(arrays, flows, index, now)


@part
def placed(record: Any, watermark: int) -> Any:
    """Return when a record happened: `ts_event`, unless absent or far ahead of its capture.

    A record of a snapshot is placed by its capture, one without any time where the stream is.
    """
    # Any: one element of MBO_DTYPE, and numba's integer.
    event, capture = record.ts_event, record.ts_recv
    is_ahead = event > capture + _TOLERANCE and not record.flags & F_BAD_TS_RECV
    if record.flags & F_SNAPSHOT or event >= _LATEST or is_ahead:
        event = capture
    if event >= _LATEST:
        return watermark
    return signed(event)


@part
def has_rows(flows: FlowArrays, books: int) -> Any:
    """Return True if everything of so many books may close."""
    # Any: numba's boolean.
    rows = len(flows.closed) - flows.clock[CLOSED]
    bars = len(flows.closed_bars) - flows.clock[CLOSED_BARS]
    return rows >= len(flows.lengths) * books and bars >= len(flows.bars)


@part
def take_in_flow(arrays: BookArrays, flows: FlowArrays, index: int, record: Any, now: int) -> Any:
    """Count a record in its instrument's windows; return its time as placed."""
    # Any: one element of MBO_DTYPE, and numba's integer.
    book = arrays.books[index]
    if now < book.floor:
        flows.clock[LATE_RECORDS] += 1
        now = book.floor
    if now >= flows.deadlines[index]:
        close_ended(arrays, flows, index, now)
    if flows.running[index, 0, END] == 0:
        open_windows(arrays, flows, index, now)
    window = flows.running[index, 0]
    window[MESSAGES] += 1
    book.event_ts = now
    book.event_recv = signed(record.ts_recv)
    if record.action == CANCEL:
        window[CANCELS] += 1
    elif record.action == TRADE:
        flows.clock[TRADES] += 1
        size = signed(record.size)
        count_trade(window, record.side, size)
        if book.kind == FUTURE and record.price != NOT_KNOWN:
            move_bars(flows, index, book.bars, now, record.price, size)
    return now


@part
def count_trade(window: Any, side: int, size: int) -> None:
    """Add a trade to a window; a side that is neither belongs to nobody."""
    # Any: a row of integers.
    if side == BID:
        window[BUY_VOLUME] += size
        window[BUY_TRADES] += 1
    elif side == ASK:
        window[SELL_VOLUME] += size
        window[SELL_TRADES] += 1
    else:
        window[UNSIDED_VOLUME] += size
        window[UNSIDED_TRADES] += 1
    window[LARGEST_PRINT] = max(window[LARGEST_PRINT], size)


@part
def move_bars(flows: FlowArrays, index: int, first: int, now: int, price: int, size: int) -> None:
    """Add a trade of a future to its bars, whatever its side."""
    for place in range(first, first + len(flows.intervals)):
        bar = flows.bars[place]
        if bar.end == 0:
            open_bar(flows, index, bar, now, price)
        bar.high = max(bar.high, price)
        bar.low = min(bar.low, price)
        bar.close = price
        bar.volume += size
        bar.trades += 1
        bar.moved = 1


@part
def finish_event(arrays: BookArrays, flows: FlowArrays, index: int) -> Any:
    """Measure what the event did; return True if an aggressor traded an option in it."""
    # Any: numba's boolean.
    book, clock = arrays.books[index], flows.clock
    measure_event(arrays, flows, index)
    clock[EVENT_BUY] = book.event_buy
    clock[EVENT_SELL] = book.event_sell
    clock[EVENT_PRINTS] = book.event_prints
    judged = book.kind == OPTION and book.event_buy + book.event_sell > 0
    end_event(arrays, index)
    return judged
