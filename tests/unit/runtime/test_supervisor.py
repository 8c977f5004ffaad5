"""A stream's child from start to end, with stand-ins for the stream itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest
from sqlalchemy.engine import Engine

from config.settings import Settings
from ifd.clock import ManualClock, SystemClock
from ifd.errors import AlreadyStreamingError
from ifd.sessions import session_date
from models.operations import StreamRunRow
from models.runs import request_stop
from runtime import supervisor
from runtime.supervisor import (
    RunningStream,
    ask_to_drain,
    close_run,
    read_run,
    settings_of,
    start_stream,
    watch,
)
from tests.waiting import wait_until

Write = Callable[[str], tuple[str, ...]]
CLOCK = SystemClock()
SECOND = 10**9


@contextmanager
def streaming(
    engine: Engine, settings: Settings, command: tuple[str, ...]
) -> Iterator[RunningStream]:
    now_ns = CLOCK.now_ns()
    stream = start_stream(
        engine, settings, now_ns=now_ns, session_date=session_date(now_ns), command=command
    )
    try:
        wait_until(lambda: read_run(engine, stream.run_id).pid is not None or ended(stream))
        yield stream
    finally:
        stream.process.kill()
        stream.process.wait()


def ended(stream: RunningStream) -> bool:
    return stream.process.poll() is not None


def test_a_child_drains_on_the_flag_and_its_row_says_so(
    engine: Engine, settings: Settings, stand_in: Write
) -> None:
    with streaming(engine, settings, stand_in("well behaved")) as stream:
        request_stop(engine, "nq", "test", now_ns=CLOCK.now_ns())
        for _ in watch(stream, engine, clock=CLOCK, poll_seconds=0.05):
            pass
        run = close_run(stream, engine, now_ns=CLOCK.now_ns())

    assert run.status == "drained"
    assert run.stop_reason == "test"
    assert run.active_shard is None
    assert run.error is None


def test_a_child_is_asked_by_the_sessions_clock_when_nobody_asks(
    engine: Engine, settings: Settings, stand_in: Write
) -> None:
    with streaming(engine, settings, stand_in("well behaved")) as stream:
        closes_ns = CLOCK.now_ns() - supervisor.CLOSE_GRACE_NS
        said = [
            progress.said
            for progress in watch(
                stream, engine, clock=CLOCK, closes_ns=closes_ns, poll_seconds=0.05
            )
            if progress.said
        ]
        run = close_run(stream, engine, now_ns=CLOCK.now_ns())

    assert run.status == "drained"
    assert run.stop_reason == "the session has closed"
    assert len(said) == 1


def test_a_child_is_left_alone_while_the_close_is_recent(
    engine: Engine, settings: Settings, stand_in: Write
) -> None:
    clock = ManualClock(CLOCK.now_ns())
    with streaming(engine, settings, stand_in("well behaved")) as stream:
        closes_ns = clock.now_ns() - supervisor.CLOSE_GRACE_NS + 1
        progress = next(watch(stream, engine, clock=clock, closes_ns=closes_ns, poll_seconds=0.05))

    assert progress.said is None
    assert progress.run is not None
    assert progress.run.stop_requested_ns is None


def test_a_child_that_never_drains_is_ended_step_by_step(
    engine: Engine, settings: Settings, stand_in: Write
) -> None:
    clock = ManualClock(CLOCK.now_ns())
    with streaming(engine, settings, stand_in("deaf")) as stream:
        request_stop(engine, "nq", "test", now_ns=clock.now_ns())
        said = []
        for progress in watch(stream, engine, clock=clock, poll_seconds=0.02):
            if progress.said:
                said.append(progress.said)
            clock.advance_to(clock.now_ns() + 10 * SECOND)
        run = close_run(stream, engine, now_ns=clock.now_ns())

    assert [words.rpartition(": ")[2] for words in said] == ["sent SIGTERM", "killed it"]
    assert run.status == "failed"
    assert run.error is not None
    assert "exit code -9" in run.error


def test_a_child_that_breaks_leaves_its_last_word_in_the_row(
    engine: Engine, settings: Settings, stand_in: Write
) -> None:
    with streaming(engine, settings, stand_in("breaks")) as stream:
        for _ in watch(stream, engine, clock=CLOCK, poll_seconds=0.05):
            pass
        run = close_run(stream, engine, now_ns=CLOCK.now_ns())

    assert run.status == "failed"
    assert run.error is not None
    assert "exit code 3: no room left on the disk; see" in run.error
    assert str(stream.log) in run.error


def test_a_second_start_of_a_shard_is_refused_and_another_shard_is_not(
    engine: Engine, settings: Settings, stand_in: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IFD_SHARDS__ES__PARENTS", '["ES.OPT"]')
    command = stand_in("well behaved")
    with streaming(engine, settings, command) as first:
        with pytest.raises(AlreadyStreamingError, match=str(first.process.pid)):
            start_stream(
                engine, settings, now_ns=CLOCK.now_ns(), session_date="2026-11-24", command=command
            )
        with streaming(engine, settings_of("es"), command) as second:
            assert read_run(engine, second.run_id).shard == "es"
            assert second.run_id != first.run_id


def test_a_start_without_a_program_frees_the_shard(engine: Engine, settings: Settings) -> None:
    with pytest.raises(FileNotFoundError):
        start_stream(
            engine, settings, now_ns=1, session_date="2026-11-24", command=("/no/such/program",)
        )

    run = read_run(engine, 1)
    assert run.active_shard is None
    assert run.status == "failed"


def test_a_child_that_is_asked_by_signal_drains(
    engine: Engine, settings: Settings, stand_in: Write
) -> None:
    with streaming(engine, settings, stand_in("well behaved")) as stream:
        assert ask_to_drain(stream.process, wait_seconds=10)

        assert close_run(stream, engine, now_ns=CLOCK.now_ns()).status == "drained"


def test_a_child_that_needs_longer_is_not_killed_by_asking(
    engine: Engine, settings: Settings, stand_in: Write
) -> None:
    with streaming(engine, settings, stand_in("deaf")) as stream:
        assert not ask_to_drain(stream.process, wait_seconds=0.3)

        assert psutil.Process(stream.process.pid).is_running()


def test_a_database_that_is_away_does_not_end_the_watch(
    engine: Engine, settings: Settings, stand_in: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlalchemy as sa

    calls = []

    def read_or_fail(engine: Engine, run_id: int) -> StreamRunRow:
        calls.append(run_id)
        if len(calls) == 1:
            raise sa.exc.OperationalError("select", {}, OSError("database is locked"))
        return read_run(engine, run_id)

    with streaming(engine, settings, stand_in("well behaved")) as stream:
        monkeypatch.setattr(supervisor, "read_run", read_or_fail)
        request_stop(engine, "nq", "test", now_ns=CLOCK.now_ns())
        first, *_ = list(watch(stream, engine, clock=CLOCK, poll_seconds=0.05))

    assert first.run is None
    assert first.said is not None
    assert "database is locked" in first.said
