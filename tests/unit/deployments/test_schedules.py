"""The schedules of prefect.yaml as Prefect itself reads them, across both clock changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent.parent
DATES = """
import asyncio, datetime as dt, json, sys, yaml
from prefect.server.schemas.schedules import CronSchedule

found = {}
for deployment in yaml.safe_load(open("prefect.yaml"))["deployments"]:
    for given in deployment["schedules"]:
        schedule = CronSchedule(cron=given["cron"], timezone=given["timezone"])
        for start in sys.argv[1:]:
            moments = asyncio.run(schedule.get_dates(4, start=dt.datetime.fromisoformat(start)))
            key = deployment["name"] + " " + start
            found[key] = [moment.astimezone(dt.UTC).isoformat() for moment in moments]
print(json.dumps(found))
"""
SPRING, AUTUMN = "2027-03-11T00:00:00+00:00", "2026-10-29T00:00:00+00:00"


@pytest.fixture(scope="module")
def dates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    home = tmp_path_factory.mktemp("prefect")
    done = subprocess.run(
        [sys.executable, "-c", DATES, SPRING, AUTUMN],
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
        ("stream", "14:25", "13:25"),
        ("market-close", "21:00", "20:00"),
        ("baselines", "22:30", "21:30"),
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
