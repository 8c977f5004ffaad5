"""Fill what is missing, within the budget: in session, after it, and when a gap was found."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from pydantic import PositiveInt

from ifd.clock import SystemClock
from ifd.errors import BackfillBusyError
from ifd.sessions import session_date as trading_date
from models.database import require_current
from runtime.backfill.reports import request_words
from runtime.supervisor import settings_of
from tasks.gaps import fill_shard, publish_backfill


def name_run() -> str:
    """Return the run's name in the UI: `backfill nq 2026-11-24`."""
    asked = flow_run.parameters
    date = asked.get("session_date") or trading_date(SystemClock().now_ns())
    return f"backfill {asked.get('shard') or 'of all shards'} {date}"


@flow(name="ifd-backfill", flow_run_name=name_run)
def fill_gaps(
    shard: str | None = None,
    profile: str | None = None,
    days: PositiveInt = 5,
    session_date: str | None = None,
) -> State[None]:
    """Fill holes, the most urgent first, and make anew what they touched.

    Args:
        shard: Fill the holes of this shard only; empty fills those of every one.
        profile: Settings profile; empty takes IFD_PROFILE, or default.
        days: Fill holes of the newest so many sessions.
        session_date: Fill holes of this session alone, YYYY-MM-DD; empty for the newest.
    """
    settings = settings_of(shard, profile=profile)
    require_current(settings.database_url)
    date = session_date or None
    done, busy = [], []
    for name in [shard] if shard else settings.shard_names:
        try:
            done += fill_shard(name, profile=settings.profile, days=days, session_date=date)
        except BackfillBusyError as error:
            busy.append(str(error))
    if not done and busy:
        return Completed(name="AlreadyFilling", message="; ".join(busy))
    if not done:
        return Completed(name="NothingToFill", message="no hole was due")
    told = "; ".join([request_words(done), *busy])
    publish_backfill(done, description=told)
    if any(request.state == "given-up" for request in done):
        return Failed(message=told)
    return Completed(message=told)
