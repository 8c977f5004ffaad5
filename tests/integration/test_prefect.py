"""A real Prefect server and worker: deployments, schedules, and the flows of the batch day."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from sqlmodel import Session, select

from config.calendar import calendar_around
from config.settings import ROOT_DIR
from ifd.clock import SystemClock
from ifd.signals import Signal
from ifd.units import NANOS_PER_MINUTE, utc_from_ns
from models.alerts import store_signals
from models.base import transaction
from models.signals import AlertOutboxRow, SignalRow
from runtime.prefect_services import (
    BASELINES_DEPLOYMENT,
    COSTS_DEPLOYMENT,
    MARKET_CLOSE_DEPLOYMENT,
    STREAM_DEPLOYMENT,
)
from simulator.market.chain import moment_ns
from simulator.session_files import SessionPlan, write_sessions
from tests.platform import Platform, running_platform
from tests.quality_day import DATE, QualityDay, clean_records
from tests.scripted import Script
from tests.waiting import wait_until

pytestmark = pytest.mark.integration
OUTCOMES_DEPLOYMENT = "ifd-outcomes/outcomes"
EVALUATE_DEPLOYMENT = "ifd-evaluate/evaluate"
SESSION_QUALITY = "ifd-session-quality/session-quality"
STREAM_QUALITY = "ifd-stream-quality/stream-quality"
NEW_YORK = ZoneInfo("America/New_York")
SCHEDULES = {
    "stream": dt.time(9, 25),
    "market-close": None,
    "session-quality": dt.time(16, 30),
    "outcomes": dt.time(16, 45),
    "baselines": dt.time(17, 30),
    "costs": dt.time(18),
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("prefect")) as platform:
        yield platform


def new_york_now() -> dt.datetime:
    return utc_from_ns(SystemClock().now_ns()).astimezone(NEW_YORK)


def next_sessions(time_of_day: dt.time | None, count: int) -> list[dt.datetime]:
    """A New York time on the next trading dates, or their closes, in UTC."""
    now_ns = SystemClock().now_ns()
    moments = []
    for session in calendar_around("cash", now_ns):
        if time_of_day is None:
            moments.append(utc_from_ns(session.close_ns))
        else:
            day = dt.date.fromisoformat(session.date)
            moment = dt.datetime.combine(day, time_of_day, tzinfo=NEW_YORK)
            moments.append(moment.astimezone(dt.UTC))
    return [moment for moment in moments if moment > utc_from_ns(now_ns)][:count]


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_scheduler_has_created_the_coming_runs_at_new_york_times(
    platform: Platform, name: str
) -> None:
    """Guards the pins: with SQLAlchemy 2.1 the server looks healthy and schedules nothing."""
    deployment = platform.deployments()[name]
    body = {
        "deployments": {"id": {"any_": [deployment["id"]]}},
        "flow_runs": {"state": {"name": {"any_": ["Scheduled"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
    }

    def scheduled() -> list[dict[str, Any]]:
        found = platform.request("POST", "/flow_runs/filter", body)
        return [each for each in found if each["auto_scheduled"]]

    wait_until(lambda: len(scheduled()) >= 3, f"scheduled runs of {name}")
    runs = scheduled()[:3]

    moments = [dt.datetime.fromisoformat(each["expected_start_time"]) for each in runs]
    assert moments == next_sessions(SCHEDULES[name], 3)
    if name == "market-close":
        assert [each["parameters"]["only_if_closed"] for each in runs] == [True] * 3


def test_deploying_again_changes_nothing(platform: Platform) -> None:
    before = platform.deployments()

    assert "already applied" in platform.apply()
    output = platform.apply("--again")

    document = yaml.safe_load((ROOT_DIR / "prefect.yaml").read_text(encoding="utf-8"))
    names = ", ".join(each["name"] for each in document["deployments"])
    assert f"{names} applied to work pool ifd" in output
    automations = platform.request("POST", "/automations/filter", {})
    assert sorted(each["name"] for each in automations) == [
        "ifd: a quality gate failed",
        "ifd: a run is late",
        "ifd: a stream crashed or failed",
        "ifd: end zombies",
        "ifd: fill what is missing",
    ]
    after = platform.deployments()
    assert {name: each["id"] for name, each in after.items()} == {
        name: each["id"] for name, each in before.items()
    }
    for name, each in after.items():
        assert len({one["slug"] for one in each["schedules"]}) == len(each["schedules"]), name
        assert each["version"] == before[name]["version"]
        limit = each["global_concurrency_limit"]
        assert (limit and limit["limit"]) == (1 if name == "backfill" else None), name


def test_a_start_outside_market_hours_completes_with_the_reason(
    platform: Platform, tmp_path: Path
) -> None:
    calendar = tmp_path / "calendar.yaml"
    today = new_york_now().date()
    days = [today + dt.timedelta(days=n) for n in range(2)]
    lines = [f"  - {{date: {day}, closed: true, source: test}}" for day in days]
    calendar.write_text("\n".join(["cash:", *lines]), encoding="utf-8")
    environment = {
        "IFD_SESSION__HOURS": "cash",
        "IFD_SESSION__CALENDAR_FILE": str(calendar),
    }

    run = platform.wait_ended(platform.api.create_run(STREAM_DEPLOYMENT, environment=environment))

    assert (run.state_type, run.state_name) == ("COMPLETED", "MarketClosed")
    assert "has no cash session; the next opens" in run.message


def test_closing_when_nothing_runs_completes(platform: Platform) -> None:
    run = platform.wait_ended(platform.api.create_run(MARKET_CLOSE_DEPLOYMENT))

    assert (run.state_type, run.state_name) == ("COMPLETED", "NothingToStop")


def test_baselines_of_an_empty_archive_complete_with_the_reason(platform: Platform) -> None:
    run = platform.wait_ended(platform.api.create_run(BASELINES_DEPLOYMENT))

    assert (run.state_type, run.state_name) == ("COMPLETED", "NothingToLearnFrom")
    assert run.message == "the archive of shard nq holds no whole session yet"


def test_outcomes_of_a_day_without_signals_complete_with_the_reason(platform: Platform) -> None:
    parameters = {"date": "2026-10-05"}

    run = platform.wait_ended(platform.api.create_run(OUTCOMES_DEPLOYMENT, parameters=parameters))

    assert (run.state_type, run.state_name) == ("COMPLETED", "NothingToMeasure")
    assert run.message == "no signal of 2026-10-05 is stored"


def test_outcomes_of_a_day_are_measured_and_shown(
    platform: Platform, make_signal: Callable[..., Signal], tmp_path: Path
) -> None:
    script = Script(dt.date(2026, 10, 6))
    ten_ns = moment_ns(script.date, dt.time(10))
    for minute, mid in ((0, 10.0), (1, 10.5), (5, 12.0)):
        at_ns = ten_ns + minute * NANOS_PER_MINUTE - 1
        script.quote(script.option.instrument_id, at_ns, mid)
        script.quote(script.future.instrument_id, at_ns, 25_000.0 + mid)
    received = (ten_ns - NANOS_PER_MINUTE, ten_ns + 10 * NANOS_PER_MINUTE)
    script.archive(platform.engine, tmp_path / "20261006.dbn.zst", received)
    signal = make_signal(
        signal_id="0c0de0c0de0c0de0",
        session_date="2026-10-06",
        ts_event=ten_ns,
        instrument_id=script.option.instrument_id,
        underlying=script.future.raw_symbol,
    )
    with transaction(platform.engine) as session:
        store_signals(session, [SignalRow.from_signal(signal, source="live", committed_ns=1)])
    parameters = {"date": "2026-10-06"}

    run = platform.wait_ended(platform.api.create_run(OUTCOMES_DEPLOYMENT, parameters=parameters))

    assert run.state_type == "COMPLETED", run.message
    assert run.message == "1 signals of 2026-10-06: 4 of 8 outcomes are known"
    artifacts = platform.artifacts(run)
    rows = json.loads(artifacts["outcomes"]["data"])
    assert [(row["subject"], row["after"], row["move"]) for row in rows] == [
        ("option", "1 min", "+0.50"),
        ("option", "5 min", "+2.00"),
        ("option", "15 min", ""),
        ("option", "60 min", ""),
        ("future", "1 min", "+0.50"),
        ("future", "5 min", "+2.00"),
        ("future", "15 min", ""),
        ("future", "60 min", ""),
    ]
    assert rows[2]["missing"] == "1 not-received"
    assert artifacts["outcomes-plot"]["data"].startswith("data:image/png;base64,")


def test_an_evaluation_shows_its_progress_and_its_scores(
    platform: Platform, tmp_path: Path
) -> None:
    parameters = {
        "seeds": 1,
        "minutes": 3,
        "learning_days": 1,
        "rate": 5.0,
        "episode_every": 20.0,
        "workers": 1,
        "directory": str(tmp_path),
    }

    started = platform.api.create_run(EVALUATE_DEPLOYMENT, parameters=parameters)
    run = platform.wait_ended(started, seconds=150)  # two seeds, each in a process of its own

    assert run.state_type == "COMPLETED", run.message
    assert "planted episodes found" in run.message
    artifacts = platform.artifacts(run)
    detectors = [row["detector"] for row in json.loads(artifacts["evaluation"]["data"])]
    assert detectors[0] == "ifd"
    assert {"volume spike", "older engine"} <= set(detectors)
    assert json.loads(artifacts["evaluation-recall"]["data"])
    assert artifacts["evaluation-plot"]["data"].startswith("data:image/png;base64,")
    assert artifacts["evaluation-progress"]["data"] == 100.0
    assert len(list((tmp_path / "seeds").iterdir())) == 2
    assert (tmp_path / "scores.json").is_file()


def test_baselines_are_rebuilt_from_files_and_their_coverage_is_shown(
    platform: Platform, tmp_path: Path
) -> None:
    made = tmp_path / "sessions"
    write_sessions(made, SessionPlan(days=3, seed=5, minutes=2))
    files = [str(path) for path in sorted(made.glob("*.mbo.dbn.zst"))]
    parameters = {"files": files, "definitions": [str(made / "definitions.dbn.zst")]}

    run = platform.wait_ended(platform.api.create_run(BASELINES_DEPLOYMENT, parameters))

    assert run.state_type == "COMPLETED"
    assert "from 3 sessions until 2026-10-07" in run.message
    artifacts = platform.artifacts(run)
    assert set(artifacts) == {"baselines", "baselines-progress"}
    assert '"New York time": "09:30"' in artifacts["baselines"]["data"]
    assert float(artifacts["baselines-progress"]["data"]) == 100


def test_baselines_are_the_same_wherever_they_are_computed(
    platform: Platform, tmp_path: Path
) -> None:
    made = tmp_path / "sessions"
    write_sessions(made, SessionPlan(days=3, seed=6, minutes=2))
    parameters = {
        "files": [str(path) for path in sorted(made.glob("*.mbo.dbn.zst"))],
        "definitions": [str(made / "definitions.dbn.zst")],
    }
    found = []

    for runner in ("threads", "processes", "dask"):
        environment = {
            "IFD_PREFECT__TASK_RUNNER": runner,
            # Nothing that another runner computed is found again.
            "IFD_BASELINE__DIRECTORY": str(tmp_path / runner),
        }
        run = platform.wait_ended(
            platform.api.create_run(BASELINES_DEPLOYMENT, parameters, environment=environment)
        )
        assert run.state_type == "COMPLETED", run.message
        found.append(platform.baselines())

    assert len(found[0]) > 100
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_baselines_of_a_damaged_file_fail_at_once_and_name_it(
    platform: Platform, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.dbn"
    damaged.write_bytes(b"DBN\x03 and then nothing")

    run = platform.wait_ended(
        platform.api.create_run(BASELINES_DEPLOYMENT, {"files": [str(damaged)]})
    )

    assert run.state_type == "FAILED"
    assert "damaged.dbn is not a whole DBN file" in run.message


def test_a_start_on_a_used_up_budget_completes_with_the_reason(platform: Platform) -> None:
    environment = {
        "IFD_COSTS__LIVE": "usage",
        "IFD_BUDGET__STREAMING_DAILY": "0",
        "IFD_BUDGET__WHEN_STREAMING_SPENT": "stop",
    }

    run = platform.wait_ended(platform.api.create_run(STREAM_DEPLOYMENT, environment=environment))

    assert (run.state_type, run.state_name) == ("COMPLETED", "BudgetSpent")
    assert "the live feed has cost $0.00 of $0.00" in run.message
    assert platform.run_of(run) is None


def test_the_evening_report_books_the_day_once_and_shows_it(platform: Platform) -> None:
    environment = {"IFD_COSTS__SUBSCRIPTION_MONTHLY": "230"}
    parameters = {"day": "2025-10-30"}

    runs = [
        platform.wait_ended(
            platform.api.create_run(COSTS_DEPLOYMENT, parameters, environment=environment)
        )
        for _ in range(2)
    ]

    # The exchange never closes: 23 weekdays at 10 dollars, Thursday the 30th is the 22nd.
    for run in runs:
        assert run.state_type == "COMPLETED", run.message
        assert run.name == "costs 2025-10-30"
        assert run.message == (
            "2025-10-30: $10.00 (streaming $10.00); this week $40.00, 2025-10 $220.00, "
            "projected $230.00"
        )
        artifacts = platform.artifacts(run)
        assert set(artifacts) == {"costs", "costs-numbers", "costs-plot"}
        assert "# Costs as of 2025-10-30" in artifacts["costs"]["data"]
        assert artifacts["costs-plot"]["data"].startswith("data:image/svg+xml;base64,")
    with Session(platform.engine) as session:
        told = session.exec(
            select(AlertOutboxRow.notice_key).where(AlertOutboxRow.notice_key == "costs-2025-10-30")
        ).all()
    assert len(told) == 1


def test_a_session_that_fails_its_checks_fails_its_run_and_shows_which(
    platform: Platform, tmp_path: Path
) -> None:
    day = QualityDay(tmp_path, *clean_records())
    assert day.execute("update bar set volume = volume + 1 where rowid = 1") == 1
    own = {
        "IFD_DATABASE_URL": day.settings.database_url,
        "IFD_ARCHIVE__DIRECTORY": str(day.settings.archive.directory),
        "IFD_QUALITY__DOCS_DIRECTORY": str(day.settings.quality.docs_directory),
        "IFD_FEED__PARENTS": json.dumps(day.settings.feed.parents),
    }

    run = platform.wait_ended(
        platform.api.create_run(SESSION_QUALITY, {"date": DATE}, environment=own)
    )

    assert run.state_type == "FAILED"
    assert run.message.startswith(f"nq {DATE}: 44 of 45 checks passed; critical: bars_match_trades")
    assert run.message.endswith("Alerts of the session are held")
    assert run.name == f"session quality nq {DATE}"
    made = platform.artifacts(run)
    assert set(made) == {"quality-progress", "quality-nq", "quality-nq-docs"}
    assert json.loads(made["quality-nq"]["data"])[0]["check"] == "bars_match_trades"
    assert "/index.html" in made["quality-nq-docs"]["data"]


def test_no_stream_is_no_reason_to_fail(platform: Platform) -> None:
    run = platform.wait_ended(platform.api.create_run(STREAM_QUALITY))

    assert (run.state_type, run.message) == ("COMPLETED", "no stream is running")
