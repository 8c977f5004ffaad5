"""The calendar against a hand-made list of exceptions, 2024 to 2027.

The list was written from knowledge of the exchanges' holiday notices, not produced by the library
under test; where the two differ, config/calendar.yaml says why.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.calendar import build_calendar, calendar_around, load_overrides
from ifd.errors import ConfigurationError
from ifd.sessions import Hours, SessionCalendar, session_date

NEW_YORK = ZoneInfo("America/New_York")
FIRST, LAST = dt.date(2024, 1, 1), dt.date(2027, 12, 31)


def dates(text: str) -> list[str]:
    return text.split()


CASH_CLOSED = dates("""
    2024-01-01 2024-01-15 2024-02-19 2024-03-29 2024-05-27 2024-06-19 2024-07-04 2024-09-02
    2024-11-28 2024-12-25
    2025-01-01 2025-01-09 2025-01-20 2025-02-17 2025-04-18 2025-05-26 2025-06-19 2025-07-04
    2025-09-01 2025-11-27 2025-12-25
    2026-01-01 2026-01-19 2026-02-16 2026-04-03 2026-05-25 2026-06-19 2026-07-03 2026-09-07
    2026-11-26 2026-12-25
    2027-01-01 2027-01-18 2027-02-15 2027-03-26 2027-05-31 2027-06-18 2027-07-05 2027-09-06
    2027-11-25 2027-12-24
""")
HALF_DAYS = dates("""
    2024-07-03 2024-11-29 2024-12-24 2025-07-03 2025-11-28 2025-12-24 2026-11-27 2026-12-24
    2027-11-26
""")
GLOBEX_CLOSED = dates("""
    2024-01-01 2024-03-29 2024-12-25 2025-01-01 2025-04-18 2025-12-25 2026-01-01 2026-12-25
    2027-01-01 2027-03-26 2027-12-24
