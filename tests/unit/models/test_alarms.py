"""Alarms of the budget: at 80 and 100 percent, once, for the day and for the month."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.clock import ManualClock
from ifd.errors import BudgetExceededError
from ifd.units import ns_from_datetime
from models.budget import DatabasePurse
from models.caps import Caps
from models.money import BudgetAlarmRow
from models.signals import AlertOutboxRow, NoticeRow

NOON_NS = ns_from_datetime(dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC))
DAY_NS = 86_400 * 10**9


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON_NS)


def purse(engine: Engine, clock: ManualClock, caps: Caps, kind: str = "backfill") -> DatabasePurse:
    return DatabasePurse(engine, kind=kind, caps=caps, clock=clock, channel="#desk")


def alarms(engine: Engine) -> list[tuple[str, str, int]]:
    with Session(engine) as session:
        rows = session.exec(
            select(BudgetAlarmRow).order_by(
                col(BudgetAlarmRow.kind), col(BudgetAlarmRow.period), col(BudgetAlarmRow.percent)
            )
        ).all()
        return [(row.kind, row.period, row.percent) for row in rows]


def notice(engine: Engine, key: str) -> NoticeRow:
    with Session(engine) as session:
        return session.get_one(NoticeRow, key)


def test_nobody_is_told_below_eighty_percent(engine: Engine, clock: ManualClock) -> None:
    purse(engine, clock, Caps(10_000_000, 100_000_000)).reserve("a", 7_999_999)

    assert alarms(engine) == []


def test_eighty_and_a_hundred_percent_are_told_once_each(
    engine: Engine, clock: ManualClock
) -> None:
    mine = purse(engine, clock, Caps(10_000_000, 100_000_000))

    for fingerprint, quote in (("a", 8_000_000), ("b", 500_000), ("c", 1_500_000), ("d", 0)):
        mine.reserve(fingerprint, quote)

    assert alarms(engine) == [
        ("backfill", "2026-11-25", 80),
        ("backfill", "2026-11-25", 100),
    ]
    told = notice(engine, "budget-backfill-2026-11-25-80")
    assert told.title == "80 % of the budget of backfill for 2026-11-25 is used"
    assert told.text == (
        "backfill has committed $8.00 of $10.00 (80 %) in 2026-11-25 (UTC). "
        "At 100 % nothing more is bought until it is over."
    )
    with Session(engine) as session:
        owed = session.exec(select(AlertOutboxRow)).all()
    assert sorted(str(row.notice_key) for row in owed) == [
        "budget-backfill-2026-11-25-100",
        "budget-backfill-2026-11-25-80",
    ]
    assert {row.channel for row in owed} == {"#desk"}


def test_a_jump_over_both_marks_is_told_as_the_higher_one_alone(
    engine: Engine, clock: ManualClock
) -> None:
    mine = purse(engine, clock, Caps(10_000_000, 100_000_000))

    mine.reserve("a", 10_000_000)
    mine.settle("a", 8_500_000, 1)
    mine.reserve("b", 1)

    assert alarms(engine) == [("backfill", "2026-11-25", 100)]


def test_a_month_has_alarms_of_its_own(engine: Engine, clock: ManualClock) -> None:
    mine = purse(engine, clock, Caps(10_000_000, 20_000_000))
    mine.reserve("a", 7_000_000)
    clock.advance_to(NOON_NS + DAY_NS)
    mine.reserve("b", 7_000_000)
    before = alarms(engine)

    clock.advance_to(NOON_NS + 2 * DAY_NS)
    mine.reserve("c", 2_000_000)

    assert before == []
    assert alarms(engine) == [("backfill", "2026-11", 80)]


def test_a_refusal_tells_that_the_rest_of_the_cap_is_too_small(
    engine: Engine, clock: ManualClock
) -> None:
    mine = purse(engine, clock, Caps(10_000_000, 100_000_000))
    mine.reserve("a", 6_000_000)

    with pytest.raises(BudgetExceededError):
        mine.reserve("b", 5_000_000)

    assert alarms(engine) == [("backfill", "2026-11-25", 100)]
    told = notice(engine, "budget-backfill-2026-11-25-100")
    assert told.title == "The budget of backfill for 2026-11-25 is used up"
    assert "$6.00 of $10.00 (60 %) in 2026-11-25 (UTC). $5.00 more was asked for" in told.text


def test_a_request_larger_than_its_cap_says_so_itself_and_alarms_nobody(
    engine: Engine, clock: ManualClock
) -> None:
    mine = purse(engine, clock, Caps(10_000_000, 100_000_000))

    with pytest.raises(BudgetExceededError):
        mine.reserve("a", 10_000_001)

    assert alarms(engine) == []


def test_kinds_are_told_apart(engine: Engine, clock: ManualClock) -> None:
    for kind in ("backfill", "definitions"):
        purse(engine, clock, Caps(10, 100), kind).reserve("a", 9)

    assert [kind for kind, _, _ in alarms(engine)] == ["backfill", "definitions"]
