"""The trading day's stream: a thin supervisor that owns the lifetime of the process with the data.

Starts once per shard, only in market hours; drains on the market-close flow, on cancellation, on
SIGTERM, and by its own clock. No Prefect call and no task lies between the socket and the tables.
Parameters are described under `Args:` because that is the form Prefect's UI reads.
"""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from ifd.clock import SystemClock
from ifd.errors import AlreadyStreamingError
from ifd.sessions import session_date
from models.base import make_engine
from models.database import require_current
from runtime.market_hours import market_hours
from runtime.plots import throughput
from runtime.summary import headline, summarize
from runtime.supervisor import settings_of, start_stream
from tasks.artifacts import publish_stream
from tasks.supervision import supervise


def name_run() -> str:
    """Return the run's name in the UI: `stream nq 2026-11-24`."""
    settings = settings_of(flow_run.parameters.get("shard"))
    return f"stream {settings.feed.shard} {session_date(SystemClock().now_ns())}"


@flow(name="ifd-stream", flow_run_name=name_run)
def stream_market(
    shard: str | None = None, profile: str | None = None, force: bool = False
) -> State[None]:
    """Stream one shard until the session closes or somebody asks it to stop, then drain.

    Args:
        shard: Set of parents to stream; empty takes the one of the settings (nq).
        profile: Settings profile; empty takes IFD_PROFILE, or default.
        force: Stream although the market is closed, until asked to stop.
    """
    clock = SystemClock()
    settings = settings_of(shard, profile=profile)
    hours = market_hours(
        settings.session.hours, clock.now_ns(), calendar_file=settings.session.calendar_file
    )
    if not hours.is_open and not force:
        return Completed(name="MarketClosed", message=hours.reason)
    require_current(settings.database_url)
    engine = make_engine(settings.database_url)
    try:
        stream = start_stream(
            engine,
            settings,
            now_ns=clock.now_ns(),
            session_date=hours.date,
            flow_run_id=flow_run.id,
        )
    except AlreadyStreamingError as error:
        return Completed(name="AlreadyStreaming", message=str(error))
    supervise(stream, engine, clock=clock, closes_ns=hours.closes_ns)
    summary = summarize(engine, stream.run_id)
    publish_stream(
        summary,
        throughput(engine, stream.run_id),
        dashboard_url=settings.alerts.dashboard_url,
        log=str(stream.log),
    )
    if summary.run.status == "drained":
        return Completed(message=headline(summary))
    return Failed(message=headline(summary))
