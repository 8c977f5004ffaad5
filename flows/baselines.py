"""Nightly: what is usual for each instrument and time of day, and whether all are watched."""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from ifd.clock import SystemClock
from ifd.sessions import session_date
from models.base import make_engine
from models.database import require_current
from runtime.session_parts import by_session
from runtime.supervisor import settings_of
from tasks.artifacts import publish_table
from tasks.baselines import choose_sessions, compute_sessions, coverage, merge_sessions
from tasks.parents import check_parents
from tasks.runners import task_runner


def name_run() -> str:
    """Return the run's name in the UI: `baselines nq 2026-11-24`."""
    settings = settings_of(flow_run.parameters.get("shard"))
    return f"baselines {settings.feed.shard} {session_date(SystemClock().now_ns())}"


@flow(name="ifd-baselines", flow_run_name=name_run, task_runner=task_runner())
def rebuild_baselines(
    shard: str | None = None,
    profile: str | None = None,
    files: list[str] | None = None,
    definitions: list[str] | None = None,
) -> State[None]:
    """Rebuild the baselines of one profile from whole sessions.

    Args:
        shard: Whose archive to read; empty takes the shard of the settings (nq).
        profile: Settings profile; empty takes IFD_PROFILE, or default.
        files: DBN files to use instead of the archive's newest sessions.
        definitions: DBN files that define the instruments; empty when the files do so themselves.
    """
    settings = settings_of(shard, profile=profile)
    require_current(settings.database_url)
    engine = make_engine(settings.database_url)
    drift = check_parents(shard=settings.feed.shard, profile=settings.profile)
    if files:
        sessions = by_session(map(Path, files), [Path(each) for each in definitions or ()])
    else:
        sessions = choose_sessions(engine, settings)
    if not sessions:
        reason = f"the archive of shard {settings.feed.shard} holds no whole session yet"
        return Completed(name="NothingToLearnFrom", message=reason)
    where = {"shard": settings.feed.shard, "profile": settings.profile}
    made = merge_sessions(compute_sessions(sessions, **where), **where)
    if not made.rows:
        reason = f"{made.records:,} records held no window of a defined option"
        return Completed(name="NothingToLearnFrom", message=reason)
    told = (
        f"{made.rows:,} baselines of {made.keys:,} strikes and peer groups from "
        f"{len(made.sessions)} sessions until {made.as_of} ({made.records:,} records)"
    )
    told = f"{drift}. {told}" if drift else told
    publish_table("baselines", coverage(engine, settings), description=told)
    return Completed(message=told)
