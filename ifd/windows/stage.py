"""Records in, closed windows and aggressor events out, for all instruments at once.

Windows are aligned to the epoch and placed by `ts_event`, the matching engine's own time: it is the
same live, replayed and in a file, and comparable between instruments, which capture time is not.
Without a plausible `ts_event` a record is placed by `ts_recv`.

Time of one instrument never goes back. Its own records close its window; the window of one that
fell silent is closed once any record is `GRACE_NS` past its end. A record older than what is
already closed is counted (`late_records`) and placed in the window that is open: no lot is lost,
and nothing published changes. All of it depends on the order of records alone, never on how they
were cut into arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ifd.book import OrderBook
from ifd.metrics import EngineCounters
from ifd.params import WindowParams
from ifd.records import CLEAR, F_BAD_TS_RECV, F_LAST, F_SNAPSHOT, FILL, TRADE, MboArray
from ifd.sessions import session_date
from ifd.symbols import DatedInstruments, Instrument
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND, UNDEFINED_TIMESTAMP
from ifd.windows.facts import Bar, OpenBar, OpenWindow, PressureWindow
from ifd.windows.flow import FAR, InstrumentFlow

GRACE_NS: Final = NANOS_PER_SECOND
"""How far another instrument's time must be past a silent window's end to close it."""
CLOCK_TOLERANCE_NS: Final = NANOS_PER_SECOND
"""How far `ts_event` may be ahead of `ts_recv`; beyond it the clock that stamped it is wrong."""

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


class WindowStage:
    """Books, tapes, windows and bars of all instruments.

    `update` yields, in order, each window that closes, each flow in which an event with trades has
    just ended, and the time when `wake_at` is reached: whoever iterates sees every instrument as it
    was at that record.

    Attributes
    ----------
    wake_at : int
        Event time at which the reader wants to be told the time, once; ns UTC.
    """

    def __init__(self, params: WindowParams) -> None:
        self.flows: dict[int, InstrumentFlow] = {}
        self.wake_at = FAR
        self._counters = EngineCounters()
        self._instruments = DatedInstruments()
        self._futures: dict[str, int] = {}
        self._params = params
        self._watermark = 0
        self._session = ""
        # A session can only change at a full hour (ifd.sessions).
        self._session_check_at = 0
        self._sweep_at = FAR
        # Flows with an open window or bar, in the order they opened it.
        self._open: dict[int, InstrumentFlow] = {}
        # Emptied books of ids that were used again, for what they counted.
        self._retired_books: list[OrderBook] = []
        self._pending: list[PressureWindow] = []
        self._closed_bars: list[Bar] = []
        self._moved_bars: dict[tuple[int, int], OpenBar] = {}

    @property
    def counters(self) -> EngineCounters:
        """Totals so far; those that live in the books are summed when asked for."""
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

    def update(self, records: MboArray) -> Iterator[PressureWindow | InstrumentFlow | int]:
        """Take in records in wire order."""
        counters, flows = self._counters, self.flows
        yield from self._take_pending()
        columns = (records[name].tolist() for name in _COLUMNS)
        for instrument_id, ts_event, order_id, price, size, flags, action, side, ts_recv in zip(
            *columns, strict=True
        ):
            counters.records += 1
            is_snapshot = flags & F_SNAPSHOT
            now = ts_recv if is_snapshot else _event_time(ts_event, ts_recv, flags)
            if now == UNDEFINED_TIMESTAMP:
                now = self._watermark
            if now >= self._session_check_at:
                yield from self._check_session(now)
            flow = flows.get(instrument_id)
            if flow is None:
                flow = flows[instrument_id] = InstrumentFlow(
                    self._instruments.get(instrument_id, self._session)
                )
            if is_snapshot or action == CLEAR:
                flow.reset_in_event = True
            if flow.instrument is None:
                counters.undefined_records += 1
            elif not is_snapshot:
                if now > self._watermark:
                    self._watermark = now
                    if now >= self.wake_at:
                        self.wake_at = FAR
                        yield now
                    if now >= self._sweep_at:
                        yield from self._sweep(now - GRACE_NS)
                if now < flow.floor:
                    counters.late_records += 1
                    now = flow.floor
                if now >= flow.deadline:
                    yield from self._close(instrument_id, flow, now)
                window = flow.window
                if window is None:
                    window = self._open_window(instrument_id, flow, now)
                window.messages += 1
                flow.event_ts = now
                flow.event_recv = ts_recv
                if action == TRADE:
                    self._count_trade(instrument_id, flow, window, now, side, price, size)
            if action == TRADE:
                if not is_snapshot:
                    flow.tape.trade(side, order_id, price, size)
            else:
                if action == FILL:
                    flow.tape.fill(side, size)
                flow.book.apply(action, side, order_id, price, size, flags)
            if flags & F_LAST:
                counters.events += 1
                flow.end_event()
                if flow.event_prints and flow.instrument is not None and not is_snapshot:
                    yield flow

    def finish(self) -> Iterator[PressureWindow]:
        """Close every open window and bar: the input has ended."""
        yield from self._take_pending()
        yield from self._sweep(FAR)

    def take_bars(self) -> list[Bar]:
        """Return the bars that changed since the last call: closed ones, then open ones as now."""
        bars = self._closed_bars
        for (instrument_id, _), bar in self._moved_bars.items():
            instrument = self.flows[instrument_id].instrument
            if instrument is not None:
                bars.append(bar.state(instrument, closed=False))
        self._closed_bars = []
        self._moved_bars = {}
        return bars

    def underlying_price(self, flow: InstrumentFlow) -> int | None:
        """Return the mid or last trade of an option's underlying, or None while it is unknown."""
        instrument = flow.instrument
        if instrument is None:
            return None
        underlying = self.flows.get(instrument.underlying_id)
        if underlying is None or not underlying.is_future:
            named = self._futures.get(instrument.underlying)
            underlying = None if named is None else self.flows.get(named)
        return None if underlying is None else underlying.reference_price

    def _take_pending(self) -> list[PressureWindow]:
        pending, self._pending = self._pending, []
        return pending

    def _check_session(self, now: int) -> list[PressureWindow]:
        """At a full hour: if a session began, let every id mean what it means in it."""
        self._session_check_at = (now // _NANOS_PER_HOUR + 1) * _NANOS_PER_HOUR
        session = session_date(now)
        if session != self._session:
            self._session = session
            for instrument_id in list(self.flows):
                self._identify(instrument_id)
        return self._take_pending()

    def _identify(self, instrument_id: int) -> None:
        flow = self.flows[instrument_id]
        instrument = self._instruments.get(instrument_id, self._session)
        before = flow.instrument
        if instrument is None or instrument == before:
            return
        if before is not None and before.raw_symbol != instrument.raw_symbol:
            # Its orders were another instrument's.
            self._pending.extend(self._close(instrument_id, flow, FAR))
            flow.book.clear()
            self._retired_books.append(flow.book)
            self.flows[instrument_id] = InstrumentFlow(instrument)
        else:
            flow.identify(instrument)

    def _open_window(self, instrument_id: int, flow: InstrumentFlow, now: int) -> OpenWindow:
        start = now - now % self._params.length_ns
        window = OpenWindow(start, start + self._params.length_ns, flow.mid)
        flow.window = window
        self._expect_end(instrument_id, flow, window.end)
        return window

    def _expect_end(self, instrument_id: int, flow: InstrumentFlow, end: int) -> None:
        flow.deadline = min(flow.deadline, end)
        self._sweep_at = min(self._sweep_at, end + GRACE_NS)
        self._open[instrument_id] = flow

    def _count_trade(
        self,
        instrument_id: int,
        flow: InstrumentFlow,
        window: OpenWindow,
        now: int,
        side: int,
        price: int,
        size: int,
    ) -> None:
        self._counters.trades += 1
        window.trade(side, size)
        if flow.is_future:
            for interval in self._params.bar_intervals_ns:
                bar = flow.bars.get(interval)
                if bar is None:
                    bar = flow.bars[interval] = OpenBar(interval, now - now % interval, price)
                    self._expect_end(instrument_id, flow, bar.end)
                bar.trade(price, size)
                self._moved_bars[instrument_id, interval] = bar

    def _sweep(self, now: int) -> Iterator[PressureWindow]:
        """Close what ended before `now`, also of instruments that fell silent."""
        for instrument_id, flow in list(self._open.items()):
            if now >= flow.deadline:
                yield from self._close(instrument_id, flow, now)
        deadlines = (flow.deadline for flow in self._open.values())
        self._sweep_at = min(deadlines, default=FAR - GRACE_NS) + GRACE_NS

    def _close(self, instrument_id: int, flow: InstrumentFlow, now: int) -> list[PressureWindow]:
        """Close what of one instrument ended by `now`."""
        instrument, window = flow.instrument, flow.window
        assert instrument is not None  # a window or bar only opens for a defined instrument
        closed = []
        if window is not None and now >= window.end:
            closed.append(window.closed(instrument))
            self._counters.windows += 1
            flow.floor = max(flow.floor, window.end)
            flow.window = None
            if window.signed_volume:
                flow.recent.append((window.start, window.signed_volume))
        for interval, bar in list(flow.bars.items()):
            if now >= bar.end:
                self._closed_bars.append(bar.state(instrument, closed=True))
                self._moved_bars.pop((instrument_id, interval), None)
                flow.floor = max(flow.floor, bar.end)
                del flow.bars[interval]
        ends = [bar.end for bar in flow.bars.values()]
        if flow.window is not None:
            ends.append(flow.window.end)
        flow.deadline = min(ends, default=FAR)
        if not ends:
            self._open.pop(instrument_id, None)
        return closed


def _event_time(ts_event: int, ts_recv: int, flags: int) -> int:
    """Return when a record happened: `ts_event`, unless absent or far ahead of its capture."""
    if ts_event <= ts_recv + CLOCK_TOLERANCE_NS:
        return ts_event
    if flags & F_BAD_TS_RECV and ts_event != UNDEFINED_TIMESTAMP:
        return ts_event
    return ts_recv
