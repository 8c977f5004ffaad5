"""A stream that dies is noticed, ended, told of once, and started again; others are left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from config.settings import Settings
from ifd.clock import ManualClock, SystemClock
from ifd.errors import EnvironmentProblemError
from ifd.sessions import session_date
from ifd.units import NANOS_PER_SECOND
from models.base import transaction
from models.operations import StreamRunRow
from models.runs import claim_run, end_run, request_stop
from models.signals import AlertOutboxRow, NoticeRow
from runtime.orphans import end_orphaned_readers
from runtime.supervisor import read_run, start_stream
from runtime.watchdog import Watchdog

START_NS = SystemClock().now_ns()
AWAKE = "import time, sys; time.sleep(60)"


class Starter:
    """Notes what it is asked to start."""

    def __init__(self) -> None:
        self.cancelled = False
        self.away = False
        self.started: list[int | None] = []

    def was_cancelled(self, run: StreamRunRow) -> bool:
        return self.cancelled

    def restart(self, run: StreamRunRow) -> None:
        if self.away:
            raise EnvironmentProblemError("the Prefect server was not reached")
        self.started.append(run.id)


@pytest.fixture
def starter() -> Starter:
    return Starter()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_NS)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    always = settings.session.model_copy(update={"hours": "always"})
    return settings.model_copy(
        update={"session": always, "slack_webhook_url": "https://hooks.invalid/services/x"}
    )


@pytest.fixture
def watchdog(engine: Engine, settings: Settings, starter: Starter, clock: ManualClock) -> Watchdog:
    return Watchdog(engine, settings, starter, clock=clock)


@pytest.fixture
def living() -> Iterator[Callable[[int], subprocess.Popen[bytes]]]:
    """Start a process that bears a run's id in its command line, as a stream does."""
    started: list[subprocess.Popen[bytes]] = []

    def start(run_id: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", AWAKE, "--run-id", str(run_id)])
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def claim(engine: Engine, *, at_ns: int = START_NS, shard: str = "nq", **values: object) -> int:
    row = StreamRunRow(
        shard=shard,
        source="simulated",
        profile="default",
        params_fingerprint="0",
        session_date=session_date(START_NS),
        status="streaming",
        started_ns=at_ns,
        heartbeat_ns=at_ns,
        **values,
    )
    return claim_run(engine, row, now_ns=at_ns)


def gone() -> int:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return process.pid


def notices(engine: Engine) -> list[str]:
    with Session(engine) as session:
        return [row.notice_key for row in session.exec(select(NoticeRow))]


def owed(engine: Engine) -> list[tuple[str | None, str]]:
    with Session(engine) as session:
        rows = session.exec(select(AlertOutboxRow)).all()
        return [(row.notice_key, row.channel) for row in rows]


def wait(clock: ManualClock, seconds: float) -> None:
    clock.advance_to(clock.now_ns() + round(seconds * NANOS_PER_SECOND))


def test_a_killed_stream_is_ended_told_of_once_and_started_again(
    engine: Engine, watchdog: Watchdog, starter: Starter, clock: ManualClock
) -> None:
    run_id = claim(engine, pid=gone())
    wait(clock, 21)

    said = watchdog.look()
    again = watchdog.look()

    run = read_run(engine, run_id)
    assert (run.status, run.active_shard) == ("failed", None)
    assert run.error == "its process was gone; its last heartbeat was 21 s ago"
    assert len(said) == 1
    assert again == []
    assert starter.started == [run_id, run_id]
    assert owed(engine) == [(f"run-{run_id}-ended", "webhook")]


def test_two_watchers_tell_of_one_death_once(
    engine: Engine, settings: Settings, starter: Starter, clock: ManualClock
) -> None:
    claim(engine, pid=gone())
    wait(clock, 30)

    said = [
        Watchdog(engine, settings, starter, clock=clock).look(),
        Watchdog(engine, settings, starter, clock=clock).look(),
    ]

    assert [len(each) for each in said] == [1, 0]
    assert len(owed(engine)) == 1


def test_a_stream_that_beats_is_left_alone(
    engine: Engine,
    watchdog: Watchdog,
    starter: Starter,
    clock: ManualClock,
) -> None:
    claim(engine, pid=gone())
    wait(clock, 19)

    assert watchdog.look() == []
    assert starter.started == []


def test_a_stream_that_is_being_started_has_a_minute(
    engine: Engine, watchdog: Watchdog, clock: ManualClock
) -> None:
    run_id = claim(engine)
    wait(clock, 59)
    before = watchdog.look()

    wait(clock, 2)
    watchdog.look()

    assert before == []
    assert read_run(engine, run_id).status == "failed"


def test_a_stream_that_failed_by_itself_is_told_of_and_started_again(
    engine: Engine, watchdog: Watchdog, starter: Starter, clock: ManualClock
) -> None:
    run_id = claim(engine, pid=gone())
    end_run(engine, run_id, status="failed", now_ns=START_NS, error="the gateway refused the key")

    said = watchdog.look()

    assert "the gateway refused the key" in said[0]
    assert starter.started == [run_id]


def test_a_stream_that_drained_without_being_asked_is_started_again(
    engine: Engine, watchdog: Watchdog, starter: Starter
) -> None:
    # What a stopped worker leaves: its flow is killed, the kernel tells the stream.
    run_id = claim(engine, pid=gone())
    end_run(engine, run_id, status="drained", now_ns=START_NS)

    watchdog.look()

    assert starter.started == [run_id]


def test_a_stream_that_was_asked_to_stop_is_left_alone(
    engine: Engine, watchdog: Watchdog, starter: Starter
) -> None:
    run_id = claim(engine, pid=gone())
    request_stop(engine, "nq", "market close", now_ns=START_NS)
    end_run(engine, run_id, status="drained", now_ns=START_NS)

    assert watchdog.look() == []
    assert starter.started == []


def test_a_stream_that_was_cancelled_is_left_alone(
    engine: Engine, watchdog: Watchdog, starter: Starter
) -> None:
    end_run(engine, claim(engine, pid=gone()), status="drained", now_ns=START_NS)
    starter.cancelled = True

    assert watchdog.look() == []
    assert starter.started == []
    assert notices(engine) == []


def test_nothing_is_started_while_the_market_is_closed(
    engine: Engine, settings: Settings, starter: Starter
) -> None:
    thanksgiving = ManualClock(1_795_708_800 * NANOS_PER_SECOND)
    cash = settings.session.model_copy(update={"hours": "cash"})
    run_id = claim(engine, at_ns=thanksgiving.now_ns(), pid=gone())
    with transaction(engine) as session:
        session.get_one(StreamRunRow, run_id).session_date = "2026-11-26"
    wait(thanksgiving, 30)
    closed = settings.model_copy(update={"session": cash})

    said = Watchdog(engine, closed, starter, clock=thanksgiving).look()

    assert len(said) == 1
    assert starter.started == []
    assert len(owed(engine)) == 1


def test_a_server_that_is_away_is_asked_again_by_the_next_look(
    engine: Engine, watchdog: Watchdog, starter: Starter
) -> None:
    run_id = claim(engine, pid=gone())
    end_run(engine, run_id, status="failed", now_ns=START_NS, error="test")
    starter.away = True
    said = watchdog.look()
    starter.away = False

    watchdog.look()

    assert "not started again yet" in said[-1]
    assert starter.started == [run_id]
    assert len(owed(engine)) == 1


def test_a_stream_that_keeps_dying_is_started_later_and_later_and_then_left_alone(
    engine: Engine, watchdog: Watchdog, starter: Starter, clock: ManualClock
) -> None:
    waits = []
    for _ in range(7):
        run_id = claim(engine, at_ns=clock.now_ns(), pid=gone())
        end_run(engine, run_id, status="failed", now_ns=clock.now_ns(), error="test")
        ended_ns = clock.now_ns()
        for _ in range(60):
            watchdog.look()
            if run_id in starter.started:
                break
            wait(clock, 5)
        waits.append((clock.now_ns() - ended_ns) // NANOS_PER_SECOND)

    assert waits == [0, 15, 30, 60, 120, 240, 300]
    assert notices(engine)[-1] == "run-7-given-up"
    assert len(set(notices(engine))) == 8


def test_a_run_of_another_machine_is_believed_dead_after_a_minute_of_silence(
    engine: Engine, watchdog: Watchdog, clock: ManualClock
) -> None:
    run_id = claim(engine, pid=os.getpid(), host="elsewhere")
    wait(clock, 59)
    before = watchdog.look()

    wait(clock, 1)
    watchdog.look()

    assert before == []
    assert "on elsewhere" in str(read_run(engine, run_id).error)


def test_a_stream_that_hangs_is_ended_with_no_more_force_than_needed(
    engine: Engine,
    watchdog: Watchdog,
    clock: ManualClock,
    living: Callable[[int], subprocess.Popen[bytes]],
) -> None:
    process = living(1)
    run_id = claim(engine, pid=process.pid)
    assert run_id == 1
    wait(clock, 119)
    before = watchdog.look()

    wait(clock, 1)
    said = watchdog.look()
    code = process.wait(10)
    watchdog.look()

    assert before == []
    assert "sent SIGTERM" in said[0]
    assert code == -15
    assert read_run(engine, run_id).status == "failed"


def test_a_row_ends_only_when_its_real_process_has_gone(
    engine: Engine,
    settings: Settings,
    watchdog: Watchdog,
    clock: ManualClock,
    stand_in: Callable[[str], tuple[str, ...]],
) -> None:
    stream = start_stream(
        engine,
        settings,
        now_ns=START_NS,
        session_date=session_date(START_NS),
        command=stand_in("well behaved"),
    )
    while read_run(engine, stream.run_id).pid is None:
        assert stream.process.poll() is None
    clock.advance_to(read_run(engine, stream.run_id).heartbeat_ns + 30 * NANOS_PER_SECOND)
    stream.process.send_signal(19)  # SIGSTOP: it lives and does not beat
    before = watchdog.look()

    stream.process.kill()
    stream.process.wait()
    clock.advance_to(SystemClock().now_ns() + 30 * NANOS_PER_SECOND)
    said = watchdog.look()

    assert before == []
    assert len(said) == 1


def test_a_reader_whose_stream_is_gone_is_ended_and_others_are_not() -> None:
    # `python -c` shows its arguments as a reader's command line would look.
    ours = {**os.environ, "IFD_DATABASE_URL": "sqlite:////tmp/ours.db"}
    command = [sys.executable, "-c", AWAKE, "-m", "runtime.ingest"]
    orphan = subprocess.Popen(command, env=ours)
    stranger = subprocess.Popen(command, env=ours | {"IFD_DATABASE_URL": "sqlite:////tmp/x.db"})
    try:
        assert end_orphaned_readers("sqlite:////tmp/ours.db") == [orphan.pid]
        assert not psutil.pid_exists(orphan.pid)
        assert stranger.poll() is None
    finally:
        for process in (orphan, stranger):
            process.kill()
            process.wait()
