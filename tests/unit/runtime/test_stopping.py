"""Stopping a stream from another process, with stand-ins that obey, hesitate and refuse."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from sqlalchemy.engine import Engine

from config.settings import Settings
from ifd.clock import SystemClock
from models.base import transaction
from models.operations import StreamRunRow
from models.runs import claim_run, request_stop
from runtime.stopping import Stopped, process_of, running_shards, stop_and_verify
from runtime.supervisor import read_run, start_stream

CLOCK = SystemClock()


def stop(engine: Engine, run_id: int, said: list[str]) -> Stopped:
    return stop_and_verify(
        engine, run_id, clock=CLOCK, grace_seconds=2.0, kill_after_seconds=2.0, say=said.append
    )


@pytest.mark.parametrize(
    ("child", "outcome", "steps", "status"),
    [
        ("well behaved", "drained", 0, "drained"),
        ("obeys SIGTERM only", "terminated", 1, "drained"),
        ("deaf", "killed", 3, "failed"),
    ],
)
def test_a_stream_is_stopped_with_no_more_force_than_needed(
    engine: Engine,
    settings: Settings,
    stand_in: Callable[[str], tuple[str, ...]],
    child: str,
    outcome: str,
    steps: int,
    status: str,
) -> None:
    stream = start_stream(
        engine,
        settings,
        now_ns=CLOCK.now_ns(),
        session_date="2026-11-24",
        command=stand_in(child),
    )
    said: list[str] = []
    while read_run(engine, stream.run_id).pid is None:
        assert stream.process.poll() is None

    request_stop(engine, "nq", "test", now_ns=CLOCK.now_ns())
    stopped = stop(engine, stream.run_id, said)

    assert stopped.outcome == outcome
    assert stopped.run.status == status
    assert len(said) == steps
    assert stream.process.wait(timeout=5) is not None
    assert running_shards(engine) == []


def claim(engine: Engine, **values: object) -> int:
    now_ns = CLOCK.now_ns()
    row = StreamRunRow(
        shard="nq",
        source="simulated",
        profile="default",
        params_fingerprint="0",
        session_date="2026-11-24",
        status="streaming",
        started_ns=now_ns,
        heartbeat_ns=now_ns,
        **values,
    )
    return claim_run(engine, row, now_ns=now_ns)


def test_a_row_whose_process_is_gone_is_ended(engine: Engine) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    run_id = claim(engine, pid=child.pid)
    said: list[str] = []

    stopped = stop(engine, run_id, said)

    assert stopped.outcome == "failed"
    assert stopped.run.error is not None
    assert "its process was gone" in stopped.run.error
    assert len(said) == 1
    assert running_shards(engine) == []


def test_a_process_id_that_serves_another_program_is_never_signalled(engine: Engine) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        run_id = claim(engine, pid=stranger.pid)

        assert process_of(read_run(engine, run_id)) is None
        stop(engine, run_id, [])

        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_every_shard_that_streams_is_listed(engine: Engine) -> None:
    claim(engine)
    with transaction(engine) as session:
        row = session.get_one(StreamRunRow, 1).model_dump() | {"id": None}
        session.add(StreamRunRow(**row | {"shard": "es", "active_shard": "es"}))
        session.add(StreamRunRow(**row | {"shard": "rty", "active_shard": None}))

    assert running_shards(engine) == ["es", "nq"]
