"""Instruments of a session as the tables know them, and whether their strikes lie on the grid.

The exchange lists strikes at several distances, closer near the money, and each expiry uses some of
them. The grid of a chain is the greatest common divisor of the distances between neighbours that it
uses often; one strike that was read wrongly makes two new distances, each of them once.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from config.settings import Settings
from ifd.symbols import DatedInstruments, Instrument
from models.market import InstrumentRow
from runtime.quality.batches import INSTRUMENTS, Batch

COLUMNS: Final = (
    *("raw_symbol", "has_strike", "off_grid", "expired"),
    *("multiplier", "min_price_increment", "has_underlying"),
)
OFTEN: Final = 3
"""A distance that so many neighbours have is one the exchange lists by."""
_LOOK_BACK: Final = dt.timedelta(days=7)


def listed_instruments(engine: Engine, settings: Settings, date: str) -> dict[int, Instrument]:
    """Return what the tables know of a shard's instruments in a session, by id."""
    names = [field.name for field in dataclasses.fields(Instrument)]
    with Session(engine) as session:
        rows = session.exec(select(InstrumentRow).where(_is_of(settings, date)))
        dated = DatedInstruments(Instrument(**row.model_dump(include=set(names))) for row in rows)
    return {one.instrument_id: one for one in dated.of_session(date)}


def listed_futures(session: Session, settings: Settings, date: str) -> list[int]:
    """Return the ids of a shard's futures in a session."""
    query = select(InstrumentRow.instrument_id).where(_is_of(settings, date)).distinct()
    return list(session.exec(query.where(InstrumentRow.instrument_class == "F")))


def _is_of(settings: Settings, date: str) -> sa.ColumnElement[bool]:
    """Return the condition that an instrument was defined for a shard, in a session or before."""
    first = (dt.date.fromisoformat(date) - _LOOK_BACK).isoformat()
    symbols = (*settings.feed.parents, *settings.feed.futures)
    roots = sorted({symbol.partition(".")[0] for symbol in symbols})
    return sa.and_(
        col(InstrumentRow.session_date).between(first, date), col(InstrumentRow.asset).in_(roots)
    )


def instruments_batch(listed: Mapping[int, Instrument], date: str) -> Batch:
    """Return a row for each instrument: what it says of itself, and `off_grid`."""
    grid = strike_grid(listed.values())
    rows = [_of_instrument(one, listed, grid, date) for one in listed.values()]
    return Batch(INSTRUMENTS, f"instruments {date}", pd.DataFrame(rows, columns=list(COLUMNS)))


def _of_instrument(
    one: Instrument,
    listed: Mapping[int, Instrument],
    grid: int | None,
    date: str,
) -> dict[str, Any]:
    # Any: a column's value.
    return {
        "raw_symbol": one.raw_symbol,
        "has_strike": one.strike_price is not None or not one.is_option,
        "off_grid": _is_off_grid(one, grid),
        "expired": one.expiration_date < date,
        "multiplier": one.multiplier,
        "min_price_increment": one.min_price_increment,
        "has_underlying": one.underlying_id in listed or not one.is_option,
    }


def strike_grid(instruments: Iterable[Instrument]) -> int | None:
    """Return the distance (1e-9) that all strikes are multiples of; None when too few tell."""
    strikes: dict[tuple[str, int], set[int]] = {}
    for one in instruments:
        if one.is_option and one.strike_price is not None:
            strikes.setdefault((one.asset, one.expiration_ns), set()).add(one.strike_price)
    distances = Counter(
        above - below
        for listed in strikes.values()
        for below, above in itertools.pairwise(sorted(listed))
    )
    often = [distance for distance, count in distances.items() if count >= OFTEN]
    return math.gcd(*often) if often else None


def _is_off_grid(one: Instrument, grid: int | None) -> bool:
    if grid is None or one.strike_price is None or not one.is_option:
        return False
    return one.strike_price % grid != 0
