"""Make anew what a hole touched: windows, bars, and signals, which are late.

The session's archive is replayed from its beginning, the last moment at which every book is known
to be whole, and what the engine gives from the hole on is written: until the windows in which the
feed had begun anew with a snapshot (what came after was computed from whole books, and stands), or
to the end of what is archived. More records can only add windows, so nothing has to be deleted. A
signal that was given stays given; a new one is stored as late and alerted to nobody.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Engine
from sqlmodel import Session

from config.settings import Settings
from ifd.clock import Clock
from ifd.coverage import Interval
from ifd.pipeline import Output, Pipeline
from ifd.records import F_SNAPSHOT, MboArray
from ifd.symbols import Instrument, instrument_from_definition
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND
from models.baselines import load_baselines
from models.coverage import coverage_intervals
from runtime.backfill.holes import Hole
from runtime.session_archive import read_session, session_segments
from sinks.tables import TableWriter, store_params

CATCH_UP_NS: Final = 2 * NANOS_PER_SECOND
"""Replayed beyond the last window that is wanted, so that every instrument's is closed."""

SETTLING_NS: Final = NANOS_PER_SECOND
"""Event and capture differ by less: so long after a snapshot, windows know nothing of the hole."""


@dataclasses.dataclass(frozen=True, slots=True)
class Recomputed:
    """Rows written; `until_ns` is where what was stored before stands, None for the end."""

    windows: int
    bars: int
    late_signals: int
    until_ns: int | None


def recompute(settings: Settings, engine: Engine, hole: Hole, *, clock: Clock) -> Recomputed:
    """Replay a session's archive and rewrite what a hole touched; a repeat changes nothing.

    Raises
    ------
    InputError
        If a file of the archive cannot be read.
    """
    params = settings.engine_params()
    store_params(engine, params, clock=clock)
    segments = session_segments(engine, hole.shard, hole.session_date)
    defined: list[Instrument] = []
    arrays = read_session(
        segments, lambda message: defined.append(instrument_from_definition(message))
    )
    writer = TableWriter(
        engine,
        run_id=None,
        source=settings.source,
        params_fingerprint=params.fingerprint(),
        alert_channel=None,
        alert_min_confidence=1.0,
        clock=clock,
        dataset=settings.feed.dataset,
    )
    past = _Past(hole, _whole_times(engine, hole), grid_ns=_grid_ns(settings))
    pipeline = Pipeline(params, baselines=load_baselines(engine, params))
    for records in past.orders(arrays):
        if defined:
            pipeline.define(defined)
            writer.define(defined)
            defined.clear()
        writer.write(past.touched(pipeline.update(records)), received_ns=None, late=True)
    if past.until_ns is None and all(row.closed_ns is not None for row in segments):
        writer.write(past.touched(pipeline.finish()), received_ns=None, late=True)
    writer.flush()
    return Recomputed(writer.windows, writer.bars, writer.signals, past.until_ns)


class _Past:
    """What is replayed, and which of it the hole touched.

    Attributes
    ----------
    until_ns : int or None
        End of the windows in which the feed began anew behind the hole, once that was met.
    """

    def __init__(self, hole: Hole, whole: list[Interval], *, grid_ns: int) -> None:
        self.until_ns: int | None = None
        self._hole = hole
        self._whole = whole
        self._grid_ns = grid_ns

    def orders(self, arrays: Iterable[MboArray]) -> Iterator[MboArray]:
        """Give the archive's orders without needless snapshots, as far as it takes."""
        for records in arrays:
            snapshots = records["flags"] & F_SNAPSHOT != 0
            wanted = records
            if snapshots.any():
                self._heed(records["ts_recv"][snapshots])
                wanted = records[~(snapshots & self._is_needless(records["ts_recv"]))]
            if len(wanted):
                yield wanted
            if (
                self.until_ns is not None
                and int(records["ts_recv"][-1]) > self.until_ns + CATCH_UP_NS
            ):
                return

    def touched(self, output: Output) -> Output:
        """Return what ends in the hole or behind it, and begins before `until_ns`."""
        start_ns, end_ns = self._hole.start_ns, self.until_ns
        return Output(
            [
                one
                for one in output.signals
                if one.ts_event >= start_ns and (end_ns is None or one.ts_event < end_ns)
            ],
            [
                one
                for one in output.windows
                if one.window_end > start_ns and (end_ns is None or one.window_start < end_ns)
            ],
            [
                one
                for one in output.bars
                if one.start_ns + one.interval_ns > start_ns
                and (end_ns is None or one.start_ns < end_ns)
            ],
        )

    def _heed(self, times: npt.NDArray[np.uint64]) -> None:
        behind = times[times >= self._hole.end_ns - NANOS_PER_SECOND]
        if self.until_ns is None and len(behind):
            begun_ns = int(behind[0]) + SETTLING_NS
            self.until_ns = -(-begun_ns // self._grid_ns) * self._grid_ns

    def _is_needless(self, times: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Return which times lie in the middle of what was received without a hole."""
        needless = np.zeros(len(times), np.bool_)
        for start_ns, end_ns in self._whole:
            needless |= (times > start_ns + NANOS_PER_SECOND) & (times < end_ns)
        return needless


def _whole_times(engine: Engine, hole: Hole) -> list[Interval]:
    market = hole.market
    with Session(engine) as session:
        return coverage_intervals(session, hole.shard, market.open_ns, market.close_ns)


def _grid_ns(settings: Settings) -> int:
    """Return the length of the longest window or bar; all begin at multiples of theirs."""
    bars = [minutes * NANOS_PER_MINUTE for minutes in settings.windows.bar_minutes]
    return max([settings.windows.length_seconds * NANOS_PER_SECOND, *bars])
