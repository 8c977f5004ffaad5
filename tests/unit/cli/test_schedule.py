"""`ifd schedule`: the coming runs, from prefect.yaml and the calendar alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from config.calendar import calendar_around
from config.settings import ROOT_DIR
from ifd.clock import ManualClock, SystemClock

DAY_BEFORE_THANKSGIVING = 1_795_582_800_000_000_000
"""Wednesday 2026-11-25, 00:00 in New York."""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))


def test_a_month_holds_every_deployment_on_session_days_only() -> None:
    found = CliRunner().invoke(app, ["schedule", "--days", "31", "--json"])

    runs = json.loads(found.stdout)
    document = yaml.safe_load((ROOT_DIR / "prefect.yaml").read_text())
    scheduled = {each["name"] for each in document["deployments"] if each.get("schedules")}
    assert {run["deployment"] for run in runs} == scheduled
    sessions = calendar_around("cash", SystemClock().now_ns())
    for name in ("stream", "gap-scan", "backfill"):
        days = [run["at"][:10] for run in runs if run["deployment"] == name]
        assert days
        assert all(sessions.session_on(day) is not None for day in days), name


def test_thanksgiving_is_left_out_and_the_half_day_closes_at_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("ifd.clock", "deployments.steps"):
        monkeypatch.setattr(f"{module}.SystemClock", lambda: ManualClock(DAY_BEFORE_THANKSGIVING))

    found = CliRunner().invoke(app, ["schedule", "--days", "3"])

    assert found.exit_code == 0
    shown = {line.split()[1]: line for line in found.stdout.splitlines() if "2026-" in line}
    assert "09:25" in shown["2026-11-25"]
    assert "16:00" in shown["2026-11-25"]
    assert "09:25" not in shown["2026-11-26"]
    assert "09:45 to 16:05, 26 runs" in shown["2026-11-25"]
    assert "09:45 to 13:05, 14 runs" in shown["2026-11-27"]
    assert "13:00" in shown["2026-11-27"]
    assert "16:00" not in shown["2026-11-27"].replace("16:59", "")
