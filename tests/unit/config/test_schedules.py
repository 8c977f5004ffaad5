"""Recurrence rules against the calendar they are made from, read by dateutil."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from dateutil.rrule import rrulestr

from config.calendar import build_calendar
from config.schedules import SessionSchedules, explicit, recurrence
from ifd.errors import ConfigurationError
from ifd.sessions import MARKET_ZONE, Hours
from ifd.units import utc_from_ns

FIRST, LAST = dt.date(2026, 1, 1), dt.date(2027, 12, 31)
LIMIT = 6_500
"""Prefect refuses longer rules."""


def moments_of(rule: str) -> list[dt.datetime]:
    end = dt.datetime.combine(LAST, dt.time(23, 59))
    found: list[dt.datetime] = rrulestr(rule, forceset=True).between(dt.datetime(2025, 1, 1), end)
    return found


def local(ts_ns: int) -> dt.datetime:
    return utc_from_ns(ts_ns).astimezone(MARKET_ZONE).replace(tzinfo=None)


@pytest.mark.parametrize("hours", ["cash", "globex"])
def test_openings_and_closes_are_those_of_the_calendar(hours: Hours) -> None:
    sessions = list(build_calendar(hours, FIRST, LAST))

    rules = SessionSchedules(hours, 2026)

    assert [moment + dt.timedelta(minutes=5) for moment in moments_of(rules.opening())] == [
        local(session.open_ns) for session in sessions
    ]
    closes = sorted([*moments_of(rules.closing()), *moments_of(rules.early_closing())])
    assert closes == [local(session.close_ns) for session in sessions]
    for rule in (rules.opening(), rules.closing(), rules.early_closing(), rules.at("17:30")):
        assert len(rule) < LIMIT


@pytest.mark.parametrize("hours", ["cash", "globex"])
@pytest.mark.parametrize("late", [0, 5])
def test_what_is_done_every_quarter_of_an_hour_lies_in_sessions_alone(
    hours: Hours, late: int
) -> None:
    minute = 60 * 10**9
    expected = [
        local(ns)
        for session in build_calendar(hours, FIRST, LAST)
        for ns in range(session.open_ns + (15 + late) * minute, session.close_ns, 15 * minute)
    ]

    rule = SessionSchedules(hours, 2026).every(15, late=late)

    assert moments_of(rule) == expected
    assert len(rule) < LIMIT


def test_what_follows_the_close_follows_that_of_a_half_day_too() -> None:
    found = moments_of(SessionSchedules("cash", 2026).after_close(5))

    assert dt.datetime(2026, 11, 25, 16, 5) in found
    assert dt.datetime(2026, 11, 27, 13, 5) in found
    assert len(found) == len(list(build_calendar("cash", FIRST, LAST)))


def test_a_globex_half_day_closes_at_a_quarter_past_one() -> None:
    closes = moments_of(SessionSchedules("globex", 2026).early_closing())

    assert dt.datetime(2026, 11, 27, 13, 15) in closes


def test_the_simulated_exchange_keeps_the_days_of_the_cash_session() -> None:
    assert SessionSchedules("always", 2026).opening() == SessionSchedules("cash", 2026).opening()


def test_a_corrected_date_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "calendar.yaml"
    file.write_text("cash:\n  - {date: 2026-12-02, closed: true, source: test}\n")

    at = moments_of(SessionSchedules("cash", 2026, calendar_file=file).at("18:00"))

    assert dt.datetime(2026, 12, 1, 18) in at
    assert dt.datetime(2026, 12, 2, 18) not in at


def test_a_moment_at_another_time_is_named_by_its_date() -> None:
    days = [dt.datetime(2026, 11, day, 16) for day in (23, 24, 25)]
    days.append(dt.datetime(2026, 11, 27, 13))

    rule = recurrence(days, until=dt.date(2026, 11, 27))

    assert moments_of(rule)[:4] == days
    assert "RDATE:20261127T130000" in rule


def test_what_is_no_time_of_day_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="17:30"):
        SessionSchedules("cash", 2026).at("half past five")


def test_dates_alone_make_a_rule() -> None:
    assert explicit([dt.datetime(2026, 11, 27, 13)]) == "RDATE:20261127T130000"
