"""What the tables hold of a session against the trades in its archive: windows and bars.

Both are made anew here from the trades, by a few lines that share nothing with the engine, and must
agree to the lot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import col

from ifd.coverage import Interval
from ifd.params import EngineParams
from ifd.symbols import Instrument
from ifd.units import NANOS_PER_MINUTE, UNDEFINED_PRICE
from models.market import BarRow, PressureWindowRow
from runtime.quality.batches import BARS, FLOW, Batch
from runtime.quality.stored import rows_frame

VOLUMES: Final = ("buy_volume", "sell_volume", "unsided_volume")
PRICES: Final = ("open", "high", "low", "close")


def flow_batch(
    engine: Engine,
    params: EngineParams,
    listed: Mapping[int, Instrument],
    date: str,
    trades: pd.DataFrame,
    covered: Sequence[Interval],
    fingerprints: Sequence[str],
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
        .where(col(column.params_fingerprint).in_(fingerprints))
        .where(col(column.window_end) - col(column.window_start) == length_ns)
        .where(sa.or_(*(col(getattr(column, name)) != 0 for name in VOLUMES)))
    )
    keys = ["instrument_id", "start_ns"]
    # A window that two runs stored under different parameters is the same window.
    stored = rows_frame(engine, query).groupby(keys, as_index=False).max()
    plain = [key for key, one in listed.items() if one.is_option or one.is_future]
    traded = traded_volumes(trades, length_ns)
    both = _beside(stored, traded, keys, plain, covered, length_ns)
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
        stored = rows_frame(engine, query)
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
