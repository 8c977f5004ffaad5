"""The gate that starts and stops of a stream pass: moments are New York times."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ifd.clock import ManualClock
from ifd.sessions import Hours
from runtime import market_hours as module
from runtime.market_hours import market_hours, wait_for_close

NEW_YORK = ZoneInfo("America/New_York")


def at(text: str) -> int:
    local = dt.datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)
    return int(local.timestamp()) * 10**9


@pytest.mark.parametrize(
    ("hours", "moment", "closes"),
    [
        # The schedule's own start, five minutes before the open.
        ("cash", "2026-11-24 09:25", "2026-11-24 16:00"),
        ("cash", "2026-11-24 09:00", "2026-11-24 16:00"),
        ("cash", "2026-11-24 15:59:59", "2026-11-24 16:00"),
        # The day after Thanksgiving is half a day.
        ("cash", "2026-11-27 09:25", "2026-11-27 13:00"),
        ("globex", "2026-11-27 09:25", "2026-11-27 13:15"),
        ("globex", "2026-11-22 18:00", "2026-11-23 17:00"),
        # Clocks changed on the Sunday before.
        ("cash", "2026-11-02 09:25", "2026-11-02 16:00"),
    ],
)
def test_a_stream_may_run_until_its_session_closes(hours: Hours, moment: str, closes: str) -> None:
    found = market_hours(hours, at(moment))

    assert found.is_open
    assert found.closes_ns == at(closes)
    assert found.date == closes[:10]


@pytest.mark.parametrize(
    ("hours", "moment", "words"),
    [
        ("cash", "2026-11-26 09:25", "2026-11-26 has no cash session"),
        ("cash", "2026-04-03 09:25", "2026-04-03 has no cash session"),
        ("cash", "2026-11-24 16:00", "the cash session of 2026-11-24 closed Tue"),
        ("cash", "2026-11-27 13:00", "the cash session of 2026-11-27 closed Fri"),
        ("cash", "2026-11-24 08:59", "the cash session of 2026-11-24 has not begun"),
        ("cash", "2026-11-28 12:00", "the next opens Mon 2026-11-30 09:30 EST"),
        ("globex", "2026-11-24 17:29", "the next opens Tue 2026-11-24 18:00 EST"),
    ],
)
def test_a_late_early_or_holiday_start_is_told_why(hours: Hours, moment: str, words: str) -> None:
    found = market_hours(hours, at(moment))

    assert not found.is_open
    assert found.closes_ns is None
    assert words in found.reason


def test_the_simulated_exchange_never_closes() -> None:
    found = market_hours("always", at("2026-11-28 12:00"))

    assert found.is_open
    assert found.closes_ns is None
    assert found.date == "2026-11-30"


class SleepingClock(ManualClock):
    """Sleeping moves it; it counts the seconds slept."""

    slept = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.advance_to(self.now_ns() + round(seconds * 1e9))


@pytest.mark.parametrize(
    ("moment", "is_open", "slept"),
    [
        ("2026-11-24 15:59:59", False, 1.0),
        ("2026-11-24 15:58:00", False, 120.0),
        ("2026-11-24 15:57:59", True, 0.0),
        ("2026-11-24 16:00", False, 0.0),
        ("2026-11-26 16:00", False, 0.0),
    ],
)
def test_a_close_that_is_scheduled_a_moment_early_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, moment: str, is_open: bool, slept: float
) -> None:
    clock = SleepingClock(at(moment))
    monkeypatch.setattr(module.time, "sleep", clock.sleep)

    assert wait_for_close("cash", clock).is_open == is_open
    assert clock.slept == slept


def test_a_correction_of_the_calendar_counts_at_once(tmp_path: Path) -> None:
    path = tmp_path / "calendar.yaml"
    path.write_text("cash: [{date: 2026-11-24, closed: true, source: test}]", encoding="utf-8")

    found = market_hours("cash", at("2026-11-24 09:30"), calendar_file=path)

    assert not found.is_open
    assert "2026-11-24 has no cash session" in found.reason
