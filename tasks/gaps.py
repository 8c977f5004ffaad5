"""Gaps: look for them, tell who can fill them, fill them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prefect import get_run_logger, task
from prefect.events import emit_event

from ifd.clock import SystemClock
from models.base import make_engine
from models.money import BackfillRequestRow
from runtime.backfill.reports import ShardScan, gap_rows, request_rows
from runtime.backfill.worker import ENDED, Backfill
from runtime.gap_scan import SessionGaps, count_gaps, scan_gaps
from runtime.supervisor import settings_of
from tasks.artifacts import progress, publish_table

TABLE_ROWS: Final = 200
"""A page shows no longer table; the database has all of it."""
FOUND_EVENT = "ifd.gap.found"
"""An automation starts the backfill of the shard that it names."""


@task(
    name="look for gaps",
    task_run_name="gaps of {shard}",
    retries=2,
    retry_delay_seconds=[10, 60],
    persist_result=False,
)
def scan_shard(
    shard: str, *, profile: str, days: int, session_date: str | None, compare_counts: bool
) -> ShardScan:
    """Reconcile the gaps of a shard, and hold it against history; a repeat adds nothing."""
    settings, clock = settings_of(shard, profile=profile), SystemClock()
    engine = make_engine(settings.database_url)

    def scan() -> list[SessionGaps]:
        now_ns = clock.now_ns()
        return scan_gaps(settings, engine, shard=shard, now_ns=now_ns, date=session_date, days=days)

    try:
        sessions, notes = scan(), []
        if compare_counts:
            with progress(
                f"gaps-{shard}", f"Sessions of shard {shard} held against history"
            ) as done:
                notes = count_gaps(settings, engine, sessions, clock=clock, advance=done)
            sessions = scan()
        due = Backfill(settings, engine, clock=clock).due(sessions)
    finally:
        engine.dispose()
    return ShardScan(shard, tuple(sessions), due, tuple(notes))


def tell_of_holes(scan: ShardScan, *, days: int, session_date: str | None) -> None:
    """Emit the event that starts the backfill, when there is a hole that can be filled now."""
    if scan.due:
        emit_event(
            event=FOUND_EVENT,
            resource={"prefect.resource.id": f"ifd.shard.{scan.shard}"},
            payload={
                "shard": scan.shard,
                "holes": scan.due,
                "days": days,
                # Empty, not None: the automation makes a text of it.
                "session_date": session_date or "",
            },
        )


@task(
    name="fill gaps",
    task_run_name="fill gaps of {shard}",
    retries=1,
    retry_delay_seconds=30,
    persist_result=False,
)
def fill_shard(
    shard: str, *, profile: str, days: int, session_date: str | None
) -> list[BackfillRequestRow]:
    """Fill the holes of a shard that are due, showing how far it is; a repeat goes on.

    Raises
    ------
    BackfillBusyError
        If another process is at it.
    """
    settings, clock = settings_of(shard, profile=profile), SystemClock()
    engine, logger = make_engine(settings.database_url), get_run_logger()
    ended = 0
    with progress(f"backfill-{shard}", f"Holes of shard {shard}") as advance:

        def note(request: BackfillRequestRow) -> None:
            nonlocal ended
            logger.info("Hole %s is %s%s", request.id, request.state, _reason(request))
            ended += request.state in ENDED
            advance(min(1.0, ended / max(due, 1)))

        work = Backfill(settings, engine, clock=clock, on_step=note)
        due = work.due(
            scan_gaps(
                settings, engine, shard=shard, now_ns=clock.now_ns(), date=session_date, days=days
            )
        )
        try:
            return work.run(date=session_date, days=days)
        finally:
            engine.dispose()


def publish_gaps(scans: Sequence[ShardScan], *, description: str) -> None:
    """Publish the gaps that a scan found, open ones first."""
    publish_table("gaps", gap_rows(scans, at_most=TABLE_ROWS), description=description)


def publish_backfill(requests: Sequence[BackfillRequestRow], *, description: str) -> None:
    """Publish how each hole was filled, and what it has cost."""
    publish_table("backfill", request_rows(requests[:TABLE_ROWS]), description=description)


def _reason(request: BackfillRequestRow) -> str:
    return f": {request.error}" if request.error else ""
