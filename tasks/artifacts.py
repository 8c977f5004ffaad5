"""Artifacts of a run in the Prefect UI. A server that is away costs the artifact, not the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from models.money import BackfillRequestRow
from runtime.backfill.reports import ShardScan, gap_rows, request_rows
from runtime.costs.figures import CostReport
from runtime.costs.plot import costs_svg
from runtime.costs.words import cost_markdown, kind_rows
from runtime.costs.words import headline as headline_of_costs
from runtime.plots import Point, as_data_url, throughput_svg
from runtime.stopping import Stopped
from runtime.summary import StreamSummary, headline, summary_markdown, summary_rows

TABLE_ROWS: Final = 200
"""A page shows no longer table; the database has all of it."""


def publish_stream(
    summary: StreamSummary, points: Sequence[Point], *, dashboard_url: str, log: str
) -> None:
    """Publish the summary of a stream: a page, a table, a plot, and a link to the dashboard."""
    shard = summary.run.shard
    _publish(
        lambda: create_markdown_artifact(
            summary_markdown(summary, log=log),
            key=f"stream-{shard}",
            description=headline(summary),
        )
    )
    _publish(
        lambda: create_table_artifact(
            summary_rows(summary),
            key=f"stream-{shard}-numbers",
            description=f"Stream {shard}, {summary.run.session_date}, in numbers",
        )
    )
    if len(points) > 1:
        title = f"{shard} {summary.run.session_date}"
        picture = as_data_url(throughput_svg(points, title).encode(), "svg+xml")
        _publish(
            lambda: create_image_artifact(
                picture, key=f"stream-{shard}-plot", description=f"Records a second, {title}"
            )
        )
    _publish(
        lambda: create_link_artifact(
            dashboard_url,
            link_text="Dashboard",
            key="dashboard",
            description="Candles, signals and health, live",
        )
    )


def publish_close(stopped: Sequence[Stopped]) -> None:
    """Publish how each stream was stopped."""
    rows = [
        {
            "shard": each.run.shard,
            "trading date": each.run.session_date,
            "outcome": each.outcome,
            "seconds": f"{each.seconds:.1f}",
            "records": f"{each.run.records:,}",
            "error": each.run.error or "",
        }
        for each in stopped
    ]
    _publish(
        lambda: create_table_artifact(
            rows, key="market-close", description=f"{len(rows)} streams stopped"
        )
    )


def publish_table(key: str, rows: Sequence[dict[str, str]], *, description: str) -> None:
    """Publish rows of words."""
    _publish(lambda: create_table_artifact(list(rows), key=key, description=description))


def publish_picture(key: str, png: bytes, *, description: str) -> None:
    """Publish a PNG."""
    picture = as_data_url(png, "png")
    _publish(lambda: create_image_artifact(picture, key=key, description=description))


def publish_costs(report: CostReport) -> None:
    """Publish what everything costs: a page, a table, and a plot of the days."""
    told = headline_of_costs(report)
    _publish(lambda: create_markdown_artifact(cost_markdown(report), key="costs", description=told))
    _publish(
        lambda: create_table_artifact(kind_rows(report), key="costs-numbers", description=told)
    )
    if report.days:
        picture = as_data_url(costs_svg(report).encode(), "svg+xml")
        _publish(
            lambda: create_image_artifact(
                picture, key="costs-plot", description=f"Costs by day, as of {report.day}"
            )
        )


def publish_quality(
    rows: Sequence[dict[str, str]], *, shard: str, description: str, docs: Path | None
) -> None:
    """Publish the results of a validation, and a link to its Data Docs where there are any."""
    _publish(
        lambda: create_table_artifact(list(rows), key=f"quality-{shard}", description=description)
    )
    if docs is not None:
        _publish(
            lambda: create_link_artifact(
                docs.as_uri(),
                link_text="Data Docs",
                key=f"quality-{shard}-docs",
                description="Every check with its measures, on the machine that made it",
            )
        )


def publish_gaps(scans: Sequence[ShardScan], *, description: str) -> None:
    """Publish the gaps that a scan found, open ones first."""
    rows = gap_rows(scans, at_most=TABLE_ROWS)
    _publish(lambda: create_table_artifact(rows, key="gaps", description=description))


def publish_backfill(requests: Sequence[BackfillRequestRow], *, description: str) -> None:
    """Publish how each hole was filled, and what it has cost."""
    rows = request_rows(requests[:TABLE_ROWS])
    _publish(lambda: create_table_artifact(rows, key="backfill", description=description))


@contextmanager
def progress(key: str, description: str) -> Iterator[Callable[[float], None]]:
    """Show how far a long work is, and give what is called with the share that is done (0..1)."""
    artifact_id = _publish(lambda: create_progress_artifact(0.0, key=key, description=description))

    def advance(share: float) -> None:
        if isinstance(artifact_id, UUID):  # otherwise the server was away at the beginning
            _publish(lambda: update_progress_artifact(artifact_id, progress=100 * share))

    yield advance


def _publish(create: Callable[[], object]) -> object | None:
    try:
        return create()
    except httpx.HTTPError as error:
        get_run_logger().warning("An artifact was not published: %s", error)
        return None
