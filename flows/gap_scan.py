"""In session and after it: hold market hours against what was received, and have holes filled."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import PositiveInt

from ifd.clock import SystemClock
from ifd.sessions import session_date as trading_date
from models.database import require_current
from runtime.backfill.reports import scan_words
from runtime.supervisor import settings_of
from tasks.gaps import publish_gaps, scan_shard, tell_of_holes


def name_run() -> str:
    """Return the run's name in the UI: `gap scan nq 2026-11-24`."""
    asked = flow_run.parameters
    date = asked.get("session_date") or trading_date(SystemClock().now_ns())
    return f"gap scan {asked.get('shard') or 'of all shards'} {date}"


@flow(name="ifd-gap-scan", flow_run_name=name_run)
def scan_market(
    shard: str | None = None,
    profile: str | None = None,
    days: PositiveInt = 1,
    session_date: str | None = None,
    compare_counts: bool = False,
) -> State[None]:
    """Find what the market had and nobody received; an event starts the backfill.

    Args:
        shard: Look at this shard only; empty looks at every one that is configured.
        profile: Settings profile; empty takes IFD_PROFILE, or default.
        days: Look at the newest so many sessions.
        session_date: Look at this session alone, YYYY-MM-DD; empty for the newest.
        compare_counts: Hold sessions that have closed against history's record counts, too; free.
    """
    settings = settings_of(shard, profile=profile)
    require_current(settings.database_url)
    date = session_date or None
    scans = [
        scan_shard(
            name,
            profile=settings.profile,
            days=days,
            session_date=date,
            compare_counts=compare_counts,
        )
        for name in ([shard] if shard else settings.shard_names)
    ]
    told = scan_words(scans)
    if not any(scan.open_gaps for scan in scans):
        return Completed(name="NothingMissing", message=told)
    publish_gaps(scans, description=told)
    for scan in scans:
        tell_of_holes(scan, days=days, session_date=date)
    return Completed(name="GapsFound", message=told)
