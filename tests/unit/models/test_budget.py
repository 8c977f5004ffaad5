"""The purse in the database: what counts as committed, and when."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from ifd.clock import ManualClock
from ifd.errors import BudgetExceededError
from ifd.gateway.historical import HistoricalRequest
from ifd.units import NANOS_PER_MINUTE, ns_from_datetime
from models.budget import DatabasePurse
from models.caps import Caps, Committed, committed
from models.money import CostEntryRow

LATE_NS = ns_from_datetime(dt.datetime(2026, 11, 30, 23, 59, 59, tzinfo=dt.UTC))
SECOND_NS = 1_000_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(LATE_NS)


def purse(
    engine: Engine, clock: ManualClock, *, daily: int = 100, monthly: int = 150
) -> DatabasePurse:
    return DatabasePurse(engine, kind="backfill", caps=Caps(daily, monthly), clock=clock)


def total(engine: Engine, clock: ManualClock) -> Committed:
    with Session(engine) as session:
        return committed(session, "backfill", now_ns=clock.now_ns())


def test_what_is_reserved_counts_until_it_is_settled_and_then_what_it_cost(
    engine: Engine, clock: ManualClock
) -> None:
    mine = purse(engine, clock)

    mine.reserve("a", 90)
    with pytest.raises(BudgetExceededError) as refused:
        purse(engine, clock).reserve("b", 11)
    mine.settle("a", 40, 4_000)

    assert refused.value.left_micro_dollars == 10
    assert total(engine, clock) == Committed(40, 40)
    purse(engine, clock).reserve("b", 60)


def test_a_new_day_has_its_own_cap_and_a_new_month_too(engine: Engine, clock: ManualClock) -> None:
    mine = purse(engine, clock, monthly=120)
    mine.reserve("a", 100)

    clock.advance_to(LATE_NS + SECOND_NS)

    assert total(engine, clock) == Committed(0, 0)
    mine.reserve("b", 100)
    clock.advance_to(LATE_NS + 2 * 86_400 * SECOND_NS)
    with pytest.raises(BudgetExceededError) as refused:
        mine.reserve("c", 21)
    assert refused.value.left_micro_dollars == 20


def test_money_is_booked_on_the_day_it_was_reserved(engine: Engine, clock: ManualClock) -> None:
    mine = purse(engine, clock)
    mine.reserve("a", 100)
    clock.advance_to(LATE_NS + SECOND_NS)

    mine.settle("a", 70, 7)

    with Session(engine) as session:
        assert committed(session, "backfill", now_ns=LATE_NS) == Committed(70, 70)


def test_kinds_of_spending_do_not_share_a_cap(engine: Engine, clock: ManualClock) -> None:
    purse(engine, clock).reserve("a", 100)

    DatabasePurse(engine, kind="definitions", caps=Caps(5, 5), clock=clock).reserve("b", 5)

    assert total(engine, clock) == Committed(100, 100)


def test_a_dead_reservation_goes_on_counting_in_full_beside_the_next_attempt(
    engine: Engine, clock: ManualClock
) -> None:
    purse(engine, clock).reserve("a", 40)

    second = purse(engine, clock)
    second.reserve("a", 40)
    second.settle("a", 40, 9)

    assert total(engine, clock) == Committed(80, 80)
    with Session(engine) as session:
        states = session.exec(select(CostEntryRow.state).order_by(CostEntryRow.id)).all()  # type: ignore[arg-type]
    assert states == ["abandoned", "settled"]


def test_what_a_dead_process_had_received_takes_the_place_of_its_reservation(
    engine: Engine, clock: ManualClock
) -> None:
    purse(engine, clock).reserve("a", 90)

    purse(engine, clock).book_abandoned("a", 30, 300)

    assert total(engine, clock) == Committed(30, 30)


def test_a_download_that_was_settled_before_its_process_died_is_not_booked_again(
    engine: Engine, clock: ManualClock
) -> None:
    first = purse(engine, clock)
    first.reserve("a", 50)
    first.settle("a", 50, 500)

    purse(engine, clock).book_abandoned("a", 50, 500)

    assert total(engine, clock) == Committed(50, 50)


def test_who_was_taken_for_dead_and_settles_all_the_same_books_what_it_cost(
    engine: Engine, clock: ManualClock
) -> None:
    first, second = purse(engine, clock), purse(engine, clock)
    first.reserve("a", 40)
    second.reserve("a", 40)

    first.settle("a", 10, 1)
    second.settle("a", 20, 2)

    assert total(engine, clock) == Committed(30, 30)


def test_the_same_slice_bought_for_another_reason_is_left_alone(
    engine: Engine, clock: ManualClock
) -> None:
    mine = purse(engine, clock)
    mine.reserve("a", 40)

    DatabasePurse(engine, kind="history", caps=Caps(50, 50), clock=clock).reserve("a", 40)

    with Session(engine) as session:
        assert set(session.exec(select(CostEntryRow.state))) == {"reserved"}


def test_a_purse_may_be_allowed_less_than_its_kind(engine: Engine, clock: ManualClock) -> None:
    mine = DatabasePurse(
        engine, kind="history", caps=Caps(100, 100), clock=clock, at_most_micro_dollars=30
    )
    mine.reserve("a", 20)
    with pytest.raises(BudgetExceededError) as set_aside:
        mine.reserve("b", 11)
    mine.settle("a", 5, 1)

    mine.reserve("b", 25)

    assert set_aside.value.left_micro_dollars == 10


def test_what_was_received_without_any_reservation_is_booked_all_the_same(
    engine: Engine, clock: ManualClock
) -> None:
    purse(engine, clock).book_abandoned("a", 30, 300)

    assert total(engine, clock) == Committed(30, 30)


def test_the_ledger_says_what_was_bought(engine: Engine, clock: ManualClock) -> None:
    request = HistoricalRequest("mbo", ("NQ.OPT", "NQ.FUT"), 0, NANOS_PER_MINUTE)
    (futures, _options) = request.slices()
    mine = DatabasePurse(
        engine, kind="backfill", caps=Caps(100, 100), clock=clock, requests=[request]
    )

    mine.reserve(futures.fingerprint(), 12)

    with Session(engine) as session:
        entry = session.exec(select(CostEntryRow)).one()
    assert (entry.symbols, entry.dbn_schema) == ("NQ.FUT", "mbo")
    assert (entry.start_ns, entry.end_ns) == (0, NANOS_PER_MINUTE)
    assert (entry.day, entry.quoted_micro_dollars) == ("2026-11-30", 12)
