"""The schedules as Prefect itself reads them: clock changes, holidays, half days."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent.parent
DATES = """
import asyncio, datetime as dt, json, sys
from config.schedules import SessionSchedules
from prefect.server.schemas.schedules import RRuleSchedule

rules = SessionSchedules("cash", 2026)
named = {
    "opening": rules.opening(),
    "closing": rules.closing(),
    "early_closing": rules.early_closing(),
    "17:30": rules.at("17:30"),
}
found = {}
for name, rule in named.items():
    schedule = RRuleSchedule(rrule=rule, timezone="America/New_York")
    for start in sys.argv[1:]:
        moments = asyncio.run(schedule.get_dates(4, start=dt.datetime.fromisoformat(start)))
        found[name + " " + start] = [m.astimezone(dt.UTC).isoformat() for m in moments]
print(json.dumps(found))
"""
SPRING, AUTUMN = "2027-03-11T00:00:00+00:00", "2026-10-29T00:00:00+00:00"
THANKSGIVING = "2026-11-25T05:00:00+00:00"


@pytest.fixture(scope="module")
def dates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    home = tmp_path_factory.mktemp("prefect")
    done = subprocess.run(
        [sys.executable, "-c", DATES, SPRING, AUTUMN, THANKSGIVING],
        cwd=ROOT,
        env={**os.environ, "PREFECT_HOME": str(home), "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("name", "winter", "summer"),
    [
        ("opening", "14:25", "13:25"),
        ("closing", "21:00", "20:00"),
        ("17:30", "22:30", "21:30"),
    ],
)
def test_runs_keep_new_york_time_and_skip_the_weekend_of_a_clock_change(
    dates: dict[str, list[str]], name: str, winter: str, summer: str
) -> None:
    # Clocks go forward on Sunday 2027-03-14 and back on Sunday 2026-11-01.
    assert dates[f"{name} {SPRING}"] == [
        f"2027-03-11T{winter}:00+00:00",
        f"2027-03-12T{winter}:00+00:00",
        f"2027-03-15T{summer}:00+00:00",
        f"2027-03-16T{summer}:00+00:00",
    ]
    assert dates[f"{name} {AUTUMN}"] == [
        f"2026-10-29T{summer}:00+00:00",
        f"2026-10-30T{summer}:00+00:00",
        f"2026-11-02T{winter}:00+00:00",
        f"2026-11-03T{winter}:00+00:00",
    ]


def test_nothing_runs_on_a_holiday_and_the_half_day_after_it_has_its_own_close(
    dates: dict[str, list[str]],
) -> None:
    # Thanksgiving is Thursday 2026-11-26; on the Friday the market closes at 13:00.
    assert dates[f"opening {THANKSGIVING}"][:3] == [
        "2026-11-25T14:25:00+00:00",
        "2026-11-27T14:25:00+00:00",
        "2026-11-30T14:25:00+00:00",
    ]
    assert dates[f"closing {THANKSGIVING}"][:2] == [
        "2026-11-25T21:00:00+00:00",
        "2026-11-30T21:00:00+00:00",
    ]
    assert dates[f"early_closing {THANKSGIVING}"] == [
        "2026-11-27T18:00:00+00:00",
        "2026-12-24T18:00:00+00:00",
        "2027-11-26T18:00:00+00:00",
    ]
