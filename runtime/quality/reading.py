"""A session's archive, read once: measures of each file, its trades, and what defines its ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import databento_dbn as dbn
import numpy as np
import numpy.typing as npt
import pandas as pd

from ifd.coverage import Interval
from ifd.errors import InputError
from ifd.records import F_SNAPSHOT, MBO_DTYPE, MboArray
from ifd.replay import read_chunks
from ifd.sessions import session_date
from ifd.symbols import Instrument, instrument_from_definition
from ifd.units import NANOS_PER_SECOND
from ifd.windows.state import CLOCK_TOLERANCE_NS
from models.operations import ArchiveFileRow
from runtime.quality.orders import TRADE_COLUMNS, BookMeasures, OrderMeasures, blocks_of
from runtime.session_archive import BACKFILL_PREFIX

OnRecords = Callable[[int], None]
FILE_COLUMNS: Final = (
    *("file", "problem", "records", "early_share", "slow_share", "steps_back"),
    *("misdated", "ahead", "crossed_share", "unknown_share"),
)
"""What is measured of a file."""
_AHEAD_NS: Final = NANOS_PER_SECOND


@dataclasses.dataclass(slots=True)
class SessionReading:
    """What was found in the files of a session.

    Attributes
    ----------
    orders : dict of str to DataFrame
        By file, counts by instrument id (`runtime.quality.orders.COUNTS`).
    files : list of dict
        Measures of each file, `FILE_COLUMNS`.
    defined : dict of int to Instrument
        What definitions in the files say.
    trades : ndarray
        All trades in the order of the files, with `TRADE_COLUMNS`.
    received : ndarray of int64
        Records captured in each of the intervals asked for.
    last_ns : int
        Capture time of the last record, 0 when there is none.
    """

    orders: dict[str, pd.DataFrame]
    files: list[dict[str, Any]]
    defined: dict[int, Instrument]
    trades: MboArray
    received: npt.NDArray[np.int64]
    last_ns: int = 0


def read_archive(
    rows: Sequence[ArchiveFileRow],
    listed: Mapping[int, Instrument],
    *,
    skew_ns: int,
    intervals: Sequence[Interval] = (),
    on_records: OnRecords = lambda _records: None,
) -> SessionReading:
    """Read the files of one session and measure them; one that is damaged up to the damage.

    Parameters
    ----------
    rows : sequence of ArchiveFileRow
        In the order they were begun.
    listed : mapping of int to Instrument
        What the tables know of the session.
    intervals : sequence of Interval
        In which received records are counted by capture time.
    """
    increments = {key: one.min_price_increment for key, one in listed.items()}
    found = SessionReading({}, [], {}, np.empty(0, MBO_DTYPE), np.zeros(len(intervals), np.int64))
    measures: dict[int | None, OrderMeasures] = {}
    books: dict[int, BookMeasures] = {}
    for row in rows:
        run_id = None if Path(row.path).name.startswith(BACKFILL_PREFIX) else row.run_id
        measure = measures.setdefault(run_id, OrderMeasures(increments, skew_ns=skew_ns))
        # What filled a hole has no book before it.
        book = None if run_id is None else books.setdefault(run_id, BookMeasures())
        measure.begin_file()
        reader = _Reader(row, found.defined, increments)
        for block in blocks_of(reader.arrays()):
            measure.add(block)
            if book is not None:
                book.add(block)
            found.received += _inside(block, intervals)
            on_records(len(block))
        name = Path(row.path).name
        found.orders[name] = measure.counts
        found.last_ns = max(found.last_ns, measure.clock.last_ns or 0)
        found.files.append(_of_file(row, measure, book, reader.damage))
    trades = [array for one in measures.values() for array in one.trades]
    if trades:
        found.trades = np.concatenate(trades)
    return found


class _Reader:
    """One file; definitions on the way are noted, damage ends it and is told."""

    def __init__(
        self, row: ArchiveFileRow, defined: dict[int, Instrument], increments: dict[int, int]
    ) -> None:
        self._row = row
        self._defined = defined
        self._increments = increments
        self.damage: str | None = None

    def arrays(self) -> Iterator[MboArray]:
        try:
            for chunk in read_chunks(self._row.path):
                if isinstance(chunk, np.ndarray):
                    yield chunk
                elif isinstance(chunk, dbn.InstrumentDefMsg):
                    instrument = instrument_from_definition(chunk)
                    self._defined[instrument.instrument_id] = instrument
                    step = instrument.min_price_increment
                    self._increments.setdefault(instrument.instrument_id, step)
        except InputError as error:
            # A file that is still written ends within a frame; that is no damage.
            if self._row.closed_ns is not None:
                self.damage = str(error)


def _of_file(
    row: ArchiveFileRow, measure: OrderMeasures, book: BookMeasures | None, damage: str | None
) -> dict[str, Any]:
    # Any: a column's value.
    clock = measure.clock
    crossed, unknown = (None, None) if book is None else book.take()
    ends = [ns for ns in (clock.first_ns, clock.last_ns) if ns is not None]
    until_ns = row.closed_ns
    return {
        "file": Path(row.path).name,
        "problem": damage,
        "records": clock.records,
        "early_share": clock.early / max(clock.records, 1),
        "slow_share": clock.slow / max(clock.records, 1),
        "steps_back": clock.steps_back,
        "misdated": any(session_date(ns) != row.session_date for ns in ends),
        "ahead": until_ns is not None and any(ns > until_ns + _AHEAD_NS for ns in ends),
        "crossed_share": crossed,
        "unknown_share": unknown,
    }


def _inside(block: MboArray, intervals: Sequence[Interval]) -> npt.NDArray[np.int64]:
    times = block["ts_recv"][block["flags"] & F_SNAPSHOT == 0]
    counts = [np.count_nonzero((times >= start) & (times < end)) for start, end in intervals]
    return np.array(counts, np.int64).reshape(len(intervals))


def trades_frame(trades: MboArray) -> pd.DataFrame:
    """Return trades as a table, placed as the engine does.

    An event far ahead of its capture is placed by that, and none before the one that came before it
    in its instrument.
    """
    if not len(trades):
        return pd.DataFrame(columns=list(TRADE_COLUMNS), dtype=np.int64)
    frame = pd.DataFrame({name: trades[name].astype(np.int64) for name in TRADE_COLUMNS})
    frame = frame.sort_values("ts_recv", kind="stable")
    is_ahead = frame["ts_event"] > frame["ts_recv"] + CLOCK_TOLERANCE_NS
    frame["ts_event"] = frame["ts_event"].mask(is_ahead, frame["ts_recv"])
    frame["ts_event"] = frame.groupby("instrument_id")["ts_event"].cummax()
    return frame
