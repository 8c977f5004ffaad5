"""Baselines: choose sessions, compute each, merge them, tell what they cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from prefect import get_run_logger, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, func

from config.settings import Settings
from ifd.baseline.keys import bucket_label
from ifd.clock import SystemClock
from ifd.errors import InputError
from ifd.pressure import PRESSURE_RATIO
from models.base import make_engine
from models.market import BaselineRow
from runtime.archived import archived_sessions, unfit_sessions
from runtime.baselines import Rebuilt, merge
from runtime.session_parts import SessionFiles, SessionPart, compute_part
from runtime.supervisor import settings_of
from tasks.artifacts import progress


def choose_sessions(engine: Engine, settings: Settings) -> list[SessionFiles]:
    """Return the archive's newest whole sessions, as many as the profile says."""
    logger = get_run_logger()
    shard = settings.feed.shard
    sessions = archived_sessions(engine, shard, newest=settings.baseline.sessions)
    for session in sessions:
        for path in session.missing:
            logger.warning("%s of %s is in the catalogue but not on the disk", path, session.date)
    for date, checks in unfit_sessions(engine, shard).items():
        logger.warning("%s is left out, its records failed: %s", date, ", ".join(checks))
    return [session.to_files() for session in sessions]


def is_worth_repeating(
    _task: Task[..., Any],
    _run: TaskRun,
    state: State[Any],  # Any: whatever task it decorates
) -> bool:
    """Return False for input that will be as wrong the next time."""
    return not isinstance(state.result(raise_on_failure=False), InputError)


@task(
    name="windows of a session",
    task_run_name="windows of {session.date}",
    retries=2,
    retry_delay_seconds=[30, 120],
    retry_condition_fn=is_worth_repeating,
    persist_result=False,
)
def compute_session(session: SessionFiles, *, shard: str, profile: str) -> SessionPart:
    """Compute one session, unless these very files were computed before; a repeat is harmless."""
    settings = settings_of(shard, profile=profile)
    part = compute_part(session, settings.engine_params(), settings.baseline.directory.absolute())
    get_run_logger().info(
        "%s: %d records, %d windows%s",
        part.date,
        part.records,
        part.windows,
        ", known already" if part.known else "",
    )
    return part


@task(name="merge sessions", retries=2, retry_delay_seconds=[30, 120], persist_result=False)
def merge_sessions(parts: Sequence[SessionPart], *, shard: str, profile: str) -> Rebuilt:
    """Replace the baselines of a profile by those of these sessions; a repeat changes nothing."""
    settings = settings_of(shard, profile=profile)
    engine = make_engine(settings.database_url)
    try:
        return merge(parts, engine, settings.engine_params(), clock=SystemClock())
    finally:
        engine.dispose()


def compute_sessions(
    sessions: Sequence[SessionFiles], *, shard: str, profile: str
) -> list[SessionPart]:
    """Compute sessions beside each other, as the flow's task runner does it; show the progress."""
    futures = [compute_session.submit(each, shard=shard, profile=profile) for each in sessions]
    parts = []
    with progress("baselines-progress", f"Sessions of shard {shard}") as advance:
        for number, future in enumerate(futures, start=1):
            parts.append(future.result())
            advance(number / len(futures))
    return parts


def coverage(engine: Engine, settings: Settings) -> list[dict[str, str]]:
    """Return, by New York time of day, how much the stored baselines rest on."""
    params = settings.engine_params()
    thin = func.sum(sa.case((col(BaselineRow.sessions) < params.baseline.min_sessions, 1), else_=0))
    query = (
        sa.select(
            col(BaselineRow.bucket),
            func.count(),
            thin,
            func.max(col(BaselineRow.sessions)),
            func.max(col(BaselineRow.samples)),
        )
        .where(col(BaselineRow.params_fingerprint) == params.baseline_fingerprint())
        .where(col(BaselineRow.metric) == PRESSURE_RATIO)
        .group_by(col(BaselineRow.bucket))
        .order_by(col(BaselineRow.bucket))
    )
    with Session(engine) as session:
        rows = session.connection().execute(query).all()
    return [
        {
            "New York time": bucket_label(bucket, params.baseline.bucket_ns),
            "strikes and peer groups": f"{keys:,}",
            f"with fewer than {params.baseline.min_sessions} sessions": f"{thin_keys:,}",
            "sessions at most": f"{sessions:,}",
            "windows at most": f"{samples:,}",
        }
        for bucket, keys, thin_keys, sessions, samples in rows
    ]
