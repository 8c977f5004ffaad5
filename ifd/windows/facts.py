"""What windows and bars are: facts once closed, and how a window looks while it fills.

Snapshots and clears say what rests, not what happened: they never reach a window.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt

from ifd.records import ASK, BID
from ifd.sessions import session_date
from ifd.symbols import Instrument
from ifd.units import UNDEFINED_PRICE

FAR: Final = 2**63 - 1
"""Later than any timestamp that is placed."""
RECENT_WINDOWS: Final = 4
"""Closed windows with trades whose signed volume an instrument remembers, for slow accumulation."""


@dataclasses.dataclass(frozen=True, slots=True)
class PressureWindow:
    """Pressure of one instrument in one closed window, `window_start <= ts_event < window_end`.

    Volumes, adds and pulls are lots; a pull is what was withdrawn, not what was filled.
    `sweep_levels` is the most prices one aggressor reached in one event, `largest_print` the
    largest trade record. `order_flow_imbalance` is the sum over events of the change of size at the
    touch, bids minus asks (Cont, Kukanov, Stoikov 2014); `depth_imbalance` the same over the first
    five levels of each side (Xu, Gould, Howison 2018). `mid_open` is the mid as the window opened,
    `mid_close` the last one; None where a side was empty.

    `bid_refills` and `ask_refills` are slices of icebergs that took the place of what was filled.
    `quoted_ns` is how long both sides were quoted, `touch_changes` how often the best prices
    changed, `spread_sum` the sum of spreads (1e-9) over the `quoted_events` that ended with both
    sides quoted. `delta_volume` and `delta_imbalance` are signed volume and imbalance at the touch
    times delta, in millionths of a lot: they may be summed across a chain.
    """

    instrument_id: int
    window_start: int
    window_end: int
    session_date: str
    raw_symbol: str
    buy_volume: int
    sell_volume: int
    unsided_volume: int
    buy_trades: int
    sell_trades: int
    largest_print: int
    sweep_levels: int
    messages: int
    bid_adds: int
    ask_adds: int
    bid_pulls: int
    ask_pulls: int
    order_flow_imbalance: int
    mid_open: int | None
    mid_close: int | None
    unsided_trades: int = 0
    cancels: int = 0
    bid_refills: int = 0
    ask_refills: int = 0
    depth_imbalance: int = 0
    quoted_ns: int = 0
    touch_changes: int = 0
    quoted_events: int = 0
    spread_sum: int = 0
    delta_volume: int = 0
    delta_imbalance: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    """Open, high, low, close (1e-9), lots and trades of a future in one interval."""

    instrument_id: int
    interval_ns: int
    start_ns: int
    raw_symbol: str
    session_date: str
    open: int
    high: int
    low: int
    close: int
    volume: int
    trades: int
    closed: bool


@dataclasses.dataclass(frozen=True, slots=True)
class BookFault:
    """A complete book became incomplete, or, with `ended`, was made whole by a clear or snapshot.

    `cause` is `flag` where the exchange's record says so (`F_MAYBE_BAD_BOOK`), `book` where an
    order was cancelled or modified that the book should have known. `raw_symbol` is empty while the
    instrument is not defined.
    """

    instrument_id: int
    raw_symbol: str
    ts_event: int
    cause: str
    ended: bool


@dataclasses.dataclass(slots=True)
class OpenWindow:
    """A window that is still filling; the fields are those of `PressureWindow`."""

    start: int
    end: int
    mid_open: int | None = None
    mid_close: int | None = None
    largest_print: int = 0
    sweep_levels: int = 0
    buy_volume: int = 0
    sell_volume: int = 0
    unsided_volume: int = 0
    buy_trades: int = 0
    sell_trades: int = 0
    unsided_trades: int = 0
    messages: int = 0
    cancels: int = 0
    bid_adds: int = 0
    ask_adds: int = 0
    bid_pulls: int = 0
    ask_pulls: int = 0
    bid_refills: int = 0
    ask_refills: int = 0
    order_flow_imbalance: int = 0
    depth_imbalance: int = 0
    quoted_ns: int = 0
    touch_changes: int = 0
    quoted_events: int = 0
    spread_sum: int = 0
    delta_volume: int = 0
    delta_imbalance: int = 0

    def trade(self, side: int, size: int) -> None:
        """Take in a trade record; a side that is neither belongs to nobody."""
        if side == BID:
            self.buy_volume += size
            self.buy_trades += 1
        elif side == ASK:
            self.sell_volume += size
            self.sell_trades += 1
        else:
            self.unsided_volume += size
            self.unsided_trades += 1
        self.largest_print = max(self.largest_print, size)

    @property
    def signed_volume(self) -> int:
        """Lots bought minus lots sold by aggressors."""
        return self.buy_volume - self.sell_volume

    def closed(self, instrument: Instrument) -> PressureWindow:
        """Return the window as the fact it has become."""
        row = [getattr(self, name) for name in WINDOW_COLUMNS]
        return _pressure_window(row, instrument)


WINDOW_COLUMNS: Final = tuple(field.name for field in dataclasses.fields(OpenWindow))
"""The columns of a window as a row of integers, in order; a mid that is not there is
`UNDEFINED_PRICE`."""
_MIDS: Final = (WINDOW_COLUMNS.index("mid_open"), WINDOW_COLUMNS.index("mid_close"))
_ORDER: Final = tuple(
    WINDOW_COLUMNS.index(field.name)
    for field in dataclasses.fields(PressureWindow)
    if field.name in WINDOW_COLUMNS
)

Rows = npt.NDArray[np.int64]


def open_window(row: Rows) -> OpenWindow:
    """Return a row of `WINDOW_COLUMNS` as a window that is still filling."""
    return OpenWindow(*_with_mids(row.tolist()))


def _with_mids(values: list[Any]) -> list[Any]:
    # Any: a mid may be None, nothing else.
    for place in _MIDS:
        if values[place] == UNDEFINED_PRICE:
            values[place] = None
    return values


def _pressure_window(values: list[Any], instrument: Instrument) -> PressureWindow:
    start, end = values[0], values[1]
    return PressureWindow(
        instrument.instrument_id,
        start,
        end,
        session_date(start),
        instrument.raw_symbol,
        *[values[place] for place in _ORDER],
    )


class ClosedWindows(Sequence[PressureWindow]):
    """Windows in the order they closed, kept as integers until one is looked at.

    A session closes hundreds of thousands; making an object of each takes longer than everything
    else the engine does with its records.

    Parameters
    ----------
    rows : ndarray of int64, shape (windows, len(WINDOW_COLUMNS))
    instruments : sequence of Instrument
        Whose window each row is.
    """

    __slots__ = ("instruments", "rows")

    def __init__(self, rows: Rows, instruments: Sequence[Instrument]) -> None:
        self.rows = rows
        self.instruments = instruments

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> PressureWindow: ...
    @overload
    def __getitem__(self, index: slice) -> ClosedWindows: ...
    def __getitem__(self, index: int | slice) -> PressureWindow | ClosedWindows:
        if isinstance(index, slice):
            return ClosedWindows(self.rows[index], self.instruments[index])
        return _pressure_window(_with_mids(self.rows[index].tolist()), self.instruments[index])

    def __iter__(self) -> Iterator[PressureWindow]:
        for values, instrument in zip(self.rows.tolist(), self.instruments, strict=True):
            yield _pressure_window(_with_mids(values), instrument)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Sequence):
            return list(self) == list(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as of a list


@dataclasses.dataclass(slots=True)
class InstrumentFlow:
    """One instrument where an event in which an aggressor traded has just ended.

    Attributes
    ----------
    window : OpenWindow
        The running window of the primary length.
    rows : ndarray of int64, shape (lengths, len(WINDOW_COLUMNS))
        The running window of every length, shortest first.
    event_ts, event_recv : int
        Event time of the event's last record as placed, and its capture time, ns UTC.
    event_buy, event_sell : int
        Lots that aggressors bought and sold in this event.
    event_prints : int
        Its trade records.
    last_price : int
        Of its last trade that had one, 1e-9; 0 before.
    delta : int
        The option's delta in millionths.
    recent : list of (int, int)
        Start and signed volume of the last closed primary windows in which something traded.
    """

    instrument: Instrument
    window: OpenWindow
    rows: Rows
    event_ts: int = 0
    event_recv: int = 0
    event_buy: int = 0
    event_sell: int = 0
    event_prints: int = 0
    last_price: int = 0
    delta: int = 0
    recent: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    @property
    def windows(self) -> list[OpenWindow]:
        """The running windows, shortest first."""
        return [open_window(row) for row in self.rows]