""")
GLOBEX_OTHER_CLOSE = {"2025-01-09": "09:30", "2026-04-03": "09:15"}
# On the other exchange holidays Globex trades until a halt at 13:00, on half days until 13:15.
GLOBEX_HALTS = [d for d in CASH_CLOSED if d not in GLOBEX_CLOSED and d not in GLOBEX_OTHER_CLOSE]


@pytest.fixture(scope="module")
def cash() -> SessionCalendar:
    return build_calendar("cash", FIRST, LAST)


@pytest.fixture(scope="module")
def globex() -> SessionCalendar:
    return build_calendar("globex", FIRST, LAST)


def new_york(ts_ns: int) -> str:
    return dt.datetime.fromtimestamp(ts_ns // 10**9, tz=NEW_YORK).strftime("%Y-%m-%d %H:%M")


def business_days() -> list[dt.date]:
    days = [FIRST + dt.timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
    return [day for day in days if day.weekday() < 5]


def test_cash_sessions_are_those_of_the_exchange_on_every_business_day(
    cash: SessionCalendar,
) -> None:
    for day in business_days():
        date = day.isoformat()
        session = cash.session_on(date)
        if date in CASH_CLOSED:
            assert session is None, date
        else:
            assert session is not None, date
            close = "13:00" if date in HALF_DAYS else "16:00"
            assert new_york(session.open_ns) == f"{date} 09:30"
            assert new_york(session.close_ns) == f"{date} {close}"
            assert session.early_close == (date in HALF_DAYS)


def test_globex_sessions_are_those_of_the_exchange_on_every_business_day(
    globex: SessionCalendar,
) -> None:
    closes = dict.fromkeys(GLOBEX_HALTS, "13:00") | dict.fromkeys(HALF_DAYS, "13:15")
    closes |= GLOBEX_OTHER_CLOSE
    for day in business_days():
        date = day.isoformat()
        session = globex.session_on(date)
        if date in GLOBEX_CLOSED:
            assert session is None, date
        else:
            assert session is not None, date
            evening = day - dt.timedelta(days=1)
            assert new_york(session.open_ns) == f"{evening} 18:00"
            assert new_york(session.close_ns) == f"{date} {closes.get(date, '17:00')}"
            assert session.early_close == (date in closes)


@pytest.mark.parametrize(
    ("date", "open_utc"),
    [
        # Clocks forward on 2026-03-08, back on 2026-11-01.
        ("2026-03-06", "14:30"),
        ("2026-03-09", "13:30"),
        ("2026-10-30", "13:30"),
        ("2026-11-02", "14:30"),
    ],
)
def test_the_cash_open_moves_in_utc_when_clocks_change(
    cash: SessionCalendar, date: str, open_utc: str
) -> None:
    session = cash.session_on(date)

    assert session is not None
    moment = dt.datetime.fromtimestamp(session.open_ns // 10**9, tz=dt.UTC)
    assert moment.strftime("%H:%M") == open_utc


def test_the_week_the_clocks_change_has_a_globex_session_of_usual_length(
    globex: SessionCalendar,
) -> None:
    # The change is on Sunday morning, while Globex is closed.
    for date in ("2026-03-09", "2026-11-02"):
        session = globex.session_on(date)
        assert session is not None
        assert session.close_ns - session.open_ns == 23 * 3_600 * 10**9


@pytest.mark.parametrize("hours", ["cash", "globex", "always"])
def test_a_session_bears_the_trading_date_of_all_its_moments(hours: Hours) -> None:
    for session in build_calendar(hours, FIRST, LAST):
        assert session_date(session.open_ns) == session.date
        assert session_date(session.close_ns - 1) == session.date


@given(st.integers(1_704_100_000 * 10**9, 1_830_000_000 * 10**9))
def test_the_simulated_exchange_never_closes(ts_ns: int) -> None:
    session = ALWAYS.session_at(ts_ns)

    assert session is not None
    assert session.date == session_date(ts_ns)


ALWAYS = build_calendar("always", FIRST, LAST)


def test_the_calendar_reaches_a_year_to_both_sides(cash: SessionCalendar) -> None:
    now_ns = 1_795_529_100 * 10**9  # 2026-11-24 09:05 in New York

    around = calendar_around("cash", now_ns)

    assert around.sessions[0].date == "2025-11-24"
    assert around.sessions[-1].date == "2027-11-24"
    assert around.session_on("2026-11-27") == cash.session_on("2026-11-27")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "calendar.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_user_may_close_shorten_and_add_sessions(tmp_path: Path) -> None:
    overrides = load_overrides(
        write(
            tmp_path,
            """
            cash:
              - {date: 2026-11-24, closed: true, source: test}
              - {date: 2026-11-25, close: "12:30", source: test}
              - {date: 2026-11-26, open: "10:00", close: "11:00", source: test}
            globex:
              - {date: 2026-11-25, open: "19:00", source: test}
            """,
        )
    )
    week = dt.date(2026, 11, 23), dt.date(2026, 11, 27)

    cash = build_calendar("cash", *week, overrides=overrides)
    globex = build_calendar("globex", *week, overrides=overrides)

    assert cash.session_on("2026-11-24") is None
    shortened = cash.session_on("2026-11-25")
    assert shortened is not None
    assert new_york(shortened.close_ns) == "2026-11-25 12:30"
    assert shortened.early_close
    added = cash.session_on("2026-11-26")
    assert added is not None
    assert new_york(added.open_ns) == "2026-11-26 10:00"
    late = globex.session_on("2026-11-25")
    assert late is not None
    assert new_york(late.open_ns) == "2026-11-24 19:00"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cash: [{date: 2026-11-24, source: x}]", "say either closed"),
        ("cash: [{date: 2026-11-24, closed: true, close: '13:00', source: x}]", "say either"),
        # YAML 1.1 takes an unquoted 13:15 for the number 795.
        ("cash: [{date: 2026-11-24, close: 13:15, source: x}]", "written in quotes"),
        ("cash: [{date: 2026-11-24, closed: true}]", "source"),
        ("night: []", "night"),
        ("cash: [", "cannot be read"),
    ],
)
def test_a_wrong_correction_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        load_overrides(write(tmp_path, text))


def test_a_missing_corrections_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_overrides(tmp_path / "absent.yaml")


def test_half_a_time_for_an_unknown_session_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, 'cash: [{date: 2026-11-28, close: "12:00", source: x}]')

    with pytest.raises(ConfigurationError, match="give both open and close"):
        build_calendar("cash", FIRST, LAST, overrides=load_overrides(path))
