"""The windows of all instruments, record by record: what `ifd.windows.stage` must give.

Every length has windows of its own here, and every event is added to each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from ifd.metrics import EngineCounters
from ifd.params import WindowParams
from ifd.records import (
    CANCEL,
    CLEAR,
    F_BAD_TS_RECV,
    F_LAST,
    F_SNAPSHOT,
    FILL,
    TRADE,
    MboArray,
)
from ifd.reference.bars import OpenBar
from ifd.reference.flow import ReferenceFlow
from ifd.reference.order_book import OrderBook
from ifd.sessions import session_date
from ifd.symbols import DatedInstruments, Instrument
from ifd.units import NANOS_PER_MINUTE, UNDEFINED_PRICE
from ifd.windows.facts import (
    FAR,
    WINDOW_COLUMNS,
    Bar,
    BookFault,
    InstrumentFlow,
    OpenWindow,
    PressureWindow,
)
from ifd.windows.state import CLOCK_TOLERANCE_NS, GRACE_NS, LATEST

_NANOS_PER_HOUR: Final = 60 * NANOS_PER_MINUTE
_COLUMNS: Final = (
    "instrument_id",
    "ts_event",
    "order_id",
    "price",
    "size",
    "flags",
    "action",
    "side",
    "ts_recv",
)


class ReferenceStage:
    """Books, tapes, windows and bars of all instruments; see `ifd.windows.stage.WindowStage`."""

    def __init__(self, params: WindowParams) -> None:
        self.flows: dict[int, ReferenceFlow] = {}
        self.wake_at = FAR
        self._counters = EngineCounters()
        self._instruments = DatedInstruments()
        self._futures: dict[str, int] = {}
        self._params = params
        self._lengths = params.nested_lengths_ns()
        self._watermark = 0
        self._session = ""
        self._session_check_at = 0
        self._sweep_at = FAR
        # Emptied books of ids that were used again, for what they counted.
        self._retired_books: list[OrderBook] = []
        self._closed: list[PressureWindow] = []
        self._closed_bars: list[Bar] = []
        self._moved: set[tuple[int, int]] = set()
        self._faults: list[BookFault] = []

    @property
    def counters(self) -> EngineCounters:
        """Totals so far."""
        totals = self._counters
        books = [*self._retired_books, *(flow.book for flow in self.flows.values())]
        totals.unknown_orders = sum(book.unknown_orders for book in books)
        totals.malformed_records = sum(book.malformed_records for book in books)
        return totals

    def define(self, instruments: Iterable[Instrument]) -> None:
        """Take in definitions; an id that now names something else starts with an empty book."""
        defined = list(instruments)
        self._instruments.add(defined)
        self._futures |= {one.raw_symbol: one.instrument_id for one in defined if one.is_future}
        for instrument in defined:
            if instrument.instrument_id in self.flows:
                self._identify(instrument.instrument_id)

    def update(self, records: MboArray) -> Iterator[InstrumentFlow | int]:
        """Take in records in wire order."""
        columns = (records[name].tolist() for name in _COLUMNS)
        for instrument_id, ts_event, order_id, price, size, flags, action, side, ts_recv in zip(
            *columns, strict=True
        ):
            is_snapshot = bool(flags & F_SNAPSHOT)
            now = _placed(ts_recv if is_snapshot else ts_event, ts_recv, flags, self._watermark)
            if now >= self._session_check_at:
                self._check_session(now)
            flow = self._flow(instrument_id)
            is_flow = flow.instrument is not None and not is_snapshot
            if is_flow:
                yield from self._pass_time(now)
            self._counters.records += 1
            if is_snapshot or action == CLEAR:
                flow.reset_in_event = True
            if is_flow:
                now = self._place(instrument_id, flow, now)
                flow.event_ts, flow.event_recv = now, ts_recv
                for window in flow.windows.values():
                    window.messages += 1
                    window.cancels += action == CANCEL
                if action == TRADE:
                    self._count_trade(instrument_id, flow, now, side, price, size)
            elif flow.instrument is None:
                self._counters.undefined_records += 1
            if action == TRADE and not is_snapshot:
                flow.tape.trade(side, order_id, price, size)
            elif action == FILL:
                flow.tape.fill(side, size)
            flow.book.apply(action, side, order_id, price, size, flags, now)
            self._note_faults(instrument_id, flow)
            if flags & F_LAST:
                yield from self._end_event(flow, is_flow=is_flow)

    def pass_over(self, records: MboArray) -> None:
        """Take in records in wire order, for their windows alone."""
        for _ in self.update(records):
            pass

    def finish(self) -> None:
        """Close every open window and bar: the input has ended."""
        for instrument_id, flow in self.flows.items():
            self._close(instrument_id, flow, FAR - 1)

    def take_windows(self) -> list[PressureWindow]:
        """Return the windows of the primary and longer lengths that closed since the last call."""
        closed, self._closed = self._closed, []
        return closed

    def take_bars(self) -> list[Bar]:
        """Return the bars that changed since the last call: closed ones, then open ones as now."""
        bars, self._closed_bars = self._closed_bars, []
        for instrument_id, flow in self.flows.items():
            for interval in self._params.bar_intervals_ns:
                if (instrument_id, interval) in self._moved and flow.instrument is not None:
                    bars.append(flow.bars[interval].state(flow.instrument, closed=False))
        self._moved.clear()
        return bars

    def take_faults(self) -> list[BookFault]:
        """Return where books became incomplete, or whole again, since the last call."""
        faults, self._faults = self._faults, []
        return faults

    def book(self, instrument_id: int) -> OrderBook:
        """Return the book of an instrument that was seen."""
        return self.flows[instrument_id].book

    def underlying_price(self, instrument: Instrument) -> int | None:
        """Return the mid or last trade of an option's underlying, or None while it is unknown."""
        underlying = self.flows.get(instrument.underlying_id)
        if underlying is None or not underlying.is_future:
            named = self._futures.get(instrument.underlying)
            underlying = None if named is None else self.flows.get(named)
        return None if underlying is None else underlying.reference_price

    def _flow(self, instrument_id: int) -> ReferenceFlow:
        flow = self.flows.get(instrument_id)
        if flow is None:
            flow = self.flows[instrument_id] = ReferenceFlow(
                self._instruments.get(instrument_id, self._session)
            )
        return flow

    def _check_session(self, now: int) -> None:
        """At a full hour: if a session began, let every id mean what it means in it."""
        self._session_check_at = (now // _NANOS_PER_HOUR + 1) * _NANOS_PER_HOUR
        session = session_date(now)
        if session != self._session:
            self._session = session
            for instrument_id in list(self.flows):
                self._identify(instrument_id)

    def _identify(self, instrument_id: int) -> None:
        flow = self.flows[instrument_id]
        instrument = self._instruments.get(instrument_id, self._session)
        before = flow.instrument
        if instrument is None or instrument == before:
            return
        if before is not None and before.raw_symbol != instrument.raw_symbol:
            # Its orders were another instrument's.
            self._close(instrument_id, flow, FAR - 1)
            self._retired_books.append(flow.book)
            self.flows[instrument_id] = ReferenceFlow(instrument)
        else:
            flow.instrument = instrument

    def _pass_time(self, now: int) -> Iterator[int]:
        self._watermark = max(self._watermark, now)
        if self._watermark >= self.wake_at:
            self.wake_at = FAR
            yield self._watermark
        if self._watermark >= self._sweep_at:
            limit = self._watermark - GRACE_NS
            for instrument_id, flow in self.flows.items():
                self._close(instrument_id, flow, limit)
            self._sweep_at = min(flow.deadline for flow in self.flows.values())
            self._sweep_at = min(self._sweep_at, FAR - GRACE_NS) + GRACE_NS

    def _place(self, instrument_id: int, flow: ReferenceFlow, now: int) -> int:
        """Close and open windows for a record; return its time as placed."""
        if now < flow.floor:
            self._counters.late_records += 1
            now = flow.floor
        self._close(instrument_id, flow, now)
        if self._lengths[0] not in flow.windows:
            for length in self._lengths:
                if length not in flow.windows:
                    start = now - now % length
                    flow.windows[length] = OpenWindow(start, start + length, flow.mid, flow.mid)
            shortest = flow.windows[self._lengths[0]]
            flow.accrue(shortest.start)
            self._expect_end(shortest.end)
        return now

    def _expect_end(self, end: int) -> None:
        self._sweep_at = min(self._sweep_at, end + GRACE_NS)

    def _count_trade(
        self, instrument_id: int, flow: ReferenceFlow, now: int, side: int, price: int, size: int
    ) -> None:
        self._counters.trades += 1
        for window in flow.windows.values():
            window.trade(side, size)
        if flow.is_future and price != UNDEFINED_PRICE:
            for interval in self._params.bar_intervals_ns:
                bar = flow.bars.get(interval)
                if bar is None:
                    bar = flow.bars[interval] = OpenBar(interval, now - now % interval, price)
                    self._expect_end(bar.end)
                bar.trade(price, size)
                self._moved.add((instrument_id, interval))

    def _end_event(self, flow: ReferenceFlow, *, is_flow: bool) -> Iterator[InstrumentFlow]:
        self._counters.events += 1
        buy, sell = flow.tape.event_buy, flow.tape.event_sell
        prints = len(flow.tape.event_prints)
        instrument = flow.instrument
        future = None if instrument is None else self.underlying_price(instrument)
        flow.end_event(future, shortest_is_open=self._lengths[0] in flow.windows)
        if is_flow and instrument is not None and flow.is_option and buy + sell > 0:
            windows = [flow.windows[length] for length in self._lengths]
            yield InstrumentFlow(
                instrument=instrument,
                window=flow.windows[self._params.length_ns],
                rows=np.array([_row(window) for window in windows]),
                event_ts=flow.event_ts,
                event_recv=flow.event_recv,
                event_buy=buy,
                event_sell=sell,
                event_prints=prints,
                last_price=flow.tape.last_price or 0,
                delta=flow.delta,
                recent=list(flow.recent),
            )

    def _note_faults(self, instrument_id: int, flow: ReferenceFlow) -> None:
        symbol = "" if flow.instrument is None else flow.instrument.raw_symbol
        self._faults += [
            BookFault(instrument_id, symbol, ts, cause, ended)
            for ts, cause, ended in flow.book.faults
        ]
        flow.book.faults.clear()

    def _close(self, instrument_id: int, flow: ReferenceFlow, now: int) -> None:
        """Close what of one instrument ended by `now`, the shortest first."""
        instrument = flow.instrument
        for length in self._lengths:
            window = flow.windows.get(length)
            if window is None or now < window.end:
                continue
            assert instrument is not None  # a window or bar only opens for a defined instrument
            flow.accrue(window.end)
            if length >= self._params.length_ns:
                self._closed.append(window.closed(instrument))
                self._counters.windows += 1
            if length == self._params.length_ns and window.signed_volume:
                flow.recent.append((window.start, window.signed_volume))
            flow.floor = max(flow.floor, window.end)
            del flow.windows[length]
        for interval, bar in sorted(flow.bars.items()):
            if now >= bar.end:
                assert instrument is not None
                self._closed_bars.append(bar.state(instrument, closed=True))
                self._moved.discard((instrument_id, interval))
                flow.floor = max(flow.floor, bar.end)
                del flow.bars[interval]


def _row(window: OpenWindow) -> list[int]:
    values = (getattr(window, name) for name in WINDOW_COLUMNS)
    return [UNDEFINED_PRICE if value is None else value for value in values]


def _placed(ts_event: int, ts_recv: int, flags: int, watermark: int) -> int:
    """Return when a record happened: `ts_event`, unless absent or far ahead of its capture."""
    is_ahead = ts_event > ts_recv + CLOCK_TOLERANCE_NS and not flags & F_BAD_TS_RECV
    placed = ts_recv if ts_event >= LATEST or is_ahead else ts_event
    return watermark if placed >= LATEST else placed
