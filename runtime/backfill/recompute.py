"""Make anew what a hole touched: windows, bars, and signals, which are late.

The session's archive is replayed from its beginning, the last moment at which every book is known
to be whole, and what the engine gives from the hole on is written, to the end of what is archived:
an engine remembers (a delta, a silence after a signal), so a hole reaches further than its windows.
More records can only add windows, so nothing has to be deleted. A signal that was given stays
given; a new one is stored as late and alerted to nobody.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

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
from ifd.units import NANOS_PER_SECOND
from models.baselines import load_baselines
from models.coverage import coverage_intervals
from runtime.backfill.hole import Hole
from runtime.session_archive import read_session, session_segments
from sinks.tables import TableWriter, store_params


@dataclasses.dataclass(frozen=True, slots=True)
class Recomputed:
    """Rows written."""

    windows: int
    bars: int
    late_signals: int


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
    whole = _whole_times(engine, hole)
    pipeline = Pipeline(params, baselines=load_baselines(engine, params))
    for records in _without_needless_snapshots(arrays, whole):
        if defined:
            pipeline.define(defined)
            writer.define(defined)
            defined.clear()
        writer.write(_touched(hole, pipeline.update(records)), received_ns=None, late=True)
    if all(row.closed_ns is not None for row in segments):
        writer.write(_touched(hole, pipeline.finish()), received_ns=None, late=True)
    writer.flush()
    return Recomputed(writer.windows, writer.bars, writer.signals)


def _without_needless_snapshots(
    arrays: Iterable[MboArray], whole: list[Interval]
) -> Iterator[MboArray]:
    """Leave out snapshots in the middle of what was received whole: an uncut day has none."""
    for records in arrays:
        wanted = records
        snapshots = records["flags"] & F_SNAPSHOT != 0
        if snapshots.any():
            wanted = records[~(snapshots & _is_inside(records["ts_recv"], whole))]
        if len(wanted):
            yield wanted


def _is_inside(times: npt.NDArray[np.uint64], whole: list[Interval]) -> npt.NDArray[np.bool_]:
    inside = np.zeros(len(times), np.bool_)
    for start_ns, end_ns in whole:
        inside |= (times > start_ns + NANOS_PER_SECOND) & (times < end_ns)
    return inside


def _touched(hole: Hole, output: Output) -> Output:
    """Return what ends in the hole or behind it."""
    return Output(
        [one for one in output.signals if one.ts_event >= hole.start_ns],
        [one for one in output.windows if one.window_end > hole.start_ns],
        [one for one in output.bars if one.start_ns + one.interval_ns > hole.start_ns],
    )


def _whole_times(engine: Engine, hole: Hole) -> list[Interval]:
    market = hole.market
    with Session(engine) as session:
        return coverage_intervals(session, hole.shard, market.open_ns, market.close_ns)
