"""After the close: check everything of the session, before anything is learnt from it."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from ifd.clock import SystemClock
from ifd.errors import NothingArchivedError
from ifd.sessions import session_date
from models.database import require_current
from runtime.supervisor import settings_of
from tasks.validations import sentence, validate_session


def name_run() -> str:
    """Return the run's name in the UI: `session quality nq 2026-11-24`."""
    given = flow_run.parameters
    settings = settings_of(given.get("shard"))
    date = given.get("date") or session_date(SystemClock().now_ns())
    return f"session quality {settings.feed.shard} {date}"


@flow(name="ifd-session-quality", flow_run_name=name_run)
def check_session_quality(
    shard: str | None = None, profile: str | None = None, date: str | None = None
) -> State[None]:
    """Check archive, tables, signals and coverage of one session; close or open its gate.

    Args:
        shard: Whose session; empty takes the shard of the settings (nq).
        profile: Settings profile; empty takes IFD_PROFILE, or default.
        date: Session date, as 2026-11-24; empty takes that of now.
    """
    settings = settings_of(shard, profile=profile)
    require_current(settings.database_url)
    chosen = date or session_date(SystemClock().now_ns())
    try:
        checked = validate_session(chosen, shard=settings.feed.shard, profile=settings.profile)
    except NothingArchivedError as error:
        return Completed(name="NothingToCheck", message=str(error))
    if checked.has_failed:
        return Failed(message=sentence(checked))
    return Completed(message=sentence(checked))
