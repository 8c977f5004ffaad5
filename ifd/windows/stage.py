"""Records in, aggressor events, closed windows and bars out, for all instruments at once.

Windows are aligned to the epoch and placed by `ts_event`, the matching engine's own time: it is the
same live, replayed and in a file, and comparable between instruments, which capture time is not.
Without a plausible `ts_event` a record is placed by `ts_recv`.

Time of one instrument never goes back. Its own records close its windows; those of one that fell
silent are closed once any record is `GRACE_NS` past their end. A record older than what is already
closed is counted (`late_records`) and placed in the window that is open: no lot is lost, and
nothing published changes. All of it depends on the order of records alone, never on how they were
cut into arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np

from ifd.book.books import CompiledBook
from ifd.book.changes import empty_book
from ifd.book.state import FLAGGED, NOT_KNOWN, BookStore, read_only
from ifd.metrics import EngineCounters
from ifd.params import WindowParams
from ifd.records import MBO_DTYPE, MboArray
from ifd.sessions import session_date
from ifd.symbols import DatedInstruments, Instrument
from ifd.units import NANOS_PER_MINUTE
from ifd.windows.facts import (
    FAR,
    WINDOW_COLUMNS,
    Bar,
    BookFault,
    ClosedWindows,
    InstrumentFlow,
    Rows,
    open_window,
)
from ifd.windows.kernel import (
    DONE,
    JUDGE,
    NEW_INSTRUMENT,
    NO_ROOM,
    SESSION,
    advance,
    close_books,
)
from ifd.windows.state import (
    CLOSED,
    CLOSED_BARS,
    EVENT_BUY,
    EVENT_PRINTS,
    EVENT_SELL,
    EVENTS,
    FUTURE,
    JUDGED,
    JUDGING,
    LATE_RECORDS,
    OPTION,
    OTHER,
    PLACED,
    PRIMARY,
    RECORDS,
    SESSION_CHECK_AT,
    TRADES,
    UNDEFINED_RECORDS,
    WAKE_AT,
    WATERMARK,
    WINDOWS,
    FlowStore,
)

_NANOS_PER_HOUR: Final = 60 * NANOS_PER_MINUTE
_COUNTED: Final = {
    "records": RECORDS,
    "events": EVENTS,
    "trades": TRADES,
    "windows": WINDOWS,
    "undefined_records": UNDEFINED_RECORDS,
    "late_records": LATE_RECORDS,
}


class WindowStage:
    """Books, tapes, windows and bars of all instruments.

    `update` yields, in order, the flow of each option in which an event with an aggressor has just
    ended, and the time when `wake_at` is reached: whoever iterates sees every instrument as it was
    at that record. What has closed is asked for afterwards.

    Raises
    ------
    ConfigurationError
        If the lengths of the windows are not multiples of each other.
    """

    def __init__(self, params: WindowParams) -> None:
        lengths = params.nested_lengths_ns()
        self._books = BookStore()
        self._flows = FlowStore(lengths, lengths.index(params.length_ns), params.bar_intervals_ns)
        self._instruments = DatedInstruments()
        self._futures: dict[str, int] = {}
        self._session = ""
        # What each book is, by its index.
        self._named: list[Instrument | None] = []
        # Counters of ids that were used again.
        self._retired_unknown = self._retired_malformed = 0
        self._closed: list[tuple[Rows, list[Instrument]]] = []
        self._closed_bars: list[Bar] = []
        self._faults: list[BookFault] = []
        self._warm_up()

    @property
    def wake_at(self) -> int:
        """Event time at which the reader wants to be told the time, once; ns UTC."""
        return int(self._flows.clock[WAKE_AT])

    @wake_at.setter
    def wake_at(self, ts: int) -> None:
        self._flows.clock[WAKE_AT] = ts

    @property
    def counters(self) -> EngineCounters:
        """Totals so far; those that live in the books are summed when asked for."""
        books = self._books.books[: self._books.size]
        unknown = sum(
            int(books[name].sum())
            for name in ("unknown_cancels", "unknown_modifies", "unknown_fills")
        )
        return EngineCounters(
            **{name: int(self._flows.clock[column]) for name, column in _COUNTED.items()},
            unknown_orders=self._retired_unknown + unknown,
            malformed_records=self._retired_malformed + int(books["malformed_records"].sum()),
        )

    @property
    def nbytes(self) -> int:
        """Memory of books and windows."""
        return self._books.nbytes + self._flows.nbytes

    def define(self, instruments: Iterable[Instrument]) -> None:
        """Take in definitions; an id that now names something else starts with an empty book."""
        defined = list(instruments)
        self._instruments.add(defined)
        self._futures |= {one.raw_symbol: one.instrument_id for one in defined if one.is_future}
        for instrument in defined:
            index = self._books.find(instrument.instrument_id)
            if index >= 0:
                self._identify(index)

    def update(self, records: MboArray) -> Iterator[InstrumentFlow | int]:
        """Take in records in wire order; the array is only read."""
        self._flows.clock[JUDGING] = 1
        records = read_only(records)
        position = 0
        while True:
            stop, position = advance(records, position, self._books.arrays(), self._flows.arrays())
            if stop == DONE:
                break
            if stop == JUDGE:
                yield self._judged()
            elif not self._prepare(stop, records, position):
                yield int(self._flows.clock[WATERMARK])
        self._drain()

    def pass_over(self, records: MboArray) -> None:
        """Take in records in wire order, for their windows alone."""
        self._flows.clock[JUDGING] = 0
        records = read_only(records)
        position = 0
        while True:
            stop, position = advance(records, position, self._books.arrays(), self._flows.arrays())
            if stop == DONE:
                break
            self._prepare(stop, records, position)
        self._drain()

    def finish(self) -> None:
        """Close every open window and bar: the input has ended."""
        self._close_books(0, self._books.size)
        self._drain()

    def take_windows(self) -> ClosedWindows:
        """Return the windows of the primary and longer lengths that closed since the last call."""
        blocks, self._closed = self._closed, []
        if len(blocks) == 1:
            return ClosedWindows(*blocks[0])
        rows = [rows for rows, _ in blocks] or [np.empty((0, len(WINDOW_COLUMNS)), np.int64)]
        return ClosedWindows(np.concatenate(rows), [one for _, named in blocks for one in named])

    def take_bars(self) -> list[Bar]:
        """Return the bars that changed since the last call: closed ones, then open ones as now."""
        bars, self._closed_bars = self._closed_bars, []
        moved = self._flows.bars["moved"].nonzero()[0]
        for bar in self._flows.bars[moved]:
            named = self._named[bar["book"]]
            assert named is not None  # bars are of futures
            values = [int(bar[name]) for name in _BAR_VALUES]
            bars.append(_bar(named, values, closed=False))
        self._flows.bars["moved"][moved] = 0
        return bars

    def take_faults(self) -> list[BookFault]:
        """Return where books became incomplete, or whole again, since the last call."""
        faults, self._faults = self._faults, []
        return faults

    def book(self, instrument_id: int) -> CompiledBook:
        """Return the book of an instrument that was seen, as it is now.

        Raises
        ------
        KeyError
            If it was never seen.
        """
        index = self._books.find(instrument_id)
        if index < 0:
            raise KeyError(instrument_id)
        return CompiledBook(self._books, index)

    def underlying_price(self, instrument: Instrument) -> int | None:
        """Return the mid or last trade of an option's underlying, or None while it is unknown."""
        index = self._underlying(instrument)
        if index < 0:
            return None
        future = self._books.books[index]
        for price in (int(future["mid"]), int(future["last_price"])):
            if price != NOT_KNOWN:
                return price
        return None

    def __getstate__(self) -> dict[str, Any]:
        # Any: whatever the attributes are. Called between updates, when nothing waits to be taken.
        return self.__dict__ | {"_books": self._books.pack(), "_flows": self._flows.pack()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._books = BookStore.unpack(state["_books"])
        self._flows = FlowStore.unpack(state["_flows"])

    def _warm_up(self) -> None:
        """Compile the kernels, or load them from disk, before any record waits for them."""
        self.pass_over(np.empty(0, MBO_DTYPE))
        self._close_books(0, 0)
        empty_book(BookStore().arrays(), 0)

    def _prepare(self, stop: int, records: MboArray, position: int) -> bool:
        """Do what the kernel stopped for; return False if it was to tell the time."""
        if stop == NEW_INSTRUMENT:
            self._open_book(int(records[position]["instrument_id"]))
        elif stop == NO_ROOM:
            self._make_room()
        elif stop == SESSION:
            self._check_session(int(self._flows.clock[PLACED]))
        else:
            return False
        return True

    def _open_book(self, instrument_id: int) -> None:
        index = self._books.open_book(instrument_id)
        self._flows.open_flow(index)
        self._named.append(None)
        self._identify(index)

    def _make_room(self) -> None:
        self._drain()
        self._books.make_room()
        self._flows.make_room(self._books.size)

    def _check_session(self, now: int) -> None:
        """At a full hour: if a session began, let every id mean what it means in it."""
        self._flows.clock[SESSION_CHECK_AT] = (now // _NANOS_PER_HOUR + 1) * _NANOS_PER_HOUR
        session = session_date(now)
        if session != self._session:
            self._session = session
            for index in range(self._books.size):
                self._identify(index)

    def _identify(self, index: int) -> None:
        """Say what a book is; one that was something else begins anew."""
        instrument_id = int(self._books.books[index]["instrument_id"])
        instrument = self._instruments.get(instrument_id, self._session)
        before = self._named[index]
        if instrument is None or instrument == before:
            return
        if before is not None and before.raw_symbol != instrument.raw_symbol:
            self._retire(index, instrument_id)
        self._named[index] = instrument
        book = self._books.books[index]
        book["kind"] = _kind(instrument)
        if instrument.is_option:
            book["strike_price"] = instrument.strike_price
            book["expiration_ns"] = instrument.expiration_ns
            book["is_call"] = instrument.right == "C"
            book["underlying"] = self._underlying(instrument)
        elif instrument.is_future:
            if book["bars"] < 0:
                book["bars"] = self._flows.open_bars(index)
            self._find_underlyings()

    def _retire(self, index: int, instrument_id: int) -> None:
        """Close and empty what was another instrument's: its orders, windows, marks and counts."""
        self._close_books(index, index + 1)
        self._drain()
        book = self._books.books[index]
        for name in ("unknown_cancels", "unknown_modifies", "unknown_fills"):
            self._retired_unknown += int(book[name])
        self._retired_malformed += int(book["malformed_records"])
        bars = int(book["bars"])
        empty_book(self._books.arrays(), index)
        self._books.reset(index, instrument_id)
        self._books.books[index]["bars"] = bars
        self._flows.open_flow(index)
        self._named[index] = None
        self._find_underlyings()

    def _find_underlyings(self) -> None:
        for index, instrument in enumerate(self._named):
            if instrument is not None and instrument.is_option:
                self._books.books[index]["underlying"] = self._underlying(instrument)

    def _underlying(self, instrument: Instrument) -> int:
        """Return the book of an option's future, found by id or by name, or -1."""
        index = self._books.find(instrument.underlying_id)
        if index < 0 or self._books.books[index]["kind"] != FUTURE:
            named = self._futures.get(instrument.underlying)
            index = -1 if named is None else self._books.find(named)
        return index

    def _close_books(self, first: int, last: int) -> None:
        self._make_room()
        close_books(self._books.arrays(), self._flows.arrays(), first, last, FAR - 1)

    def _judged(self) -> InstrumentFlow:
        clock = self._flows.clock
        index = int(clock[JUDGED])
        book, instrument = self._books.books[index], self._named[index]
        assert instrument is not None  # only options are judged
        rows = self._flows.judged.copy()
        recent = self._flows.recent[index].tolist()
        return InstrumentFlow(
            instrument=instrument,
            window=open_window(rows[clock[PRIMARY]]),
            rows=rows,
            event_ts=int(book["event_ts"]),
            event_recv=int(book["event_recv"]),
            event_buy=int(clock[EVENT_BUY]),
            event_sell=int(clock[EVENT_SELL]),
            event_prints=int(clock[EVENT_PRINTS]),
            last_price=0 if book["last_price"] == NOT_KNOWN else int(book["last_price"]),
            delta=int(book["delta"]),
            recent=[pair for pair in zip(recent[::2], recent[1::2], strict=True) if pair[1]],
        )

    def _drain(self) -> None:
        """Take what has closed out of the kernel's buffers, under the names it closed with."""
        clock = self._flows.clock
        if clock[CLOSED]:
            rows = self._flows.closed[: clock[CLOSED]]
            named = [self._named[index] for index in rows[:, 0].tolist()]
            self._closed.append((rows[:, 1:].copy(), named))
            clock[CLOSED] = 0
        for index, *values in self._flows.closed_bars[: clock[CLOSED_BARS]].tolist():
            named_one = self._named[index]
            assert named_one is not None  # bars are of futures
            self._closed_bars.append(_bar(named_one, values, closed=True))
        clock[CLOSED_BARS] = 0
        for index, ts, cause, ended in self._books.take_faults():
            instrument = self._named[index]
            self._faults.append(
                BookFault(
                    instrument_id=int(self._books.books[index]["instrument_id"]),
                    raw_symbol="" if instrument is None else instrument.raw_symbol,
                    ts_event=ts,
                    cause="" if ended else "flag" if cause == FLAGGED else "book",
                    ended=bool(ended),
                )
            )


_BAR_VALUES: Final = ("interval", "start", "open", "high", "low", "close", "volume", "trades")


def _bar(instrument: Instrument, values: list[int], *, closed: bool) -> Bar:
    interval, start, opened, high, low, close, volume, trades = values
    return Bar(
        instrument_id=instrument.instrument_id,
        interval_ns=interval,
        start_ns=start,
        raw_symbol=instrument.raw_symbol,
        session_date=session_date(start),
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        trades=trades,
        closed=closed,
    )


def _kind(instrument: Instrument) -> int:
    if instrument.is_option:
        return OPTION
    return FUTURE if instrument.is_future else OTHER
