"""Validations as tasks. Great Expectations is loaded where one runs, not where a flow is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from prefect import get_run_logger, task
from prefect.artifacts import create_link_artifact
from prefect.runtime import flow_run
from sqlalchemy.engine import Engine
from sqlmodel import Session

from config.settings import Settings
from ifd.clock import SystemClock
from models.base import make_engine
from models.operations import StreamRunRow
from models.runs import active_run, active_runs
from runtime.supervisor import settings_of
from tasks.artifacts import progress, publish, publish_table

if TYPE_CHECKING:
    from models.quality import QualityResultRow
    from tasks.quality.runs import Checked


def streaming_shards(engine: Engine, shard: str | None) -> list[str]:
    """Return the shards that stream now, all or the one that is named."""
    with Session(engine) as session:
        shards = [run.shard for run in active_runs(session)]
    return [one for one in shards if shard in (None, one)]


@task(name="check session", task_run_name="check {shard} {date}", persist_result=False)
def validate_session(date: str, *, shard: str, profile: str) -> Checked:
    """Check a whole session and store what was found; a repeat finds the same.

    Raises
    ------
    NothingArchivedError
        If nothing of the session was ever archived.
    """
    from tasks.quality.runs import check_session, headline

    settings = settings_of(shard, profile=profile)
    engine = make_engine(settings.database_url)
    try:
        with progress("quality-progress", f"Archive of shard {shard}, {date}") as advance:
            checked = check_session(
                settings,
                engine,
                date,
                clock=SystemClock(),
                link=_page(settings),
                on_share=_in_percents(advance),
            )
    finally:
        engine.dispose()
    _publish(checked, headline(checked))
    return checked


@task(name="check stream", task_run_name="check stream of {shard}", persist_result=False)
def validate_stream(*, shard: str, profile: str) -> Checked | None:
    """Check the last minutes of a running stream; None when it has ended meanwhile."""
    from tasks.quality.runs import check_stream, headline

    settings = settings_of(shard, profile=profile)
    engine = make_engine(settings.database_url)
    try:
        run = _live_run(engine, shard)
        if run is None:
            return None
        checked = check_stream(settings, engine, run, clock=SystemClock(), link=_page(settings))
    finally:
        engine.dispose()
    _publish(checked, headline(checked))
    return checked


def sentence(checked: Checked) -> str:
    """Return what was found, with the shard and session it was found in."""
    from tasks.quality.runs import headline

    return f"{checked.shard} {checked.session_date}: {headline(checked)}"


def _live_run(engine: Engine, shard: str) -> StreamRunRow | None:
    with Session(engine) as session:
        return active_run(session, shard)


def _page(settings: Settings) -> str | None:
    return settings.prefect.flow_run_page(flow_run.id)


def _publish(checked: Checked, headline: str) -> None:
    get_run_logger().info("%s", headline)
    key = f"quality-{checked.shard}"
    publish_table(key, result_rows(checked.results), description=headline)
    if (docs := checked.docs) is not None:
        publish(
            lambda: create_link_artifact(
                docs.as_uri(),
                link_text="Data Docs",
                key=f"{key}-docs",
                description="Every check with its measures, on the machine that made it",
            )
        )


def result_rows(results: Sequence[QualityResultRow]) -> list[dict[str, str]]:
    """Return results as people read them, what failed first."""
    ordered = sorted(results, key=lambda row: row.success)
    return [
        {
            "suite": row.suite,
            "batch": row.batch,
            "check": row.check_name,
            "severity": row.severity,
            "result": "passed" if row.success else row.error or "failed",
            "rows": "" if row.elements is None else f"{row.elements:,}",
            "failed": "" if row.unexpected is None else f"{row.unexpected:,}",
            "found": row.observed,
        }
        for row in ordered
    ]


def _in_percents(advance: Callable[[float], None]) -> Callable[[float], None]:
    """Return `advance` that is called at each whole per cent only: each call asks the server."""
    told = -1

    def on_share(share: float) -> None:
        nonlocal told
        if int(100 * share) > told:
            told = int(100 * share)
            advance(share)

    return on_share
