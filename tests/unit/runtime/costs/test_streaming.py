"""The live feed in the ledger: a share a trading date, or bytes by schema; each once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from config.settings import Settings
from ifd.units import ns_from_datetime
from models.base import transaction
from models.money import BudgetAlarmRow, CostEntryRow
from models.operations import StreamRunRow
from models.signals import NoticeRow
from runtime.costs.streaming import book_streaming

GIB = 2**30
SettingsOf = Callable[..., Settings]
Entries = Callable[[], list[CostEntryRow]]


@pytest.fixture
def ledger_url(migrated_url: str) -> str:
    return migrated_url


def utc(day: int, hour: int, minute: int = 0) -> dt.datetime:
    return dt.datetime(2026, 11, day, hour, minute, tzinfo=dt.UTC)


def book(settings: Settings, engine: Engine, moment: dt.datetime, day: str | None = None) -> int:
    return book_streaming(
        settings, engine, day=day or f"{moment:%Y-%m-%d}", now_ns=ns_from_datetime(moment)
    )


def received(engine: Engine, run_id: int, **changes: Any) -> None:
    with transaction(engine) as session:
        row = session.get_one(StreamRunRow, run_id)
        for name, value in changes.items():
            setattr(row, name, value)
        session.add(row)


def test_the_first_booking_bears_every_trading_date_of_the_month_so_far(
    settings_of: SettingsOf, engine: Engine, entries: Entries
) -> None:
    settings = settings_of(costs__subscription_monthly="199")

    fresh = book(settings, engine, utc(25, 23))

    assert fresh == 18 * 9_950_000
    booked = entries()
    assert [entry.day for entry in booked][:3] == ["2026-11-02", "2026-11-03", "2026-11-04"]
    assert {entry.committed_micro_dollars for entry in booked} == {9_950_000}
    assert {(entry.kind, entry.state) for entry in booked} == {("streaming", "settled")}


def test_a_day_is_never_booked_twice_and_a_missed_one_is_made_up_for(
    settings_of: SettingsOf, engine: Engine, entries: Entries
) -> None:
    settings = settings_of(costs__subscription_monthly="199")
    book(settings, engine, utc(24, 23))

    again = book(settings, engine, utc(24, 23, 5))
    # Nothing ran on Wednesday; Thursday is Thanksgiving, Friday a half day.
    later = book(settings, engine, utc(27, 23))
    book(settings, engine, utc(30, 23))

    assert again == 0
    assert later == 2 * 9_950_000
    assert sum(entry.committed_micro_dollars for entry in entries()) == 199_000_000
    assert len({entry.day for entry in entries()}) == len(entries()) == 20


def test_the_last_dates_of_a_month_are_made_up_for_in_the_next(
    settings_of: SettingsOf, engine: Engine, entries: Entries
) -> None:
    settings = settings_of(costs__subscription_monthly="199")
    book(settings, engine, utc(27, 23))

    december = dt.datetime(2026, 12, 1, 23, tzinfo=dt.UTC)
    book(settings, engine, december)

    november = [entry for entry in entries() if entry.day < "2026-12"]
    (first,) = [entry for entry in entries() if entry.day >= "2026-12"]
    assert sum(entry.committed_micro_dollars for entry in november) == 199_000_000
    assert first.committed_micro_dollars == 199_000_000 // 22


def test_a_price_that_nobody_told_books_nothing(
    settings_of: SettingsOf, engine: Engine, entries: Entries
) -> None:
    assert book(settings_of(), engine, utc(25, 23)) == 0
    assert entries() == []


def test_bytes_are_billed_by_schema_rounded_up_and_only_what_is_new(
    settings_of: SettingsOf, engine: Engine, entries: Entries, run: Callable[..., int]
) -> None:
    settings = settings_of(costs__live="usage")
    run_id = run(utc(25, 15), bytes_by_schema={"mbo": 2 * GIB, "definition": GIB // 2, "status": 1})

    first = book(settings, engine, utc(25, 15))
    again = book(settings, engine, utc(25, 15, 1))
    received(engine, run_id, bytes_by_schema={"mbo": 3 * GIB, "definition": GIB // 2, "status": 1})
    later = book(settings, engine, utc(25, 15, 2))

    # 2 GiB at 2.16, half a GiB at 2.04, and a byte of status that costs a micro-dollar.
    assert (first, again, later) == (4_320_000 + 1_020_000 + 1, 0, 2_160_000)
    found = {entry.dbn_schema: entry for entry in entries()}
    assert len(entries()) == 3
    assert found["mbo"].committed_micro_dollars == 6_480_000
    assert found["mbo"].received_bytes == 3 * GIB
    assert found["mbo"].fingerprint == f"run-{run_id}-mbo"
    assert found["mbo"].symbols.startswith("NQ.OPT,QNE.OPT,")


def test_a_stream_over_midnight_is_billed_on_both_days_and_its_end_on_its_own(
    settings_of: SettingsOf, engine: Engine, entries: Entries, run: Callable[..., int]
) -> None:
    settings = settings_of(costs__live="usage", session__hours="globex")
    run_id = run(utc(24, 23, 59), bytes_by_schema={"mbo": GIB})
    book(settings, engine, utc(24, 23, 59))

    ended_ns = ns_from_datetime(utc(25, 2))
    received(engine, run_id, bytes_by_schema={"mbo": 3 * GIB}, ended_ns=ended_ns, active_shard=None)
    book(settings, engine, utc(26, 1))
    book(settings, engine, utc(27, 1))

    assert [(entry.day, entry.committed_micro_dollars) for entry in entries()] == [
        ("2026-11-24", 2_160_000),
        ("2026-11-25", 4_320_000),
    ]


def test_shards_are_billed_side_by_side(
    settings_of: SettingsOf, engine: Engine, entries: Entries, run: Callable[..., int]
) -> None:
    settings = settings_of(costs__live="usage")
    run(utc(25, 15), bytes_by_schema={"mbo": GIB})
    run(utc(25, 15), shard="gone", bytes_by_schema={"mbo": GIB})

    assert book(settings, engine, utc(25, 15)) == 2 * 2_160_000
    assert [entry.symbols for entry in entries()][1] == ""


@pytest.mark.parametrize(
    ("live", "then"),
    [
        ("subscription", "The stream goes on: it is a subscription"),
        ("usage", "At 100 % streams are stopped"),
    ],
)
def test_streaming_alarms_say_what_happens_then(
    settings_of: SettingsOf, engine: Engine, run: Callable[..., int], live: str, then: str
) -> None:
    settings = settings_of(
        costs__live=live,
        costs__subscription_monthly="450",
        budget__streaming_monthly="10000",
        budget__when_streaming_spent="stop",
    )
    run(utc(25, 15), bytes_by_schema={"mbo": 10 * GIB})

    for _ in range(2):
        book(settings, engine, utc(25, 16))

    # 450 / 20 dates = 22.50, or 10 GiB at 2.16 = 21.60, of 25: 90 and 86 percent.
    with Session(engine) as session:
        (alarm,) = session.exec(select(BudgetAlarmRow)).all()
        notice = session.get_one(NoticeRow, "budget-streaming-2026-11-25-80")
    assert (alarm.kind, alarm.period, alarm.percent) == ("streaming", "2026-11-25", 80)
    assert then in notice.text
