"""The nightly look at what the exchange lists: whether every parent of the chain is watched."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Final

from sqlalchemy.engine import Engine
from sqlmodel import Session, col, func, select

from config.settings import Settings
from ifd.clock import SystemClock
from ifd.gateway.historical import HistoricalRequest, HistoricalSource
from ifd.parents import ParentDrift, find_drift
from ifd.replay import read_definitions
from ifd.symbols import Instrument
from ifd.units import NANOS_PER_SECOND, ns_from_datetime, utc_from_ns
from models.market import InstrumentRow
from runtime.budgets import purse_of

DIRECTORY: Final = Path("var/definitions")
_DAY_NS: Final = 86_400 * NANOS_PER_SECOND


def nightly_drift(settings: Settings, engine: Engine, *, now_ns: int) -> ParentDrift:
    """Return the drift by the best definitions there are: bought ones, else those received.

    Bought when there is a real account and `budget.definitions_daily` is not 0.

    Raises
    ------
    BudgetExceededError, HistoryError, AuthenticationFailedError
        As `drift_of_history`.
    """
    allowed = settings.budget.definitions_daily > 0
    if settings.feed.simulated or settings.databento_api_key is None or not allowed:
        return drift_of_tables(settings, engine)
    yesterday = utc_from_ns(now_ns).date() - dt.timedelta(days=1)
    return drift_of_history(settings, engine, yesterday, DIRECTORY)


def drift_of_files(settings: Settings, files: list[Path]) -> ParentDrift:
    """Return the drift by the definitions of these files."""
    return _drift(settings, [one for path in files for one in read_definitions(path)])


def drift_of_tables(settings: Settings, engine: Engine) -> ParentDrift:
    """Return the drift by what the stream was sent in its newest session.

    It was sent what was subscribed to, so a parent the exchange has added shows only in the
    definitions of all symbols: see `drift_of_history`.
    """
    with Session(engine) as session:
        newest = session.exec(select(func.max(InstrumentRow.session_date))).one()
        rows = session.exec(
            select(InstrumentRow).where(col(InstrumentRow.session_date) == newest)
        ).all()
    return _drift(settings, [_instrument(row) for row in rows])


def drift_of_history(
    settings: Settings,
    engine: Engine,
    date: dt.date,
    directory: Path,
    *,
    at_most_micro_dollars: int | None = None,
) -> ParentDrift:
    """Return the drift by the definitions of every symbol on a UTC day, bought from the provider.

    Raises
    ------
    BudgetExceededError
        If they cost more than the budget has left, or than is allowed here; nothing is spent.
    HistoryError, AuthenticationFailedError, ConfigurationError
        If they are not to be had.
    """
    start_ns = ns_from_datetime(dt.datetime.combine(date, dt.time(), tzinfo=dt.UTC))
    request = HistoricalRequest(
        schema="definition",
        symbols=("ALL_SYMBOLS",),
        stype_in="raw_symbol",
        start_ns=start_ns,
        end_ns=start_ns + _DAY_NS,
        dataset=settings.feed.dataset,
    )
    source = HistoricalSource(
        settings.require_databento_key(),
        dataset=settings.feed.dataset,
        gateway=settings.historical.gateway,
        clock=SystemClock(),
    )
    purse = purse_of(
        settings,
        engine,
        "definitions",
        requests=[request],
        at_most_micro_dollars=at_most_micro_dollars,
    )
    fetched = source.fetch(request, directory, purse)
    return drift_of_files(settings, list(fetched.files))


def _drift(settings: Settings, instruments: list[Instrument]) -> ParentDrift:
    feed = settings.feed
    return find_drift(instruments, parents=feed.parents, futures=feed.futures)


def _instrument(row: InstrumentRow) -> Instrument:
    return Instrument(**row.model_dump(exclude={"dataset"}))
