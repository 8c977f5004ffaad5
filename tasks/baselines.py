"""Baselines: choose what they are made of, make them, tell what they cover."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
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
from runtime.archived import archived_sessions, defining
from runtime.baselines import Rebuilt, rebuild
from runtime.supervisor import settings_of


def choose_files(engine: Engine, settings: Settings) -> list[Path]:
    """Return the archive's files of the newest whole sessions, as many as the profile says."""
    logger = get_run_logger()
    chosen: list[Path] = []
    shard = settings.feed.shard
    for session in archived_sessions(engine, shard, newest=settings.baseline.sessions):
        for path in session.missing:
            logger.warning("%s of %s is in the catalogue but not on the disk", path, session.date)
        chosen += session.files
    return chosen


def is_worth_repeating(
    _task: Task[..., Any],
    _run: TaskRun,
    state: State[Any],  # Any: whatever task it decorates
) -> bool:
    """Return False for input that will be as wrong the next time."""
    return not isinstance(state.result(raise_on_failure=False), InputError)


@task(
    name="rebuild baselines",
    retries=2,
    retry_delay_seconds=[30, 120],
    retry_condition_fn=is_worth_repeating,
    persist_result=False,
)
def rebuild_from(
    files: Sequence[str], definitions: Sequence[str], *, shard: str, profile: str
) -> Rebuilt:
    """Replace the baselines of a profile by those of these files; a repeat changes nothing."""
    settings = settings_of(shard, profile=profile)
    logger = get_run_logger()
    paths = [Path(each) for each in files]
    counts: dict[Path, int] = {}

    def count(path: Path, records: int) -> None:
        if path not in counts:
            logger.info("Reading %s", path)
        counts[path] = counts.get(path, 0) + records

    engine = make_engine(settings.database_url)
    try:
        return rebuild(
            paths,
            [Path(each) for each in definitions] or defining(paths),
            engine,
            settings.engine_params(),
            clock=SystemClock(),
            on_records=count,
        )
    finally:
        engine.dispose()


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
