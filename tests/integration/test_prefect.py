"""A real Prefect server and worker: schedules, and the stream's life through its flows.

The stream's gateway is a port where nobody answers, so its process lives, beats and obeys without
a market. Slow on purpose: nothing here is simulated but the market.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psutil
import pytest
import stamina
import yaml
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from config.calendar import calendar_around
from config.settings import ROOT_DIR, Settings, load_settings
from ifd.clock import SystemClock
from ifd.signals import Signal
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND, utc_from_ns
from models.alerts import store_signals
from models.base import make_engine, transaction
from models.database import upgrade
from models.market import BaselineRow
from models.operations import GapRow, StreamRunRow
from models.runs import latest_run, request_stop
from models.signals import AlertOutboxRow, SignalRow
from runtime.children import Child, free_port
from runtime.prefect_services import (
    BASELINES_DEPLOYMENT,
    COSTS_DEPLOYMENT,
    MARKET_CLOSE_DEPLOYMENT,
    STREAM_DEPLOYMENT,
    WATCHDOG_DEPLOYMENT,
    FlowRun,
    PrefectApi,
    api_url,
    prefect_environment,
    server_program,
    worker_program,
)
from runtime.stopping import process_of
from runtime.supervisor import read_run
from simulator.live import DEFAULT_KEY
from simulator.market.chain import moment_ns
from simulator.session_files import SessionPlan, write_sessions
from tests.quality_day import DATE, QualityDay, clean_records
from tests.recordings import archived, assert_same_until, served
from tests.scripted import Script

pytestmark = pytest.mark.integration
OUTCOMES_DEPLOYMENT = "ifd-outcomes/outcomes"
EVALUATE_DEPLOYMENT = "ifd-evaluate/evaluate"
SYMBOLS = ("NQ.OPT", "NQ.FUT")
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


class Platform:
    """The server, the worker, and what they share."""

    def __init__(self, var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.var = var
        self.environment = {
            "IFD_DATABASE_URL": f"sqlite:///{var / 'ifd.db'}",
            "IFD_LOG_DIRECTORY": str(var / "log"),
            "IFD_ARCHIVE__DIRECTORY": str(var / "archive"),
            "IFD_SESSION__HOURS": "always",
            "IFD_FEED__SIMULATED": "true",
            "IFD_FEED__HOST": "127.0.0.1",
            "IFD_FEED__PORT": str(free_port()),
            "IFD_FEED__PARENTS": json.dumps([SYMBOLS[0]]),
            "IFD_FEED__FUTURES": json.dumps([SYMBOLS[1]]),
            "IFD_FEED__REPLAY_MINUTES": "5",
            "IFD_FEED__RECONNECT_MAX_SECONDS": "1",
            "IFD_BASELINE__DIRECTORY": str(var / "baselines"),
            "IFD_PREFECT__PORT": str(free_port()),
            "DATABENTO_API_KEY": DEFAULT_KEY,
            "SLACK_WEBHOOK_URL": "http://127.0.0.1:9/nobody-reads-it",
        }
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        self.settings: Settings = load_settings()
        upgrade(self.settings.database_url)
        self.engine: Engine = make_engine(self.settings.database_url)
        self.api = PrefectApi(api_url(self.settings))

    def start(self) -> None:
        """Start the server, and the worker beside it, as `ifd up` does."""
        given = {"var": self.var, "environment": self.environment}
        self.server = Child(server_program(self.settings, **given))
        self.worker = Child(worker_program(self.settings, **given))
        self.api.wait_healthy(timeout_seconds=90, is_alive=lambda: self.server.exit_code is None)
        self.worker.wait_ready(timeout_seconds=120)
        # The tests say when they look; by their schedules they would act in the middle of one.
        deployed = self.deployments()
        for name in ("watchdog", "stream-quality"):
            self.request("PATCH", f"/deployments/{deployed[name]['id']}", {"paused": True})

    def start_server(self) -> None:
        """Start the server again."""
        self.server = Child(
            server_program(self.settings, var=self.var, environment=self.environment)
        )
        self.api.wait_healthy(timeout_seconds=90)

    def start_worker(self) -> None:
        """Start the worker again."""
        self.worker = Child(
            worker_program(self.settings, var=self.var, environment=self.environment)
        )
        self.worker.wait_ready(timeout_seconds=120)

    def stop(self) -> None:
        self.worker.stop()
        self.server.stop()
        self.engine.dispose()
        self.api.close()

    def request(self, method: str, path: str, body: Any = None) -> Any:
        # As Prefect's own client does: its server answers 503 while its SQLite is locked.
        for attempt in stamina.retry_context(on=httpx.HTTPStatusError, timeout=30):
            with attempt:
                response = httpx.request(method, f"{self.api.url}{path}", json=body, timeout=30)
                response.raise_for_status()
        return response.json() if response.content else None

    def deployments(self) -> dict[str, dict[str, Any]]:
        found = self.request("POST", "/deployments/filter", {})
        return {each["name"]: each for each in found}

    def wait_ended(self, run: FlowRun, *, seconds: float = 60.0) -> FlowRun:
        wait_until(
            lambda: self.api.flow_run(run.id).has_ended, f"{run.name} to end", seconds=seconds
        )
        return self.api.flow_run(run.id)

    def start_stream(self) -> tuple[FlowRun, int]:
        """Start the stream's flow; return it with the id of the run that beats by now."""
        run = self.api.create_run(STREAM_DEPLOYMENT)
        wait_until(lambda: self.run_of(run) is not None or self.ended(run), "the row")
        row = self.run_of(run)
        assert row is not None, self.api.flow_run(run.id)
        assert row.id is not None
        run_id = row.id
        wait_until(
            lambda: read_run(self.engine, run_id).status == "streaming" or self.ended(run),
            "the stream",
        )
        assert read_run(self.engine, run_id).status == "streaming", self.api.flow_run(run.id)
        return run, run_id

    def ended(self, run: FlowRun) -> bool:
        return self.api.flow_run(run.id).has_ended

    def run_of(self, run: FlowRun) -> StreamRunRow | None:
        with Session(self.engine, expire_on_commit=False) as session:
            return session.exec(
                select(StreamRunRow).where(StreamRunRow.flow_run_id == run.id)
            ).first()

    def baselines(self) -> list[dict[str, Any]]:
        with Session(self.engine) as session:
            rows = session.exec(select(BaselineRow)).all()
        found = [row.model_dump(exclude={"id", "computed_ns"}) for row in rows]
        return sorted(found, key=lambda row: (row["key"], row["metric"], row["bucket"]))

    def newest_run(self) -> StreamRunRow:
        with Session(self.engine, expire_on_commit=False) as session:
            run = latest_run(session)
        assert run is not None
        return run

    def is_live(self, *, beyond: int) -> bool:
        run = self.newest_run()
        return run.active_shard is not None and run.caught_up and run.records > beyond

    def artifacts(self, run: FlowRun) -> dict[str, dict[str, Any]]:
        body = {"flow_runs": {"id": {"any_": [run.id]}}}
        return {each["key"]: each for each in self.request("POST", "/artifacts/filter", body)}

    def logs(self, run: FlowRun) -> str:
        body = {"logs": {"flow_run_id": {"any_": [run.id]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(each["message"] for each in self.request("POST", "/logs/filter", body))

    def apply(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "deployments.apply", *arguments],
            cwd=ROOT_DIR,
            env={**os.environ, **prefect_environment(self.settings, var=self.var)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        platform = Platform(tmp_path_factory.mktemp("prefect"), monkeypatch)
        try:
            platform.start()
            yield platform
        finally:
            platform.stop()


@pytest.fixture
def streaming(platform: Platform) -> Iterator[tuple[FlowRun, int]]:
    """A stream that runs; whatever a test left of it is ended."""
    run, run_id = platform.start_stream()
    yield run, run_id
    process = process_of(read_run(platform.engine, run_id))
    if process is not None:
        process.kill()


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)


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


def test_market_close_drains_the_stream_and_both_runs_tell_of_it(
    platform: Platform, streaming: tuple[FlowRun, int]
) -> None:
    stream, run_id = streaming
    pid = read_run(platform.engine, run_id).pid
    second = platform.wait_ended(platform.api.create_run(STREAM_DEPLOYMENT))
    scheduled = platform.wait_ended(
        platform.api.create_run(MARKET_CLOSE_DEPLOYMENT, {"only_if_closed": True})
    )
    still_streaming = read_run(platform.engine, run_id).status

    close = platform.wait_ended(platform.api.create_run(MARKET_CLOSE_DEPLOYMENT))
    ended = platform.wait_ended(stream)

    assert (second.state_type, second.state_name) == ("COMPLETED", "AlreadyStreaming")
    assert f"process {pid}" in second.message
    assert (scheduled.state_type, scheduled.state_name) == ("COMPLETED", "SessionOpen")
    assert still_streaming == "streaming"
    assert close.state_type == "COMPLETED"
    assert close.message.startswith("nq drained in ")
    assert ended.state_type == "COMPLETED"
    assert ended.message.startswith("drained (market close): 0 records")
    row = read_run(platform.engine, run_id)
    assert (row.status, row.stop_reason, row.active_shard) == ("drained", "market close", None)
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert set(platform.artifacts(stream)) == {
        "stream-nq",
        "stream-nq-numbers",
        "stream-nq-plot",
        "dashboard",
    }
    assert "market-close" in platform.artifacts(close)
    assert "Stream is streaming" in platform.logs(stream)
    assert ended.name.startswith("stream nq 20")


def test_cancelling_in_the_ui_drains_the_stream(
    platform: Platform, streaming: tuple[FlowRun, int]
) -> None:
    stream, run_id = streaming

    platform.request("POST", f"/flow_runs/{stream.id}/set_state", {"state": {"type": "CANCELLING"}})
    ended = platform.wait_ended(stream)

    assert ended.state_type == "CANCELLED"
    wait_until(lambda: read_run(platform.engine, run_id).ended_ns is not None, "the drain")
    row = read_run(platform.engine, run_id)
    assert row.status == "drained"
    assert process_of(row) is None


def test_a_killed_flow_process_takes_no_record_with_it(
    platform: Platform, streaming: tuple[FlowRun, int]
) -> None:
    stream, run_id = streaming
    child = process_of(read_run(platform.engine, run_id))
    assert child is not None
    flow_process = child.parent()
    assert flow_process is not None
    assert "prefect.engine" in " ".join(flow_process.cmdline())

    flow_process.send_signal(signal.SIGKILL)

    assert platform.wait_ended(stream).state_type == "CRASHED"
    wait_until(lambda: read_run(platform.engine, run_id).ended_ns is not None, "the drain")
    assert read_run(platform.engine, run_id).status == "drained"


def test_cancelling_while_the_stream_drains_does_not_break_the_drain(
    platform: Platform, streaming: tuple[FlowRun, int]
) -> None:
    stream, run_id = streaming

    request_stop(platform.engine, "nq", "test", now_ns=SystemClock().now_ns())
    platform.request("POST", f"/flow_runs/{stream.id}/set_state", {"state": {"type": "CANCELLING"}})
    platform.wait_ended(stream)

    wait_until(lambda: read_run(platform.engine, run_id).ended_ns is not None, "the drain")
    assert read_run(platform.engine, run_id).status == "drained"


@pytest.fixture
def worker_after(platform: Platform) -> Iterator[Child]:
    """The worker, which a test may end: another one starts afterwards."""
    yield platform.worker
    platform.start_worker()


def test_a_killed_worker_leaves_its_stream_alone(
    platform: Platform, worker_after: Child, streaming: tuple[FlowRun, int]
) -> None:
    stream, run_id = streaming
    os.kill(worker_after.pid, signal.SIGKILL)
    wait_until(lambda: worker_after.exit_code is not None, "the worker's end")
    beat_ns = read_run(platform.engine, run_id).heartbeat_ns

    wait_until(
        lambda: read_run(platform.engine, run_id).heartbeat_ns > beat_ns + 3 * NANOS_PER_SECOND,
        "three more beats",
    )
    request_stop(platform.engine, "nq", "test", now_ns=SystemClock().now_ns())

    assert platform.wait_ended(stream).state_type == "COMPLETED"
    assert read_run(platform.engine, run_id).status == "drained"


def test_a_worker_that_is_stopped_lets_its_stream_drain_and_the_watchdog_says_crashed(
    platform: Platform, streaming: tuple[FlowRun, int]
) -> None:
    stream, run_id = streaming

    platform.worker.stop(timeout_seconds=30)
    wait_until(lambda: read_run(platform.engine, run_id).ended_ns is not None, "the drain")
    drained = read_run(platform.engine, run_id)
    left_behind = platform.api.flow_run(stream.id).state_type
    platform.start_worker()

    def is_tidied() -> bool:
        # As its schedule would, only oftener.
        platform.wait_ended(platform.api.create_run(WATCHDOG_DEPLOYMENT))
        return platform.ended(stream)

    wait_until(is_tidied, "the watchdog")

    assert drained.status == "drained"
    assert process_of(drained) is None
    assert left_behind == "RUNNING"
    assert platform.api.flow_run(stream.id).state_type == "CRASHED"
    # Nobody had asked it to end, so another one runs by now.
    restarted = platform.newest_run()
    assert (restarted.id, restarted.active_shard) != (run_id, None)
    close = platform.wait_ended(platform.api.create_run(MARKET_CLOSE_DEPLOYMENT))
    assert close.message.startswith("nq drained in ")


@pytest.fixture(scope="module")
def gateway(platform: Platform) -> Iterator[int]:
    """A market on the port where nobody answered so far: only the last tests have one."""
    ready = platform.var / "gateway.json"
    port = platform.settings.feed.port
    options = ["--port", str(port), "--key", DEFAULT_KEY, "--rate", "1000", "--seed", "5"]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "simulator", *options),
            *("--history-minutes", "1", "--ready-file", str(ready)),
        ],
        stdout=subprocess.DEVNULL,
    )
    wait_until(ready.exists, "the gateway")
    yield port
    process.terminate()
    process.wait()


