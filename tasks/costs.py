"""Costs: book the day, and owe its digest."""

from __future__ import annotations

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from ifd.clock import SystemClock
from models.base import make_engine
from runtime.costs.figures import CostReport
from runtime.costs.nightly import close_day, queue_digest
from runtime.costs.plot import costs_svg
from runtime.costs.report import cost_report
from runtime.costs.words import cost_markdown, dollars, headline, kind_rows
from runtime.supervisor import settings_of
from tasks.artifacts import publish, publish_picture, publish_table


@task(
    name="book costs",
    task_run_name="book costs of {day}",
    retries=2,
    retry_delay_seconds=[30, 120],
    persist_result=False,
)
def book_costs(*, day: str, profile: str) -> int:
    """Book what the live feed has cost up to a day; return what is new, micro-dollars."""
    settings = settings_of(None, profile=profile)
    engine = make_engine(settings.database_url)
    booked = close_day(settings, engine, day=day, now_ns=SystemClock().now_ns())
    get_run_logger().info("%s of the live feed booked", dollars(booked))
    return booked


@task(
    name="tell costs",
    task_run_name="tell costs of {day}",
    retries=2,
    retry_delay_seconds=[30, 120],
    persist_result=False,
)
def tell_costs(*, day: str, profile: str) -> bool:
    """Queue the digest of a day; return False when it was queued before."""
    settings = settings_of(None, profile=profile)
    engine = make_engine(settings.database_url)
    report = cost_report(settings, engine, day=day)
    return queue_digest(settings, engine, report, now_ns=SystemClock().now_ns())


def publish_costs(report: CostReport) -> None:
    """Publish what everything costs: a page, a table, and a plot of the days."""
    told = headline(report)
    publish(lambda: create_markdown_artifact(cost_markdown(report), key="costs", description=told))
    publish_table("costs-numbers", kind_rows(report), description=told)
    if report.days:
        publish_picture(
            "costs-plot",
            costs_svg(report).encode(),
            "svg+xml",
            description=f"Costs by day, as of {report.day}",
        )
