"""What the tables hold of a session: windows, bars, baselines and signals, against the archive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.baseline import BaselineStat
from ifd.coverage import Interval
from ifd.params import EngineParams
from ifd.symbols import Instrument
from ifd.units import NANOS_PER_MINUTE, UNDEFINED_PRICE
from models.baselines import read_stats
from models.market import BarRow, PressureWindowRow
from models.operations import StreamRunRow
from models.signals import SignalRow
from runtime.quality.batches import BARS, BASELINES, FLOW, SIGNALS, WINDOWS, Batch

COUNTED: Final = (
    *("buy_volume", "sell_volume", "unsided_volume", "buy_trades", "sell_trades"),
    *("unsided_trades", "largest_print", "sweep_levels", "messages", "cancels"),
    *("bid_adds", "ask_adds", "bid_pulls", "ask_pulls", "bid_refills", "ask_refills"),
    *("quoted_ns", "touch_changes", "quoted_events"),
)
"""Columns of a window that count something."""
VOLUMES: Final = ("buy_volume", "sell_volume", "unsided_volume")
PRICES: Final = ("open", "high", "low", "close")


def windows_batch(
    engine: Engine, params: EngineParams, listed: Mapping[int, Instrument], date: str
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
        .where(col(column.params_fingerprint) == params.fingerprint())
        .where(length > 0)
        .group_by(col(column.instrument_id))
    )
    frame = _frame(engine, query)
    return Batch(WINDOWS, f"windows {date}", frame[frame["instrument_id"].isin(list(listed))])


def flow_batch(
    engine: Engine,
    params: EngineParams,
    listed: Mapping[int, Instrument],
    date: str,
    trades: pd.DataFrame,
    covered: Sequence[Interval],
) -> Batch:
    """Return a row for each window in which something traded: its lots, and those of the archive.

    Only windows that were received whole; `difference` says in words what does not agree.
    """
    length_ns = params.windows.length_ns
    column = PressureWindowRow
    query = (
        sa.select(
            col(column.instrument_id),
            col(column.window_start).label("start_ns"),
            *(col(getattr(column, name)) for name in VOLUMES),
        )
        .where(col(column.session_date) == date)
        .where(col(column.params_fingerprint) == params.fingerprint())
        .where(col(column.window_end) - col(column.window_start) == length_ns)
        .where(sa.or_(*(col(getattr(column, name)) != 0 for name in VOLUMES)))
    )
    stored = _frame(engine, query)
    plain = [key for key, one in listed.items() if one.is_option or one.is_future]
    traded = traded_volumes(trades, length_ns)
    both = _beside(stored, traded, ["instrument_id", "start_ns"], plain, covered, length_ns)
    return Batch(FLOW, f"flow {date}", _compared(both, VOLUMES))


def bars_batch(
    engine: Engine,
    params: EngineParams,
    listed: Mapping[int, Instrument],
    date: str,
    trades: pd.DataFrame,
    covered: Sequence[Interval],
) -> Batch:
    """Return a row for each bar of a future that was received whole, beside that of the archive."""
    futures = [key for key, one in listed.items() if one.is_future]
    column = BarRow
    frames = []
    for interval_ns in params.windows.bar_intervals_ns:
        query = sa.select(
            col(column.instrument_id),
            col(column.start_ns),
            *(col(getattr(column, name)) for name in (*PRICES, "volume", "trades")),
        ).where(col(column.session_date) == date, col(column.interval_ns) == interval_ns)
        stored = _frame(engine, query)
        traded = traded_bars(trades, interval_ns)
        keys = ["instrument_id", "start_ns"]
        both = _beside(stored, traded, keys, futures, covered, interval_ns)
        both["minutes"] = interval_ns // NANOS_PER_MINUTE
        frames.append(both)
    return Batch(BARS, f"bars {date}", _compared(pd.concat(frames), (*PRICES, "volume", "trades")))


def traded_volumes(trades: pd.DataFrame, length_ns: int) -> pd.DataFrame:
    """Return the lots that aggressors bought, sold, and those of no side, by window."""
    frame = trades.assign(start_ns=trades["ts_event"] - trades["ts_event"] % length_ns)
    sides = {ord("B"): "buy_volume", ord("A"): "sell_volume"}
    frame["name"] = frame["side"].map(sides).fillna("unsided_volume")
    sums = frame.pivot_table(
        index=["instrument_id", "start_ns"], columns="name", values="size", aggfunc="sum"
    )
    # A print of no lots makes no row: such a window holds none either.
    found = sums.reindex(columns=list(VOLUMES)).fillna(0).astype(np.int64)
    return found[(found != 0).any(axis=1)].reset_index()


def traded_bars(trades: pd.DataFrame, interval_ns: int) -> pd.DataFrame:
    """Return open, high, low, close, lots and number of trades, by instrument and interval."""
    priced = trades[trades["price"] != UNDEFINED_PRICE]
    grouped = priced.assign(start_ns=priced["ts_event"] - priced["ts_event"] % interval_ns).groupby(
        ["instrument_id", "start_ns"]
    )
    return grouped.agg(
        open=("price", "first"),
        high=("price", "max"),
        low=("price", "min"),
        close=("price", "last"),
        volume=("size", "sum"),
        trades=("price", "count"),
    ).reset_index()


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
        .join(StreamRunRow, col(StreamRunRow.id) == col(SignalRow.run_id))
        .where(SignalRow.session_date == date, StreamRunRow.shard == shard)
        .order_by(col(SignalRow.id))
    )
    with Session(engine) as session:
        rows = [_of_signal(row, params, listed) for row in session.exec(query)]
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


def _frame(engine: Engine, query: sa.Select[Any]) -> pd.DataFrame:
    # Any: rows of whatever columns the query has.
    with Session(engine) as session:
        result = session.connection().execute(query)
        columns = list(result.keys())
        return pd.DataFrame([tuple(row) for row in result], columns=columns).astype(np.int64)


def _beside(
    stored: pd.DataFrame,
    traded: pd.DataFrame,
    keys: list[str],
    instruments: Iterable[int],
    covered: Sequence[Interval],
    length_ns: int,
) -> pd.DataFrame:
    """Return what the tables and the archive say of the same times, where all was received."""
    both = stored.merge(traded, on=keys, how="outer", suffixes=("", "_archived"))
    starts = both["start_ns"]
    whole = np.zeros(len(both), np.bool_)
    for start, end in covered:
        whole |= ((starts >= start) & (starts + length_ns <= end)).to_numpy()
    return both[whole & both["instrument_id"].isin(list(instruments)).to_numpy()].copy()


def _compared(both: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Add `difference`: what does not agree, in words; None where all does."""
    differs = pd.DataFrame(
        {name: both[name].fillna(-1) != both[f"{name}_archived"].fillna(-1) for name in names}
    )
    words: list[str | None] = [None] * len(both)
    for place in np.flatnonzero(differs.any(axis=1)):
        row = both.iloc[place]
        told = (
            f"{name} {row[name]:g}, archived {row[f'{name}_archived']:g}"
            for name in names
            if differs.iloc[place][name]
        )
        words[place] = f"{row['instrument_id']} at {row['start_ns']}: {'; '.join(told)}"
    return both.assign(difference=pd.Series(words, index=both.index, dtype=object))
