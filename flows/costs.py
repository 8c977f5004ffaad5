"""Nightly: book what the live feed has cost, and tell what everything costs."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from ifd.clock import SystemClock
from models.base import make_engine
from models.database import require_current
from runtime.costs.nightly import reported_day
from runtime.costs.report import cost_report
from runtime.costs.words import headline
from runtime.supervisor import settings_of
from tasks.costs import book_costs, publish_costs, tell_costs


def name_run() -> str:
    """Return the run's name in the UI: `costs 2026-11-24`."""
    return f"costs {flow_run.parameters.get('day') or reported_day(SystemClock().now_ns())}"


@flow(name="ifd-costs", flow_run_name=name_run)
def report_costs(profile: str | None = None, day: str | None = None) -> State[None]:
    """Book the live feed, publish the costs, and queue their digest; a repeat changes nothing.

    Args:
        profile: Settings profile; empty takes IFD_PROFILE, or default.
        day: Report as of this day, 2026-11-24; empty takes the last one that has its evening.
    """
    settings = settings_of(None, profile=profile)
    require_current(settings.database_url)
    day = reported_day(SystemClock().now_ns(), asked=day)
    book_costs(day=day, profile=settings.profile)
    report = cost_report(settings, make_engine(settings.database_url), day=day)
    publish_costs(report)
    tell_costs(day=day, profile=settings.profile)
    return Completed(message=headline(report))
