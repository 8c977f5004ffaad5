"""Trading dates and session queries: times are written in New York time, as a trader would."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ifd.errors import InputError
from ifd.sessions import Session, SessionCalendar, session_date, trading_date_start_ns

NEW_YORK = ZoneInfo("America/New_York")
HOUR = 3_600 * 10**9


def at(text: str) -> int:
    """Nanoseconds UTC of a New York time such as "2026-11-26 13:00:00"."""
    local = dt.datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)
    return int(local.timestamp()) * 10**9


@pytest.mark.parametrize(
    ("moment", "date"),
    [
        ("2026-11-24 09:30", "2026-11-24"),
        ("2026-11-24 17:59:59", "2026-11-24"),
        ("2026-11-24 18:00", "2026-11-25"),
        ("2026-11-24 23:59", "2026-11-25"),
        ("2026-11-25 00:00", "2026-11-25"),
        # Friday evening, the weekend and Sunday's open all belong to Monday.
        ("2026-11-27 17:59:59", "2026-11-27"),
        ("2026-11-27 18:00", "2026-11-30"),
        ("2026-11-28 12:00", "2026-11-30"),
        ("2026-11-29 17:00", "2026-11-30"),
        ("2026-11-29 18:00", "2026-11-30"),
        ("2026-11-30 17:59", "2026-11-30"),
        # Clocks go back on Sunday 2026-11-01 and forward on Sunday 2027-03-14.
        ("2026-10-30 17:59", "2026-10-30"),
        ("2026-10-30 18:00", "2026-11-02"),
        ("2026-11-01 01:30", "2026-11-02"),
        ("2026-11-02 18:00", "2026-11-03"),
        ("2027-03-12 18:00", "2027-03-15"),
        ("2027-03-14 03:30", "2027-03-15"),
        ("2027-03-15 18:00", "2027-03-16"),
        # Year's end.
        ("2026-12-31 18:00", "2027-01-01"),
    ],
)
def test_a_trading_date_begins_at_six_in_the_evening_before(moment: str, date: str) -> None:
    assert session_date(at(moment)) == date


def test_the_last_nanosecond_before_six_belongs_to_the_old_date() -> None:
    assert session_date(at("2026-11-24 18:00") - 1) == "2026-11-24"
    assert session_date(at("2026-03-09 18:00") - 1) == "2026-03-09"


@given(st.integers(at("2020-01-01 00:00"), at("2030-01-01 00:00")))
def test_every_nanosecond_lies_between_the_starts_of_its_date_and_the_next(ts_ns: int) -> None:
    day = dt.date.fromisoformat(session_date(ts_ns))
    following = day + dt.timedelta(days=3 if day.weekday() == 4 else 1)

    assert day.weekday() < 5
    assert trading_date_start_ns(day) <= ts_ns < trading_date_start_ns(following)


def test_dates_never_go_back() -> None:
    hours = range(at("2026-03-01 00:00"), at("2026-03-20 00:00"), HOUR // 2)

    dates = [session_date(ts_ns) for ts_ns in hours]

    assert dates == sorted(dates)


#   opens  closes         opens  closes
#   10     20             30     40
TWO = SessionCalendar.of(
    [
        Session("2026-11-25", "cash", 30, 40),
        Session("2026-11-24", "cash", 10, 20),
    ]
)


def test_a_session_holds_its_open_and_not_its_close() -> None:
    assert [ts for ts in range(50) if TWO.is_open(ts)] == [*range(10, 20), *range(30, 40)]


def test_the_session_around_a_moment_is_found() -> None:
    assert TWO.session_at(9) is None
    assert TWO.session_at(10) == TWO.sessions[0]
    assert TWO.session_at(20) is None
    assert TWO.session_at(39) == TWO.sessions[1]
    assert TWO.session_at(40) is None


def test_the_next_session_opens_at_or_after_the_moment() -> None:
    assert TWO.next_session(0) == TWO.sessions[0]
    assert TWO.next_session(10) == TWO.sessions[0]
    assert TWO.next_session(11) == TWO.sessions[1]
    assert TWO.next_session(31) is None


def test_a_date_without_session_has_none() -> None:
    assert TWO.session_on("2026-11-24") == Session("2026-11-24", "cash", 10, 20)
    assert TWO.session_on("2026-11-26") is None


def test_a_calendar_without_sessions_is_always_closed() -> None:
    empty = SessionCalendar.of([])

    assert not empty.is_open(0)
    assert empty.next_session(0) is None
    assert empty.contains(np.array([0, 1], dtype=np.int64)).tolist() == [False, False]


@pytest.mark.parametrize(
    ("sessions", "problem"),
    [
        ([Session("2026-11-24", "cash", 10, 10)], "closes before it opens"),
        ([Session("a", "cash", 10, 20), Session("b", "cash", 19, 30)], "overlap"),
        ([Session("a", "cash", 10, 20), Session("a", "cash", 20, 30)], "two sessions"),
    ],
)
def test_sessions_that_contradict_each_other_are_refused(
    sessions: list[Session], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        SessionCalendar.of(sessions)


@st.composite
def calendars(draw: st.DrawFn) -> SessionCalendar:
    """Sessions of any length, some of which touch."""
    lengths = draw(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), max_size=12))
    sessions, now = [], 0
    for number, (pause, length) in enumerate(lengths):
        sessions.append(Session(str(number), "cash", now + pause, now + pause + length))
        now += pause + length
    return SessionCalendar.of(sessions)


@given(calendars(), st.integers(-5, 300))
def test_every_nanosecond_is_in_exactly_one_state(calendar: SessionCalendar, ts_ns: int) -> None:
    holding = [s for s in calendar if s.open_ns <= ts_ns < s.close_ns]

    assert len(holding) == int(calendar.is_open(ts_ns))
    assert calendar.session_at(ts_ns) == (holding[0] if holding else None)
    assert calendar.contains(np.array([ts_ns], dtype=np.int64)).tolist() == [bool(holding)]
    coming = [s for s in calendar if s.open_ns >= ts_ns]
    assert calendar.next_session(ts_ns) == (coming[0] if coming else None)
