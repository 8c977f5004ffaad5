"""A day with a hole of ten minutes, through the deployments that look for holes and fill them.

A real Prefect server and worker, a real stream, and an exchange that serves a recorded day, as live
feed over TCP and as history over HTTPS; its time flies while a stream listens, or nobody does, and
hardly moves while one starts. Nobody tells the backfill to start: the event of the gap scan does.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, func, select

from config.settings import Settings, load_settings
from ifd.clock import SystemClock
from ifd.pipeline import Pipeline
from ifd.records import F_SNAPSHOT, MboArray
from ifd.replay import read_definitions, read_mbo
from ifd.sessions import session_date
from ifd.units import NANOS_PER_MINUTE, ns_from_datetime
from ifd.windows import PressureWindow
from models.market import PressureWindowRow
from models.operations import CoverageRow
from models.runs import request_stop
from models.signals import AlertOutboxRow
from runtime.children import free_port
from runtime.prefect_services import BACKFILL_DEPLOYMENT, GAP_SCAN_DEPLOYMENT, FlowRun
from runtime.session_archive import read_session, session_segments
from runtime.supervisor import RunningStream, close_run, read_run, start_stream
from simulator.market import MarketParams
from simulator.session_files import SessionPlan, write_sessions
from sinks.archive_check import verify
from tests.integration.test_backfill_live import by_instrument, ifd, key_of
from tests.platform import Platform
from tests.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(480)]

DATE = "2026-10-05"
MINUTES = 40
SLOW, FAST = 1, 120
OPEN_NS = ns_from_datetime(dt.datetime(2026, 10, 5, 13, 30, tzinfo=dt.UTC))
CALENDAR = f'cash:\n  - {{date: {DATE}, close: "10:10", source: test}}\n'
"""The session ends with the recording."""


class Exchange(Platform):
    """The platform with an exchange that serves a recording, and is told how fast."""

    exchange: subprocess.Popen[str]

    def pace(self, speed: float) -> None:
        assert self.exchange.stdin is not None
        assert self.exchange.stdout is not None
        self.exchange.stdin.write(f"speed {speed}\n")
        self.exchange.stdin.flush()
        while (answer := self.exchange.stdout.readline().strip()) != f"ack: speed {speed}":
            assert answer, "the exchange has ended"


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recorded") / "days"
    params = MarketParams(records_per_second=20.0, episode_seconds=60.0)
    write_sessions(directory, SessionPlan(days=1, seed=5, minutes=MINUTES, params=params))
    return directory


@pytest.fixture(scope="module")
def platform(days: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """Prefect, and the exchange beside it; the recording runs from the first subscription on."""
    var = tmp_path_factory.mktemp("batch")
    ready, trusted, history = var / "gateway.json", var / "ca.pem", free_port()
    exchange = subprocess.Popen(
        [
            *(sys.executable, "-m", "cli.main", "gateway", "--port", "0", "--serve", str(days)),
            *("--speed", str(SLOW), "--control", "--ready-file", str(ready)),
            *("--historical-port", str(history), "--historical-ca", str(trusted)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    (var / "calendar.yaml").write_text(CALENDAR)
    with pytest.MonkeyPatch.context() as patch:
        platform = Exchange(var, patch)
        try:
            wait_until(ready.exists, "the exchange")
            platform.environment |= {
                "IFD_SESSION__HOURS": "cash",
                "IFD_SESSION__CALENDAR_FILE": str(var / "calendar.yaml"),
                "IFD_FEED__PORT": str(json.loads(ready.read_text())["port"]),
                "IFD_FEED__PARENTS": json.dumps(parents_of(days)),
                "IFD_FEED__REPLAY_MINUTES": "0",
                "IFD_FEED__RESUME_MINUTES": "0",
                "IFD_ARCHIVE__FLUSH_SECONDS": "0.2",
                "IFD_BACKFILL__DIRECTORY": str(var / "backfill"),
                "IFD_BACKFILL__REPLAY_HOURS": "0",
                "IFD_HISTORICAL__GATEWAY": f"127.0.0.1:{history}",
                "REQUESTS_CA_BUNDLE": str(trusted),
            }
            for name, value in platform.environment.items():
                patch.setenv(name, value)
            platform.settings = load_settings()
            platform.exchange = exchange
            platform.start()
            yield platform
        finally:
            platform.stop()
            exchange.terminate()
            exchange.communicate(timeout=20)


def parents_of(days: Path) -> list[str]:
    listed = read_definitions(days / "definitions.dbn.zst")
    return sorted({f"{one.asset}.OPT" for one in listed if one.is_option})


def at(minute: float) -> int:
    return OPEN_NS + round(minute * NANOS_PER_MINUTE)


def reached(engine: Engine) -> int:
    """Until when, in market time, anything was received."""
    with Session(engine) as session:
        return session.exec(select(func.max(col(CoverageRow.end_ns)))).one() or 0


def is_live(engine: Engine, stream: RunningStream) -> bool:
    with Session(engine) as session:
        found = session.exec(select(CoverageRow).where(CoverageRow.run_id == stream.run_id))
        return found.first() is not None


def start(platform: Platform) -> RunningStream:
    return start_stream(
        platform.engine,
        platform.settings,
        now_ns=SystemClock().now_ns(),
        session_date=DATE,
        environment={},
    )


def kill(stream: RunningStream, engine: Engine) -> None:
    """Kill -9 of the engine and of the process that reads the socket, at once."""
    process = psutil.Process(stream.process.pid)
    doomed = [process, *process.children()]
    for each in doomed:
        each.suspend()  # or the reader would still hear of its parent's death
    for each in doomed:
        each.kill()
    stream.process.wait(20)
    close_run(stream, engine, now_ns=SystemClock().now_ns())


def stream_with_a_cut(platform: Exchange, last_ns: int) -> tuple[int, int]:
    """Let a stream die for ten minutes of the market; return until and from when it received."""
    engine = platform.engine
    first = start(platform)
    wait_until(lambda: reached(engine) > at(0), "the first stream")
    platform.pace(FAST)
    wait_until(lambda: reached(engine) > at(5), "five minutes")
    kill(first, engine)
    time.sleep(11 * 60 / FAST)  # the outage itself, eleven minutes of the market
    platform.pace(SLOW)
    second = start(platform)
    try:
        wait_until(lambda: is_live(engine, second), "the second stream")
        platform.pace(FAST)
        wait_until(lambda: reached(engine) >= last_ns, "the end of the day")
    finally:
        request_stop(engine, "nq", "enough", now_ns=SystemClock().now_ns())
        second.process.wait(60)
    assert read_run(engine, second.run_id).status == "drained"
    with Session(engine) as session:
        before, after = session.exec(select(CoverageRow).order_by(col(CoverageRow.run_id))).all()
    return before.end_ns, after.start_ns


def run_of(platform: Platform, deployment: str) -> FlowRun | None:
    """The run of a deployment that somebody, or an automation, started."""
    body = {"deployments": {"name": {"any_": [deployment]}}, "sort": "START_TIME_DESC"}
    found = platform.request("POST", "/flow_runs/filter", body)
    started = [each for each in found if each["start_time"] and not each["auto_scheduled"]]
    return platform.api.flow_run(started[0]["id"]) if started else None


def windows_of(whole: MboArray, settings: Settings, days: Path) -> list[PressureWindow]:
    """What one engine gives that reads the day without a cut."""
    pipeline = Pipeline(settings.engine_params())
    pipeline.define(
        one for one in read_definitions(days / "definitions.dbn.zst") if one.session_date == DATE
    )
    outputs = [pipeline.update(records) for records in np.array_split(whole, 50)]
    return [window for each in (*outputs, pipeline.finish()) for window in each.windows]


def test_batch_deployments_wait_for_each_other_and_the_stream_for_nobody(
    platform: Platform,
) -> None:
    found = platform.deployments()

    backfill = found["backfill"]
    assert backfill["global_concurrency_limit"]["limit"] == 1
    assert backfill["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    assert found["stream"]["global_concurrency_limit"] is None
    assert {one["slug"] for one in backfill["schedules"]} == {"in-session", "after-close"}


def test_without_a_stream_there_is_nothing_to_find_and_nothing_to_fill(
    platform: Platform,
) -> None:
    asked = {"session_date": None}
    runs = [
        platform.api.create_run(name, asked) for name in (GAP_SCAN_DEPLOYMENT, BACKFILL_DEPLOYMENT)
    ]

    scan, backfill = (platform.wait_ended(run) for run in runs)

    assert (scan.state_type, scan.state_name) == ("COMPLETED", "NothingMissing"), scan.message
    assert "no stream of shard nq has run" in scan.message
    assert (backfill.state_type, backfill.state_name) == ("COMPLETED", "NothingToFill")
    today = session_date(SystemClock().now_ns())
    assert scan.name == f"gap scan of all shards {today}"
    assert backfill.name == f"backfill of all shards {today}"


def test_a_hole_of_ten_minutes_is_found_priced_filled_checked_and_reported(
    platform: Exchange, days: Path
) -> None:
    whole = np.concatenate(list(read_mbo([days / f"{DATE}.mbo.dbn.zst"])))
    died_ns, began_ns = stream_with_a_cut(platform, int(whole["ts_recv"].max()))

    alerted = alerts(platform.engine)
    (before,) = ifd("gaps", "--session", DATE)
    planned = ifd("backfill", "--dry-run", "--session", DATE)
    asked = {"shard": "nq", "session_date": DATE, "compare_counts": True}
    scan = platform.wait_ended(platform.api.create_run(GAP_SCAN_DEPLOYMENT, asked))
    wait_until(lambda: is_over(platform, "backfill"), "the backfill", seconds=90)
    backfill = run_of(platform, "backfill")
    (after,) = ifd("gaps", "--session", DATE)

    span = (died_ns, began_ns)
    assert began_ns - died_ns > 10 * NANOS_PER_MINUTE
    assert states(before)[span] == "open"
    quoted = next(one for one in planned if (one["start_ns"], one["end_ns"]) == span)
    assert quoted["method"] == "historical"
    assert quoted["quoted_micro_dollars"] > 0
    assert (scan.state_type, scan.state_name) == ("COMPLETED", "GapsFound"), scan.message
    assert backfill is not None
    assert backfill.state_type == "COMPLETED", backfill.message
    assert backfill.name == f"backfill nq {DATE}"
    assert set(states(after).values()) == {"backfilled"}
    assert alerts(platform.engine) == alerted, "what is found late is alerted to nobody"
    assert after["covered_share"] == 1
    archive = platform.settings.archive.directory
    assert not list(verify(platform.engine, archive, now_ns=SystemClock().now_ns()))
    assert_artifacts(platform, scan, backfill, quoted["quoted_micro_dollars"])
    assert_as_uncut(platform, whole, days)


def alerts(engine: Engine) -> int:
    with Session(engine) as session:
        return session.exec(select(func.count()).select_from(AlertOutboxRow)).one()


def is_over(platform: Platform, deployment: str) -> bool:
    run = run_of(platform, deployment)
    return run is not None and run.name.endswith(DATE) and run.has_ended


def states(report: dict[str, Any]) -> dict[tuple[int, int], str]:
    return {(gap["start_ns"], gap["end_ns"]): gap["state"] for gap in report["gaps"]}


def assert_artifacts(platform: Platform, scan: FlowRun, backfill: FlowRun, quoted: int) -> None:
    found = platform.artifacts(scan)
    assert set(found) == {"gaps", "gaps-nq"}
    assert float(found["gaps-nq"]["data"]) == 100
    causes = {row["cause"] for row in json.loads(found["gaps"]["data"]) if row["state"] == "open"}
    assert causes == {"not-running"}, "what was received is what history has"
    filled = platform.artifacts(backfill)
    assert set(filled) == {"backfill", "backfill-nq"}
    assert float(filled["backfill-nq"]["data"]) == 100
    rows = json.loads(filled["backfill"]["data"])
    assert {row["state"] for row in rows} == {"done"}
    assert 0 < max(float(row["spent"].strip("$")) for row in rows) <= quoted / 1e6


def assert_as_uncut(platform: Platform, whole: MboArray, days: Path) -> None:
    """Archive and windows are those of a day that nobody cut."""
    held = np.concatenate(
        [one.copy() for one in read_session(session_segments(platform.engine, "nq", DATE))]
    )
    held = held[held["flags"] & F_SNAPSHOT == 0]
    assert len(held) == len(whole)
    mine, theirs = by_instrument(held), by_instrument(whole)
    differ = np.flatnonzero(mine != theirs)
    assert not len(differ), (mine[differ[:5]], theirs[differ[:5]])
    expected = {key_of(one): one for one in windows_of(whole, platform.settings, days)}
    with Session(platform.engine) as session:
        found = {key_of(row): row for row in session.exec(select(PressureWindowRow))}
    assert set(found) == set(expected)
    for key, window in expected.items():
        for field in dataclasses.fields(window):
            assert getattr(found[key], field.name) == getattr(window, field.name), (key, field)
