"""Artifacts of a run in the Prefect UI. A server that is away costs the artifact, not the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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

from runtime.plots import Point, as_data_url, throughput_svg
from runtime.stopping import Stopped
from runtime.summary import StreamSummary, headline, summary_markdown, summary_rows


def publish_stream(
    summary: StreamSummary, points: Sequence[Point], *, dashboard_url: str, log: str
) -> None:
    """Publish the summary of a stream: a page, a table, a plot, and a link to the dashboard."""
    shard = summary.run.shard
    publish(
        lambda: create_markdown_artifact(
            summary_markdown(summary, log=log),
            key=f"stream-{shard}",
            description=headline(summary),
        )
    )
    publish(
        lambda: create_table_artifact(
            summary_rows(summary),
            key=f"stream-{shard}-numbers",
            description=f"Stream {shard}, {summary.run.session_date}, in numbers",
        )
    )
    if len(points) > 1:
        title = f"{shard} {summary.run.session_date}"
        publish_picture(
            f"stream-{shard}-plot",
            throughput_svg(points, title).encode(),
            "svg+xml",
            description=f"Records a second, {title}",
        )
    publish(
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
    publish(
        lambda: create_table_artifact(
            rows, key="market-close", description=f"{len(rows)} streams stopped"
        )
    )


def publish_table(key: str, rows: Sequence[dict[str, str]], *, description: str) -> None:
    """Publish rows of words."""
    publish(lambda: create_table_artifact(list(rows), key=key, description=description))


def publish_picture(key: str, picture: bytes, kind: str, *, description: str) -> None:
    """Publish a picture, an `svg+xml` or `png`."""
    address = as_data_url(picture, kind)
    publish(lambda: create_image_artifact(address, key=key, description=description))


@contextmanager
def progress(key: str, description: str) -> Iterator[Callable[[float], None]]:
    """Show how far a long work is, and give what is called with the share that is done (0..1)."""
    artifact_id = publish(lambda: create_progress_artifact(0.0, key=key, description=description))

    def advance(share: float) -> None:
        if isinstance(artifact_id, UUID):  # otherwise the server was away at the beginning
            publish(lambda: update_progress_artifact(artifact_id, progress=100 * share))

    yield advance


def publish(create: Callable[[], object]) -> object | None:
    """Return what `create` made; None when the server is away, which is logged."""
    try:
        return create()
    except httpx.HTTPError as error:
        get_run_logger().warning("An artifact was not published: %s", error)
        return None
