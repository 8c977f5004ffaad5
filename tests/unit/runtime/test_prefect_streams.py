"""Restarts are asked for once, and Prefect's states are mended where nobody is left to do it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from ifd.clock import ManualClock
from ifd.errors import EnvironmentProblemError
from ifd.units import NANOS_PER_SECOND
from models.operations import StreamRunRow
from models.runs import claim_run, end_run
from runtime.orphans import FLOW_RUN_VARIABLE
from runtime.prefect_services import FlowRun
from runtime.prefect_streams import PrefectRestarts, mend_states
from runtime.supervisor import read_run

START_NS = 1_795_705_200 * NANOS_PER_SECOND
SOON = ManualClock(START_NS + 31 * NANOS_PER_SECOND)


def flow_run(number: int, state: str = "RUNNING") -> FlowRun:
    return FlowRun(f"flow-run-{number}", f"stream nq {number}", state, state.title(), "")


class Server:
    """Creates one flow run for a key, and keeps the states that are forced."""

    def __init__(self) -> None:
        self.runs: dict[str, FlowRun] = {}
        self.states = ["SCHEDULED"]
        self.unended: list[FlowRun] = []
        self.forced: list[tuple[str, str, str]] = []

    def create_run(self, deployment: str, parameters: Mapping[str, Any], *, key: str) -> FlowRun:
        assert (deployment, parameters["shard"]) == ("ifd-stream/stream", "nq")
        if key not in self.runs:
            number = len(self.runs)
            self.runs[key] = flow_run(number, self.states[min(number, len(self.states) - 1)])
        return self.runs[key]

    def find_flow_run(self, run_id: str) -> FlowRun | None:
        return next((each for each in self.unended if each.id == run_id), None)

    def unended_runs(self, deployment_name: str) -> list[FlowRun]:
        assert deployment_name == "stream"
        return self.unended

    def force_state(self, run: FlowRun, state_type: str, message: str) -> None:
        self.forced.append((run.id, state_type, message))

    def page_of(self, run: FlowRun) -> str:
        return f"http://prefect/runs/flow-run/{run.id}"


@pytest.fixture
def server() -> Server:
    return Server()


def ended_run(engine: Engine, **values: Any) -> StreamRunRow:
    row = StreamRunRow(
        shard="nq",
        source="simulated",
        profile="default",
        params_fingerprint="0",
        session_date="2026-11-24",
        status="streaming",
        started_ns=START_NS,
        heartbeat_ns=START_NS,
        **({"flow_run_id": "flow-run-1"} | values),
    )
    run_id = claim_run(engine, row, now_ns=START_NS)
    end_run(engine, run_id, status="failed", now_ns=START_NS, error="killed")
    return read_run(engine, run_id)


def mend(engine: Engine, server: Server, clock: ManualClock = SOON) -> list[str]:
    return list(mend_states(engine, server, clock=clock))  # type: ignore[arg-type]


def test_a_restart_is_one_flow_run_however_often_it_is_asked_for(
    engine: Engine, server: Server
) -> None:
    run = ended_run(engine)

    for _ in range(3):
        restarts = PrefectRestarts(server)  # type: ignore[arg-type]
        restarts.restart(run)

    assert len(server.runs) == 1
    assert restarts.newest == flow_run(0, "SCHEDULED")


def test_a_flow_run_that_ended_before_it_streamed_is_followed_by_another_a_few_times(
    engine: Engine, server: Server
) -> None:
    run = ended_run(engine)
    restarts = PrefectRestarts(server)  # type: ignore[arg-type]
    server.states = ["CRASHED", "SCHEDULED"]
    restarts.restart(run)
    followed = len(server.runs)
    server.runs.clear()
    server.states = ["CRASHED"]

    with pytest.raises(EnvironmentProblemError, match="3 flow runs ended before they streamed"):
        restarts.restart(run)

    assert followed == 2


@pytest.mark.parametrize(
    ("state", "cancelled"), [("CANCELLED", True), ("CANCELLING", True), ("CRASHED", False)]
)
def test_a_run_was_cancelled_when_prefect_says_so(
    engine: Engine, server: Server, state: str, cancelled: bool
) -> None:
    server.unended = [flow_run(1, state)]

    restarts = PrefectRestarts(server)  # type: ignore[arg-type]

    assert restarts.was_cancelled(ended_run(engine)) is cancelled


def test_a_run_without_prefect_or_unknown_to_it_was_not_cancelled(
    engine: Engine, server: Server
) -> None:
    restarts = PrefectRestarts(server)  # type: ignore[arg-type]

    assert not restarts.was_cancelled(ended_run(engine, flow_run_id=None))
    assert not restarts.was_cancelled(ended_run(engine))


@pytest.mark.parametrize(("state", "final"), [("RUNNING", "CRASHED"), ("CANCELLING", "CANCELLED")])
def test_a_flow_run_whose_process_is_gone_gets_its_last_state(
    engine: Engine, server: Server, state: str, final: str
) -> None:
    ended_run(engine)
    server.unended = [flow_run(1, state)]

    said = mend(engine, server)

    assert server.forced == [
        ("flow-run-1", final, "its process was gone; the stream failed: killed")
    ]
    assert len(said) == 1


def test_states_of_runs_that_somebody_may_still_report_are_left_alone(
    engine: Engine, server: Server
) -> None:
    ended_run(engine)
    ended_run(engine, flow_run_id="flow-run-2", host="elsewhere")
    server.unended = [flow_run(2), flow_run(3)]  # of another machine; of no row yet

    assert mend(engine, server) == []
    server.unended = [flow_run(1)]
    assert mend(engine, server, ManualClock(START_NS + 29 * NANOS_PER_SECOND)) == []
    assert server.forced == []


def test_a_flow_that_still_reports_is_left_alone(engine: Engine, server: Server) -> None:
    ended_run(engine)
    server.unended = [flow_run(1)]
    reporting = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        env={**os.environ, FLOW_RUN_VARIABLE: "flow-run-1"},
    )
    try:
        assert mend(engine, server) == []
    finally:
        reporting.kill()
        reporting.wait()
    assert len(mend(engine, server)) == 1
