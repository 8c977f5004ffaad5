"""The last minutes of a running stream, as one row: nothing is read but a few indexed queries."""

from __future__ import annotations

import statistics
from typing import Final

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from config.settings import Settings
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND
from models.coverage import gaps_of, missing_intervals
from models.market import BarRow, BaselineRow, PressureWindowRow
from models.operations import HealthSampleRow, StreamRunRow
from runtime.quality.batches import STREAM, Batch
from runtime.quality.listing import listed_futures
from runtime.quality.stored import COUNTED

_DAY_SECONDS: Final = 86_400


def stream_batch(engine: Engine, settings: Settings, run: StreamRunRow, *, now_ns: int) -> Batch:
    """Return how a running stream was over the last minutes.

    Columns are `heartbeat_age_s`, `clock_skew_s` (the median lag of its newest samples),
    `missing_share` of the time looked at, `negative_windows` in it, `records` of the run,
    `bad_baselines` that cannot be, and `future_age_s` since a bar of a future last moved.
    """
    looked_at_ns = settings.quality.recent_minutes * NANOS_PER_MINUTE
    since_ns = max(now_ns - looked_at_ns, run.started_ns)
    with Session(engine) as session:
        samples = session.exec(
            select(HealthSampleRow.metrics)
            .where(HealthSampleRow.component == "stream", HealthSampleRow.run_id == run.id)
            .where(HealthSampleRow.ts_ns >= since_ns)
            .order_by(col(HealthSampleRow.ts_ns))
        ).all()
        gaps = gaps_of(session, run.shard, [run.session_date])
        row = {
            "heartbeat_age_s": _seconds(now_ns - run.heartbeat_ns),
            "clock_skew_s": _lag_seconds([dict(one) for one in samples], settings.feed.simulated),
            "missing_share": _missing_share(
                missing_intervals(gaps, now_ns=now_ns), since_ns, now_ns
            ),
            "records": run.records,
            "caught_up": run.caught_up,
            "negative_windows": _negative_windows(session, run, since_ns),
            "bad_baselines": _bad_baselines(session, settings),
            "future_age_s": _future_age_seconds(session, settings, run, now_ns),
        }
    return Batch(STREAM, "last minutes", pd.DataFrame([row]))


def _lag_seconds(samples: list[dict[str, float]], simulated: bool) -> float | None:
    # What is replayed is as old as the outage was long.
    present = [one for one in samples if one["caught_up"] and one["records_per_s"] > 0]
    lags = [one["lag_ms"] for one in present]
    if not lags:
        return None
    lag_seconds = statistics.median(lags) / 1_000
    # The local exchange may serve a recorded day, which is as old as it is.
    return None if simulated and abs(lag_seconds) > _DAY_SECONDS else lag_seconds


def _bad_baselines(session: Session, settings: Settings) -> int:
    bad = sa.or_(
        col(BaselineRow.mad) < 0,
        col(BaselineRow.sessions) < 1,
        col(BaselineRow.samples) < col(BaselineRow.sessions),
    )
    fingerprint = settings.engine_params().baseline_fingerprint()
    query = select(sa.func.count()).select_from(BaselineRow).where(bad)
    return session.exec(query.where(BaselineRow.params_fingerprint == fingerprint)).one()


def _missing_share(missing: list[tuple[int, int]], since_ns: int, now_ns: int) -> float:
    clipped = (min(end, now_ns) - max(start, since_ns) for start, end in missing)
    return sum(max(span, 0) for span in clipped) / max(now_ns - since_ns, 1)


def _negative_windows(session: Session, run: StreamRunRow, since_ns: int) -> int:
    query = (
        select(sa.func.count())
        .select_from(PressureWindowRow)
        .where(PressureWindowRow.session_date == run.session_date)
        .where(PressureWindowRow.window_start >= since_ns - NANOS_PER_MINUTE)
        .where(sa.or_(*(col(getattr(PressureWindowRow, name)) < 0 for name in COUNTED)))
    )
    return session.exec(query).one()


def _future_age_seconds(
    session: Session, settings: Settings, run: StreamRunRow, now_ns: int
) -> float:
    futures = listed_futures(session, settings, run.session_date)
    moved_ns = session.exec(
        select(sa.func.max(BarRow.updated_ns)).where(
            BarRow.session_date == run.session_date, col(BarRow.instrument_id).in_(futures)
        )
    ).one()
    # A stream that has just begun may not have seen a trade yet.
    return _seconds(now_ns - max(moved_ns or 0, run.started_ns))


def _seconds(ns: int) -> float:
    return ns / NANOS_PER_SECOND
