"""The stream's singleton row: claim it, beat in it, ask it to stop, end it.

The row is the truth about a running stream: Prefect's states are not (a killed worker leaves them
at Running). A claim is refused while another run of the shard beats; a run whose heart stopped and
whose process is gone is ended as failed, and the claim goes through.
"""

from __future__ import annotations

import platform
from typing import Final

import psutil
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, func, select

from ifd.errors import AlreadyStreamingError
from ifd.units import NANOS_PER_SECOND
from models.base import transaction
from models.operations import HealthSampleRow, StreamRunRow

STALE_AFTER_NS: Final = 15 * NANOS_PER_SECOND
GONE_AFTER_NS: Final = 60 * NANOS_PER_SECOND
"""A process of another machine cannot be looked for; so long a silence is believed."""


def claim_run(engine: Engine, run: StreamRunRow, *, now_ns: int) -> int:
    """Insert `run` as the one live run of its shard and return its id.

    Raises
    ------
    AlreadyStreamingError
        If another run of the shard is alive.
    """
    run.active_shard = run.shard
    try:
        with transaction(engine) as session:
            active = session.exec(
                select(StreamRunRow).where(StreamRunRow.active_shard == run.shard)
            ).first()
            if active is not None:
                if not is_stale(active, now_ns=now_ns):
                    raise AlreadyStreamingError(run.shard, active.pid)
                _end(active, "failed", "its process was gone and its heart had stopped", now_ns)
                session.flush()
            session.add(run)
            session.flush()
            assert run.id is not None
            return run.id
    except sa.exc.IntegrityError as error:  # another claim won between our look and our insert
        raise AlreadyStreamingError(run.shard, None) from error


def is_stale(run: StreamRunRow, *, now_ns: int) -> bool:
    """Return True when the run has no heartbeat and no process any more."""
    silence_ns = now_ns - run.heartbeat_ns
    if silence_ns < STALE_AFTER_NS:
        return False
    if not is_local(run):
        return silence_ns >= GONE_AFTER_NS
    return run.pid is None or not psutil.pid_exists(run.pid)


def is_local(run: StreamRunRow) -> bool:
    """Return True when the run's process is one of this machine."""
    return run.host in ("", platform.node())


def active_runs(session: Session) -> list[StreamRunRow]:
    """Return the live runs of all shards."""
    return list(
        session.exec(
            select(StreamRunRow)
            .where(col(StreamRunRow.active_shard).is_not(None))
            .order_by(col(StreamRunRow.id))
        )
    )


def newest_runs(session: Session, session_date: str) -> list[StreamRunRow]:
    """Return the newest run of every shard that streamed in a session."""
    newest = (
        select(func.max(StreamRunRow.id))
        .where(StreamRunRow.session_date == session_date)
        .group_by(col(StreamRunRow.shard))
    )
    return list(session.exec(select(StreamRunRow).where(col(StreamRunRow.id).in_(newest))))


def active_run(session: Session, shard: str) -> StreamRunRow | None:
    """Return the live run of `shard`, or None."""
    return session.exec(select(StreamRunRow).where(StreamRunRow.active_shard == shard)).first()


def latest_run(session: Session) -> StreamRunRow | None:
    """Return the newest run of any shard, or None."""
    return session.exec(select(StreamRunRow).order_by(col(StreamRunRow.id).desc())).first()


def living_runs(session: Session, *, now_ns: int) -> set[int]:
    """Return the ids of the runs, of whatever shard, that may still write."""
    rows = active_runs(session)
    return {row.id for row in rows if row.id is not None and not is_stale(row, now_ns=now_ns)}


def first_started_ns(session: Session, shard: str) -> int | None:
    """Return when the first run ever of `shard` started, or None."""
    return session.exec(
        select(func.min(StreamRunRow.started_ns)).where(StreamRunRow.shard == shard)
    ).one()


def request_stop(engine: Engine, shard: str, reason: str, *, now_ns: int) -> int | None:
    """Set the stop flag of the live run of `shard`; return its id, or None when nothing runs."""
    with transaction(engine) as session:
        run = active_run(session, shard)
        if run is None:
            return None
        if run.stop_requested_ns is None:
            run.stop_requested_ns = now_ns
            run.stop_reason = reason
            session.add(run)
        return run.id


def end_run(
    engine: Engine, run_id: int, *, status: str, now_ns: int, error: str | None = None
) -> None:
    """Mark a run as over (`drained` or `failed`); a run that is over already is left as it is."""
    with transaction(engine) as session:
        end_run_in(session, run_id, status=status, now_ns=now_ns, error=error)


def end_run_in(
    session: Session, run_id: int, *, status: str, now_ns: int, error: str | None = None
) -> bool:
    """Do what `end_run` does in a transaction of the caller's; return whether the run lived."""
    run = session.get(StreamRunRow, run_id)
    if run is None or run.active_shard is None:
        return False
    _end(run, status, error, now_ns)
    session.add(run)
    return True


def forget_health(engine: Engine, *, before_ns: int) -> int:
    """Delete health samples taken before `before_ns`, ns UTC; return how many there were.

    A stream writes one a second: a year of them would outgrow everything else in the database.
    """
    with transaction(engine) as session:
        done = session.connection().execute(
            sa.delete(HealthSampleRow).where(col(HealthSampleRow.ts_ns) < before_ns)
        )
    return done.rowcount


def _end(run: StreamRunRow, status: str, error: str | None, now_ns: int) -> None:
    run.active_shard = None
    run.status = status
    run.error = error
    run.ended_ns = now_ns
