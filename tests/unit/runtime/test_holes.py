"""Which hole is filled first: in session, then what lacks more records, then the more recent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from config.settings import Settings, load_settings
from ifd.units import NANOS_PER_MINUTE, ns_from_datetime
from models.base import make_engine, transaction
from models.database import upgrade
from models.market import InstrumentRow, PressureWindowRow
from models.operations import GapRow, StreamRunRow
from runtime.backfill.hole import Hole
from runtime.backfill.holes import find_holes

YESTERDAY, TODAY = "2026-10-05", "2026-10-06"
BUSY, QUIET, OTHER = 1, 2, 3


def at(date: str, minute: float) -> int:
    """Minutes after the open of a session."""
    opened = dt.datetime.combine(dt.date.fromisoformat(date), dt.time(13, 30), tzinfo=dt.UTC)
    return ns_from_datetime(opened) + round(minute * NANOS_PER_MINUTE)


@pytest.fixture
def settings(sqlite_url: str) -> Settings:
    upgrade(sqlite_url)
    return load_settings(database_url=sqlite_url)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """A database whose shard has begun to stream the day before, without receiving anything."""
    made = make_engine(settings.database_url)
    with transaction(made) as session:
        session.add(
            StreamRunRow(
                shard="nq",
                source="live",
                profile="default",
                params_fingerprint="f",
                session_date=YESTERDAY,
                status="drained",
                started_ns=at(YESTERDAY, 0),
                heartbeat_ns=at(YESTERDAY, 0),
                ended_ns=at(YESTERDAY, 0),
            )
        )
    yield made
    made.dispose()


def store(engine: Engine, *rows: Any) -> None:
    with transaction(engine) as session:
        session.add_all(rows)


def instrument(date: str, ident: int, asset: str) -> InstrumentRow:
    return InstrumentRow(
        session_date=date,
        instrument_id=ident,
        raw_symbol=f"S{ident}",
        asset=asset,
        instrument_class="C",
        underlying="NQZ6",
        underlying_id=9,
        expiration_ns=at(date, 1_000),
        multiplier=20.0,
        min_price_increment=1,
    )


def window(settings: Settings, ident: int, minute: int, messages: int) -> PressureWindowRow:
    counts = dict.fromkeys(PressureWindowRow.model_fields, 0)
    facts = {
        "instrument_id": ident,
        "raw_symbol": f"S{ident}",
        "session_date": YESTERDAY,
        "window_start": at(YESTERDAY, minute),
        "window_end": at(YESTERDAY, minute + 1),
        "params_fingerprint": settings.engine_params().fingerprint(),
        "messages": messages,
    }
    return PressureWindowRow(**counts | facts)


def gap(start: float, end: float, *, date: str = TODAY, **facts: Any) -> GapRow:
    usual: dict[str, Any] = {"cause": "reset", "state": "open", "detected_ns": at(date, end)}
    span = {"start_ns": at(date, start), "end_ns": at(date, end)}
    return GapRow(shard="nq", session_date=date, **span, **usual | facts)


def found(settings: Settings, engine: Engine, now: float, days: int = 1) -> list[Hole]:
    return find_holes(settings, engine, shard="nq", now_ns=at(TODAY, now), days=days)


def spans(holes: list[Hole], date: str = TODAY) -> list[tuple[float, float]]:
    return [
        (
            (hole.start_ns - at(date, 0)) / NANOS_PER_MINUTE,
            (hole.end_ns - at(date, 0)) / NANOS_PER_MINUTE,
        )
        for hole in holes
    ]


@pytest.fixture
def usual(settings: Settings, engine: Engine) -> None:
    """Yesterday: 3,000 messages in the first half hour of the shard, 30 in the third."""
    store(
        engine,
        instrument(YESTERDAY, BUSY, "NQ"),
        instrument(YESTERDAY, QUIET, "QN1"),
        instrument(YESTERDAY, OTHER, "ES"),
        window(settings, BUSY, 3, 2_900),
        window(settings, QUIET, 9, 100),
        window(settings, BUSY, 65, 30),
        window(settings, OTHER, 70, 90_000),
    )


def test_a_busy_time_of_day_comes_before_a_longer_quiet_one(
    settings: Settings, engine: Engine, usual: None
) -> None:
    #      open        30 min       60          90         now
    # gap  |0--3|                    |60--------75|
    store(engine, gap(0, 3), gap(60, 75), gap(3, 60, state="lost"), gap(75, 100, state="lost"))

    holes = found(settings, engine, 100)

    assert spans(holes) == [(0, 3), (60, 75)]
    # A tenth of the half hour with 3,000; half of the one with 30, another shard's left out.
    assert [hole.usual_records for hole in holes] == [300, 15]


def test_the_more_recent_comes_first_where_nobody_knows_how_busy_it_was(
    settings: Settings, engine: Engine
) -> None:
    store(
        engine,
        gap(0, 3),
        gap(20, 23),
        gap(3, 20, state="lost"),
        gap(23, 50, state="lost"),
    )

    assert spans(found(settings, engine, 50)) == [(20, 23), (0, 3)]


def test_an_open_session_comes_before_a_larger_hole_of_one_that_has_closed(
    settings: Settings, engine: Engine
) -> None:
    store(engine, gap(20, 23), gap(0, 20, state="lost"), gap(23, 50, state="lost"))

    first, second = found(settings, engine, 50, days=2)

    assert (first.session_date, first.in_session) == (TODAY, True)
    assert (second.session_date, second.in_session) == (YESTERDAY, False)


def test_doubtful_books_are_one_hole_as_large_as_these_books_are_busy(
    settings: Settings, engine: Engine, usual: None
) -> None:
    store(
        engine,
        gap(0, 50, state="lost"),
        gap(0, 15, cause="flag", instrument_id=QUIET, raw_symbol=f"S{QUIET}"),
        gap(6, 12, cause="flag", instrument_id=OTHER, raw_symbol=None),
        gap(40, 49.5, cause="flag", instrument_id=BUSY, raw_symbol=f"S{BUSY}"),
    )

    (hole,) = found(settings, engine, 50)

    assert hole.of_doubts
    assert hole.instrument_ids == {QUIET, OTHER}
    assert hole.symbols == (f"S{QUIET}",)
    assert spans([hole]) == [(0, 15)]
    assert hole.usual_records == 50  # half of the half hour, in which it had 100
