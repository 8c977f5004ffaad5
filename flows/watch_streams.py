"""Every minute of the session: notice a stream that died, say so, start it again."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from ifd.clock import SystemClock
from models.database import require_current
from runtime.market_hours import new_york
from runtime.supervisor import settings_of
from tasks.watching import look_after_streams


def name_run() -> str:
    """Return the run's name in the UI: `watchdog Tue 2026-11-24 10:31 EST`."""
    return f"watchdog {new_york(SystemClock().now_ns())}"


@flow(name="ifd-watchdog", flow_run_name=name_run)
def watch_streams(profile: str | None = None) -> State[None]:
    """End dead streams and what they left, tell operators, and start them again in market hours.

    Args:
        profile: Settings profile; empty takes IFD_PROFILE, or default.
    """
    settings = settings_of(None, profile=profile)
    require_current(settings.database_url)
    done = look_after_streams(settings)
    if done:
        return Completed(name="Acted", message="; ".join(done))
    return Completed(message="every stream is well, or was asked to end")
