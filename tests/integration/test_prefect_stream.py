"""The stream's life through its flows, on a real Prefect server and worker.

Slow on purpose: nothing here is simulated but the market, and only the last tests have one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.clock import SystemClock
from ifd.units import NANOS_PER_SECOND
from models.operations import GapRow, StreamRunRow
from models.runs import request_stop
from models.signals import AlertOutboxRow
from runtime.children import Child
from runtime.prefect_services import (
    MARKET_CLOSE_DEPLOYMENT,
    STREAM_DEPLOYMENT,
    WATCHDOG_DEPLOYMENT,
    FlowRun,
)
from runtime.stopping import process_of
from runtime.supervisor import read_run
from tests.exchange import SYMBOLS, simulated_exchange
from tests.platform import Platform, running_platform
from tests.recordings import archived, assert_same_until, served
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("prefect")) as platform:
        yield platform


@pytest.fixture
def streaming(platform: Platform) -> Iterator[tuple[FlowRun, int]]:
    """A stream that runs; whatever a test left of it is ended."""
    run, run_id = platform.start_stream()
    yield run, run_id
    process = process_of(read_run(platform.engine, run_id))
    if process is not None:
        process.kill()


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


def look(platform: Platform) -> FlowRun:
    """Let the watchdog look, as its schedule would, only oftener."""
    return platform.wait_ended(platform.api.create_run(WATCHDOG_DEPLOYMENT))


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
        look(platform)
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
    with simulated_exchange(platform.var, rate=1_000, port=platform.settings.feed.port) as port:
        yield port


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
    wait_until(platform.has_archived, "the archive")  # or nothing is there to go on from
    killed_at = time.monotonic()
    kill_everything_of(read_run(platform.engine, run_id))
    before = read_run(platform.engine, run_id)

    def is_noticed() -> bool:
        look(platform)
        return read_run(platform.engine, run_id).active_shard is None

    def is_restarted() -> bool:
        look(platform)  # not the first death of the hour: the restart waits its turn
        return platform.is_live(beyond=before.records)

    wait_until(is_noticed, "the watchdog")
    noticed_seconds = time.monotonic() - killed_at
    wait_until(is_restarted, "the new stream", seconds=180)
    second = platform.newest_run()
    watched = look(platform)
    close = platform.wait_ended(platform.api.create_run(MARKET_CLOSE_DEPLOYMENT))

    assert noticed_seconds < 60
    assert platform.wait_ended(stream).state_type == "CRASHED"
    assert read_run(platform.engine, run_id).status == "failed"
    assert second.id != run_id
    assert watched.message == "every stream is well, or was asked to end"
    assert close.message.startswith("nq drained in ")
    with Session(platform.engine) as session:
        owed = session.exec(
            select(AlertOutboxRow.notice_key).where(
                col(AlertOutboxRow.notice_key).startswith(f"run-{run_id}-")
            )
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

    assert grown.records > records
    assert read_run(platform.engine, run_id).status == "drained"
    assert drained_seconds < 10
    assert_nothing_was_lost(platform.engine, gateway)
    assert platform.wait_ended(stream).state_type == "COMPLETED"
