"""Stop every running stream: ask, wait, escalate, verify. Harmless when run late or twice."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import NonNegativeFloat

from ifd.clock import SystemClock
from ifd.sessions import session_date
from models.base import make_engine
from models.database import require_current
from runtime.market_hours import wait_for_close
from runtime.supervisor import settings_of
from tasks.artifacts import publish_close
from tasks.closing import ask_running_streams, stop_stream


def name_run() -> str:
    """Return the run's name in the UI: `market close 2026-11-24`."""
    return f"market close {session_date(SystemClock().now_ns())}"


@flow(name="ifd-market-close", flow_run_name=name_run)
def close_market(
    shard: str | None = None,
    only_if_closed: bool = False,
    grace_seconds: NonNegativeFloat = 60,
    kill_after_seconds: NonNegativeFloat = 30,
) -> State[None]:
    """Ask streams to drain and see that their processes have gone.

    Args:
        shard: Stop this shard only; empty stops every one that streams.
        only_if_closed: Leave streams alone while their session is open; the schedule sets it.
        grace_seconds: How long a stream may drain before SIGTERM.
        kill_after_seconds: How long it may drain after SIGTERM before SIGKILL.
    """
    settings = settings_of(shard)
    if only_if_closed:
        hours = wait_for_close(
            settings.session.hours, SystemClock(), calendar_file=settings.session.calendar_file
        )
        if hours.is_open:
            return Completed(name="SessionOpen", message=f"nothing was stopped: {hours.reason}")
    require_current(settings.database_url)
    engine = make_engine(settings.database_url)
    run_ids = ask_running_streams(engine, shard)
    if not run_ids:
        return Completed(name="NothingToStop", message="nothing to stop: no stream is running")
    stopped = [
        stop_stream(run_id, grace_seconds=grace_seconds, kill_after_seconds=kill_after_seconds)
        for run_id in run_ids
    ]
    publish_close(stopped)
    report = "; ".join(
        f"{each.run.shard} {each.outcome} in {each.seconds:.1f} s" for each in stopped
    )
    if all(each.outcome == "drained" for each in stopped):
        return Completed(message=report)
    return Failed(message=report)
