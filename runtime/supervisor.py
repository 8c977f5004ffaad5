"""Start a stream as a child process, watch its row, and see to it that it ends.

The child owns the data; the supervisor owns its lifetime. They meet in the run's row and in
signals, nowhere else, so the same supervisor serves the Prefect flow and `ifd up --no-prefect`,
and a killed supervisor costs no record: the kernel tells the child, which drains by itself.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session

from config.settings import Settings, load_settings
from ifd.clock import Clock
from ifd.units import NANOS_PER_SECOND
from models.operations import StreamRunRow
from models.runs import claim_run, end_run, request_stop
from runtime.children import tie_to_parent
from runtime.log_tail import last_line

STREAM_COMMAND: Final = (sys.executable, "-m", "runtime.stream")
POLL_SECONDS: Final = 1.0
CLOSE_GRACE_NS: Final = 60 * NANOS_PER_SECOND
"""The market-close deployment has this long to ask first; then the stream stops by its clock."""
DRAIN_LIMIT_NS: Final = 120 * NANOS_PER_SECOND
"""A child that was asked and still runs after this is told by SIGTERM, then by SIGKILL."""
KILL_AFTER_NS: Final = 30 * NANOS_PER_SECOND


@dataclasses.dataclass(frozen=True, slots=True)
class RunningStream:
    """A claimed run, the child that serves it, and the child's log."""

    run_id: int
    process: subprocess.Popen[bytes]
    log: Path


def settings_of(shard: str | None, *, profile: str | None = None) -> Settings:
    """Return the settings in force, for another shard when one is named.

    Raises
    ------
    ConfigurationError
        If that shard is not configured.
    """
    settings = load_settings(profile=profile)
    return settings.of_shard(shard) if shard else settings


def start_stream(
    engine: Engine,
    settings: Settings,
    *,
    now_ns: int,
    session_date: str,
    flow_run_id: str | None = None,
    command: Sequence[str] = STREAM_COMMAND,
    environment: Mapping[str, str] | None = None,
) -> RunningStream:
    """Take the shard's row and start the child that serves it.

    Raises
    ------
    AlreadyStreamingError
        If a live run holds the shard.
    """
    row = StreamRunRow(
        shard=settings.feed.shard,
        source=settings.source,
        profile=settings.profile,
        params_fingerprint=settings.engine_params().fingerprint(),
        session_date=session_date,
        status="starting",
        host=platform.node(),
        flow_run_id=flow_run_id,
        started_ns=now_ns,
        heartbeat_ns=now_ns,
    )
    run_id = claim_run(engine, row, now_ns=now_ns)
    log = settings.log_directory.absolute() / f"stream-{run_id}.log"
    try:
        process = spawn_stream(run_id, settings, log=log, command=command, environment=environment)
    except OSError as error:
        end_run(engine, run_id, status="failed", now_ns=now_ns, error=f"no process: {error}")
        raise
    return RunningStream(run_id, process, log)


def spawn_stream(
    run_id: int,
    settings: Settings,
    *,
    log: Path,
    command: Sequence[str] = STREAM_COMMAND,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start the stream of a claimed run in a process session of its own.

    The child inherits the environment (settings and secrets come that way, never through
    arguments) and gets SIGTERM from the kernel when this process dies. Call it from a thread that
    lives as long as the process: on Linux the child is tied to the thread that starts it.

    Parameters
    ----------
    environment : mapping, optional
        What the child gets beyond this process's own.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = ("--run-id", str(run_id), "--profile", settings.profile)
    # The URL may hold a password, and a list of processes shows arguments to everybody.
    given = {
        "IFD_DATABASE_URL": settings.database_url,
        "IFD_FEED__SHARD": settings.feed.shard,
        "IFD_FEED__PARENTS": json.dumps(settings.feed.parents),
        "IFD_FEED__FUTURES": json.dumps(settings.feed.futures),
        "PYTHONUNBUFFERED": "1",
    }
    with log.open("ab") as file:
        return subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {}), **given},
            start_new_session=True,
            preexec_fn=tie_to_parent,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """What the supervisor saw: `run` is None while the database cannot be read."""

    run: StreamRunRow | None
    said: str | None = None


def watch(
    stream: RunningStream,
    engine: Engine,
    *,
    clock: Clock,
    closes_ns: int | None = None,
    poll_seconds: float = POLL_SECONDS,
) -> Iterator[Progress]:
    """Give the run's state about every `poll_seconds` until the child has ended.

    Stops the stream by the session's clock when nobody else does, and ends a child that was asked
    and does not drain. A database that is away is waited for: the child may be fine.

    Parameters
    ----------
    closes_ns : int, optional
        End of the session, ns UTC; None when only a request or a signal may end the stream.
    """
    process = stream.process
    told: set[str] = set()
    while process.poll() is None:
        try:
            run = read_run(engine, stream.run_id)
            said = _hurry(process, engine, run, clock.now_ns(), closes_ns, told)
            yield Progress(run, said)
        except sa.exc.OperationalError as error:
            yield Progress(None, f"the run's row cannot be read ({error.orig}); the stream goes on")
        try:
            process.wait(timeout=poll_seconds)
        except subprocess.TimeoutExpired:
            continue


def _hurry(
    process: subprocess.Popen[bytes],
    engine: Engine,
    run: StreamRunRow,
    now_ns: int,
    closes_ns: int | None,
    told: set[str],
) -> str | None:
    """Take the next step towards the end when it is due; return what was done."""
    asked_ns = run.stop_requested_ns or run.ended_ns
    if asked_ns is None:
        if closes_ns is None or now_ns < closes_ns + CLOSE_GRACE_NS:
            return None
        request_stop(engine, run.shard, "the session has closed", now_ns=now_ns)
        return "the session has closed and nobody asked the stream to stop: asked it"
    waited_ns = now_ns - asked_ns
    late = f"the stream has not ended {waited_ns // NANOS_PER_SECOND} s after it should"
    if waited_ns >= DRAIN_LIMIT_NS + KILL_AFTER_NS and "SIGKILL" not in told:
        told.add("SIGKILL")
        process.kill()
        return f"{late}: killed it"
    if waited_ns >= DRAIN_LIMIT_NS and "SIGTERM" not in told:
        told.add("SIGTERM")
        process.terminate()
        return f"{late}: sent SIGTERM"
    return None


def ask_to_drain(process: subprocess.Popen[bytes], *, wait_seconds: float) -> bool:
    """Send SIGTERM and wait; return True when the child has ended.

    It is not killed: a child that needs longer goes on draining after its supervisor has gone.
    """
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=wait_seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def read_run(engine: Engine, run_id: int) -> StreamRunRow:
    """Return the run's row as it is now, detached from any session."""
    with Session(engine, expire_on_commit=False) as session:
        return session.get_one(StreamRunRow, run_id)


def close_run(stream: RunningStream, engine: Engine, *, now_ns: int) -> StreamRunRow:
    """Return the final row of a child that has ended; a row it left open is ended as failed."""
    code = stream.process.wait()
    if read_run(engine, stream.run_id).active_shard is not None:
        words = last_line(stream.log) or "it left no word"
        error = f"its process ended with exit code {code}: {words}; see {stream.log}"
        end_run(engine, stream.run_id, status="failed", now_ns=now_ns, error=error)
    return read_run(engine, stream.run_id)