def assert_nothing_was_lost(engine: Engine, port: int) -> None:
    received = archived(engine)
    until = int(received["ts_event"].max())
    whole = asyncio.run(served(port, until, symbols=SYMBOLS))
    assert_same_until(received, whole, until)


def kill_everything_of(run: StreamRunRow) -> None:
    """As a machine that loses its memory would: nobody is left to report anything."""
    engine = process_of(run)
    assert engine is not None
    flow, (reader,) = engine.parent(), engine.children()
    assert flow is not None
    for process in (reader, engine):
        process.suspend()  # or they would still hear of the death of their parent
    for process in (flow, engine, reader):
        process.kill()


def test_a_stream_that_was_killed_is_noticed_and_started_again_and_no_record_is_lost(
    platform: Platform, gateway: int
) -> None:
    stream, run_id = platform.start_stream()
    wait_until(lambda: platform.is_live(beyond=0), "records")
    killed_at = time.monotonic()
    kill_everything_of(read_run(platform.engine, run_id))
    before = read_run(platform.engine, run_id)

    def is_noticed() -> bool:
        # As its schedule would, only oftener.
        platform.wait_ended(platform.api.create_run(WATCHDOG_DEPLOYMENT))
        return read_run(platform.engine, run_id).active_shard is None

    wait_until(is_noticed, "the watchdog")
    noticed_seconds = time.monotonic() - killed_at
    wait_until(lambda: platform.is_live(beyond=before.records), "the new stream")
    second = platform.newest_run()
    watched = platform.wait_ended(platform.api.create_run(WATCHDOG_DEPLOYMENT))
    close = platform.wait_ended(platform.api.create_run(MARKET_CLOSE_DEPLOYMENT))

    assert noticed_seconds < 60
    assert platform.wait_ended(stream).state_type == "CRASHED"
    assert read_run(platform.engine, run_id).status == "failed"
    assert second.id != run_id
    assert watched.message == "every stream is well, or was asked to end"
    assert close.message.startswith("nq drained in ")
    with Session(platform.engine) as session:
        owed = session.exec(
            select(AlertOutboxRow.notice_key).where(AlertOutboxRow.kind == "notice")
        ).all()
        gaps = session.exec(select(GapRow)).all()
    assert owed == [f"run-{run_id}-ended"]
    assert ("crash", "replayed") in {(gap.cause, gap.state) for gap in gaps}
    assert {gap.state for gap in gaps} == {"replayed"}
    assert_nothing_was_lost(platform.engine, gateway)


@pytest.mark.timeout(300)
def test_a_stream_outlives_a_minute_without_its_server_and_can_be_stopped_meanwhile(
    platform: Platform, gateway: int
) -> None:
    stream, run_id = platform.start_stream()
    wait_until(lambda: platform.is_live(beyond=0), "records")
    os.kill(platform.server.pid, signal.SIGKILL)
    platform.server.stop()
    records = read_run(platform.engine, run_id).records

    time.sleep(60)  # the outage itself
    grown = read_run(platform.engine, run_id)
    request_stop(platform.engine, "nq", "test", now_ns=SystemClock().now_ns())
    asked = time.monotonic()
    wait_until(lambda: read_run(platform.engine, run_id).ended_ns is not None, "the drain")
    drained_seconds = time.monotonic() - asked
    platform.start_server()

    assert grown.records > records + 30_000
    assert read_run(platform.engine, run_id).status == "drained"
    assert drained_seconds < 10
    assert_nothing_was_lost(platform.engine, gateway)
    assert platform.wait_ended(stream).state_type == "COMPLETED"
