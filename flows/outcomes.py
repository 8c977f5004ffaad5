"""After the close: what the market did after each of the day's signals."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from ifd.clock import SystemClock
from ifd.sessions import session_date
from models.database import require_current
from runtime.supervisor import settings_of
from tasks.outcomes import measure_session, publish_session


def name_run() -> str:
    """Return the run's name in the UI: `outcomes nq 2026-11-24`."""
    given = flow_run.parameters
    settings = settings_of(given.get("shard"))
    return f"outcomes {settings.feed.shard} {given.get('date') or _today()}"


@flow(name="ifd-outcomes", flow_run_name=name_run)
def measure_outcomes(
    date: str | None = None, shard: str | None = None, profile: str | None = None
) -> State[None]:
    """Measure the mid of option and future 1, 5, 15 and 60 minutes after each signal of a session.

    Args:
        date: Trading date, as 2026-11-24; empty takes the one that runs or has just closed.
        shard: Whose archive to replay; empty takes the shard of the settings (nq).
        profile: Settings profile; empty takes IFD_PROFILE, or default.
    """
    settings = settings_of(shard, profile=profile)
    require_current(settings.database_url)
    day = date or _today()
    where = {"shard": settings.feed.shard, "profile": settings.profile}
    measured = measure_session(day, **where)
    if not measured.signals:
        return Completed(name="NothingToMeasure", message=f"no signal of {day} is stored")
    told = (
        f"{measured.signals:,} signals of {day}: {measured.rows - measured.missing:,} of "
        f"{measured.rows:,} outcomes are known"
    )
    publish_session(day, **where, description=told)
    return Completed(message=told)


def _today() -> str:
    return session_date(SystemClock().now_ns())
