"""Stop a running stream from another process: ask, wait, escalate, and verify that it has gone.

The order is the flag in the run's row (the stream drains as long as it needs), then SIGTERM to its
process, then SIGKILL; each step is said. A process id is believed only while its command line still
names the run: ids are used again.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Final, Literal

import psutil
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from ifd.clock import Clock
from ifd.units import NANOS_PER_SECOND
from models.operations import StreamRunRow
from models.runs import end_run
from runtime.supervisor import read_run

Outcome = Literal["drained", "failed", "terminated", "killed"]
POLL_SECONDS: Final = 0.25
LAST_WAIT_SECONDS: Final = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Stopped:
    """How a run ended: by itself after the flag, after SIGTERM, or killed."""

    run: StreamRunRow
    outcome: Outcome
    seconds: float


def stop_and_verify(
    engine: Engine,
    run_id: int,
    *,
    clock: Clock,
    grace_seconds: float,
    kill_after_seconds: float,
    say: Callable[[str], None],
) -> Stopped:
    """Wait for a run whose stop flag is set until its process has gone, escalating on the way.

    Parameters
    ----------
    grace_seconds : float
        How long it may drain after the flag before SIGTERM.
    kill_after_seconds : float
        How long it may drain after SIGTERM before SIGKILL.
    say : callable
        Gets a sentence for every step beyond the flag.
    """
    begun = time.monotonic()
    outcome: Outcome | None = None
    if not _wait_gone(engine, run_id, grace_seconds):
        say(f"run {run_id} has not drained after {grace_seconds:.0f} s: sending SIGTERM")
        outcome = "terminated"
        _signal(engine, run_id, psutil.Process.terminate)
        if not _wait_gone(engine, run_id, kill_after_seconds):
            say(f"run {run_id} still runs {kill_after_seconds:.0f} s later: sending SIGKILL")
            outcome = "killed"
            _signal(engine, run_id, psutil.Process.kill)
            _wait_gone(engine, run_id, LAST_WAIT_SECONDS)
    _end_what_was_left(engine, run_id, clock, say)
    run = read_run(engine, run_id)
    if outcome is None:
        outcome = "drained" if run.status == "drained" else "failed"
    return Stopped(run, outcome, time.monotonic() - begun)


def running_shards(engine: Engine) -> list[str]:
    """Return the shards that have a live run, in order."""
    with Session(engine) as session:
        shards = session.exec(select(StreamRunRow.active_shard)).all()
    return sorted(shard for shard in shards if shard is not None)


def process_of(run: StreamRunRow) -> psutil.Process | None:
    """Return the process of a run, or None when it has gone or its id serves another program."""
    if run.pid is None:
        return None
    try:
        process = psutil.Process(run.pid)
        command = process.cmdline()
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
    except psutil.NoSuchProcess:
        return None
    wanted = ["--run-id", str(run.id)]
    names_run = any(command[i : i + 2] == wanted for i in range(len(command)))
    return process if names_run else None


def _wait_gone(engine: Engine, run_id: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        run = read_run(engine, run_id)
        # A run that was just claimed has no process id yet: its row alone says that it lives.
        starting = run.active_shard is not None and run.pid is None
        if not starting and process_of(run) is None:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)


def _signal(engine: Engine, run_id: int, send: Callable[[psutil.Process], None]) -> None:
    process = process_of(read_run(engine, run_id))
    if process is None:
        return
    try:
        send(process)
    except psutil.NoSuchProcess:
        return


def _end_what_was_left(
    engine: Engine, run_id: int, clock: Clock, say: Callable[[str], None]
) -> None:
    run = read_run(engine, run_id)
    if run.active_shard is None or process_of(run) is not None:
        return
    say(f"run {run_id} has no process any more and left its row open: ended it as failed")
    age = (clock.now_ns() - run.heartbeat_ns) // NANOS_PER_SECOND
    end_run(
        engine,
        run_id,
        status="failed",
        now_ns=clock.now_ns(),
        error=f"its process was gone; the last heartbeat was {age} s before",
    )
