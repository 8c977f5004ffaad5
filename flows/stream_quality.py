"""Every five minutes of the session: check the last minutes of each running stream."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from ifd.clock import SystemClock
from models.base import make_engine
from models.database import require_current
from runtime.market_hours import market_hours, new_york
from runtime.supervisor import settings_of
from tasks.validations import sentence, streaming_shards, validate_stream


def name_run() -> str:
    """Return the run's name in the UI: `stream quality Tue 2026-11-24 10:35 EST`."""
    return f"stream quality {new_york(SystemClock().now_ns())}"


@flow(name="ifd-stream-quality", flow_run_name=name_run)
def check_stream_quality(shard: str | None = None, profile: str | None = None) -> State[None]:
    """Check clocks, windows, baselines and the future of running streams; close or open gates.

    Args:
        shard: Only this shard; empty checks every one that streams.
        profile: Settings profile; empty takes IFD_PROFILE, or default.
    """
    settings = settings_of(shard, profile=profile)
    hours = market_hours(
        settings.session.hours,
        SystemClock().now_ns(),
        calendar_file=settings.session.calendar_file,
    )
    if not hours.is_open:
        return Completed(name="MarketClosed", message=hours.reason)
    require_current(settings.database_url)
    engine = make_engine(settings.database_url)
    shards = streaming_shards(engine, shard)
    engine.dispose()
    made = [validate_stream(shard=one, profile=settings.profile) for one in shards]
    checked = [one for one in made if one is not None]
    told = "; ".join(map(sentence, checked))
    # One failure a fact: what lies in quarantine already was told when it came there.
    if any(one.judged.quarantined for one in checked):
        return Failed(message=told)
    if any(one.judged.is_held for one in checked):
        return Completed(name="AlertsHeld", message=told)
    return Completed(message=told or "no stream is running")
