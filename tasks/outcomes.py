"""Outcomes: measure a session's signals, score and show them."""

from __future__ import annotations

from prefect import get_run_logger, task
from sqlmodel import Session

from evaluation.outcomes import score_outcomes
from evaluation.plots import draw_outcomes
from evaluation.results import drawn
from evaluation.tables import outcome_rows
from ifd.clock import SystemClock
from models.base import make_engine
from models.outcomes import read_outcomes
from runtime.outcomes import Measured
from runtime.outcomes import measure_outcomes as measure
from runtime.supervisor import settings_of
from tasks.artifacts import publish_picture, publish_table
from tasks.baselines import is_worth_repeating


@task(
    name="outcomes of a session",
    task_run_name="outcomes of {date}",
    retries=2,
    retry_delay_seconds=[30, 120],
    retry_condition_fn=is_worth_repeating,
    persist_result=False,
)
def measure_session(date: str, *, shard: str, profile: str) -> Measured:
    """Replay one session's archive and store its outcomes; a repeat changes nothing."""
    settings = settings_of(shard, profile=profile)
    engine = make_engine(settings.database_url)
    try:
        measured = measure(settings, engine, date, clock=SystemClock())
    finally:
        engine.dispose()
    get_run_logger().info(
        "%s: %d signals, %d outcomes, %d of them not known",
        measured.session_date,
        measured.signals,
        measured.rows,
        measured.missing,
    )
    return measured


def publish_session(date: str, *, shard: str, profile: str, description: str) -> None:
    """Publish the scores of what is stored for a session: a table and a plot."""
    engine = make_engine(settings_of(shard, profile=profile).database_url)
    try:
        with Session(engine) as session:
            scores = score_outcomes(read_outcomes(session, [date]))
    finally:
        engine.dispose()
    publish_table("outcomes", outcome_rows(scores), description=description)
    picture = drawn(lambda file: draw_outcomes(scores, file))
    publish_picture("outcomes-plot", picture, "png", description=description)
