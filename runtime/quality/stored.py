"""What the tables hold of a session by itself: windows, baselines and signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.baseline import BaselineStat
from ifd.params import EngineParams
from ifd.symbols import Instrument
from models.baselines import read_stats
from models.market import PressureWindowRow
from models.operations import StreamRunRow
from models.signals import SignalRow
from runtime.quality.batches import BASELINES, SIGNALS, WINDOWS, Batch

COUNTED: Final = (
    *("buy_volume", "sell_volume", "unsided_volume", "buy_trades", "sell_trades"),
    *("unsided_trades", "largest_print", "sweep_levels", "messages", "cancels"),
    *("bid_adds", "ask_adds", "bid_pulls", "ask_pulls", "bid_refills", "ask_refills"),
    *("quoted_ns", "touch_changes", "quoted_events"),
)
"""Columns of a window that count something."""


def session_fingerprints(engine: Engine, params: EngineParams, shard: str, date: str) -> list[str]:
    """Return the parameters under which windows of a session were stored: its runs', and these."""
    with Session(engine) as session:
        of_runs = session.exec(
            select(StreamRunRow.params_fingerprint)
            .where(StreamRunRow.shard == shard, StreamRunRow.session_date == date)
            .distinct()
        ).all()
    return sorted({*of_runs, params.fingerprint()})


def windows_batch(
    engine: Engine,
    params: EngineParams,
    listed: Mapping[int, Instrument],
    date: str,
    fingerprints: Sequence[str],
) -> Batch:
    """Return a row for each instrument: how many of its windows are not what a window can be."""
    column = PressureWindowRow
    negative = sa.or_(*(col(getattr(column, name)) < 0 for name in COUNTED))
    volume = col(column.buy_volume) + col(column.sell_volume) + col(column.unsided_volume)
    length = col(column.window_end) - col(column.window_start)
    misshapen = sa.or_(
        length.not_in(params.windows.nested_lengths_ns()), col(column.window_start) % length != 0
    )
    query = (
        sa.select(
            col(column.instrument_id),
            sa.func.count().label("windows"),
            _count(negative).label("negative"),
            _count(misshapen).label("misshapen"),
            _count(col(column.largest_print) > volume).label("print_beyond_volume"),
        )
        .where(col(column.session_date) == date)
        .where(col(column.params_fingerprint).in_(fingerprints))
        .where(length > 0)
        .group_by(col(column.instrument_id))
    )
    frame = rows_frame(engine, query)
    return Batch(WINDOWS, f"windows {date}", frame[frame["instrument_id"].isin(list(listed))])


def baselines_batch(engine: Engine, params: EngineParams, date: str) -> Batch:
    """Return a row for each measure: how many of its statistics cannot be, and how old they are."""
    with Session(engine) as session:
        rows = [_of_statistic(stat, params, date) for stat in read_stats(session, params)]
    name = f"baselines {date}"
    if not rows:
        return Batch(BASELINES, name, pd.DataFrame(), "there are no baselines yet")
    frame = (
        pd.DataFrame(rows)
        .groupby("metric")
        .agg(
            statistics=("metric", "count"),
            impossible=("impossible", "sum"),
            thin=("thin", "sum"),
            age_days=("age_days", "min"),
        )
    )
    return Batch(BASELINES, name, frame.reset_index())


def _of_statistic(stat: BaselineStat, params: EngineParams, date: str) -> dict[str, Any]:
    # Any: a column's value.
    quantiles = np.array(stat.quantiles)
    values = np.array([stat.median, stat.mad, *stat.quantiles])
    sound = (
        bool(np.isfinite(values).all())
        and stat.mad >= 0
        and bool((np.diff(quantiles) >= 0).all())
        and 1 <= stat.sessions <= params.baseline.sessions
        and stat.samples >= stat.sessions
    )
    return {
        "metric": stat.metric,
        "impossible": not sound,
        "thin": stat.sessions < params.baseline.min_sessions,
        "age_days": (pd.Timestamp(date) - pd.Timestamp(stat.as_of)).days,
    }


def signals_batch(
    engine: Engine,
    params: EngineParams,
    listed: Mapping[int, Instrument],
    shard: str,
    date: str,
) -> Batch:
    """Return a row for each signal of a session: its numbers, and what is not possible in them."""
    query = (
        select(SignalRow)
        .outerjoin(StreamRunRow, col(StreamRunRow.id) == col(SignalRow.run_id))
        .where(SignalRow.session_date == date)
        .where(sa.or_(col(StreamRunRow.shard) == shard, col(SignalRow.run_id).is_(None)))
        .order_by(col(SignalRow.id))
    )
    with Session(engine) as session:
        found = session.exec(query).all()
    # What filling a hole found belongs to no run: its instrument tells the shard.
    own = [row for row in found if row.run_id is not None or row.instrument_id in listed]
    rows = [_of_signal(row, params, listed) for row in own]
    absent = None if rows else "no signal was given"
    return Batch(SIGNALS, f"signals {date}", pd.DataFrame(rows), absent)


def _of_signal(
    row: SignalRow, params: EngineParams, listed: Mapping[int, Instrument]
) -> dict[str, Any]:
    # Any: a column's value.
    instrument = listed.get(row.instrument_id)
    return {
        "signal_id": row.signal_id,
        "confidence": row.confidence,
        "percentile_rank": row.percentile_rank,
        "market_making_probability": row.market_making_probability,
        "volume": row.volume,
        "position_size_multiplier": row.position_size_multiplier,
        "most_multiplier": params.detection.max_position_multiplier,
        "reasons": len(row.why),
        "of_listed_option": instrument is not None
        and (instrument.raw_symbol, instrument.right) == (row.raw_symbol, row.right),
        "in_window": row.window_start <= row.ts_event < row.window_end,
    }


def _count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)


def rows_frame(engine: Engine, query: sa.Select[Any]) -> pd.DataFrame:
    """Return the rows of a query whose columns are integers."""
    # Any: rows of whatever columns the query has.
    with Session(engine) as session:
        result = session.connection().execute(query)
        columns = list(result.keys())
        return pd.DataFrame([tuple(row) for row in result], columns=columns).astype(np.int64)
