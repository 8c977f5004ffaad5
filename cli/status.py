"""`ifd status`: what the stream is doing, from the shared tables."""

from __future__ import annotations

from typing import Any

import typer

from cli.common import AsJson, Database, Profile, print_json, settings_for


def status(database: Database = None, profile: Profile = None, as_json: AsJson = False) -> None:
    """Show the newest stream run, its health, and what it has produced.

    Example: ifd status --json
    """
    settings = settings_for(database, profile)
    from models.database import require_current

    require_current(settings.database_url)
    found = read_status(settings.database_url)
    if as_json:
        print_json(found)
        return
    if found["run"] is None:
        typer.echo("no stream has run yet: start one with `ifd up`")
        return
    from rich.console import Console

    Console().print(status_table(found))


def read_status(database_url: str) -> dict[str, Any]:
    """Return the newest run with its age, counters, alerts and last health samples."""
    from sqlmodel import Session, col, func, select

    from ifd.clock import SystemClock
    from models.base import make_engine
    from models.operations import HealthSampleRow
    from models.runs import is_stale, latest_run
    from models.signals import AlertOutboxRow, SignalRow

    now_ns = SystemClock().now_ns()
    engine = make_engine(database_url)
    try:
        with Session(engine) as session:
            run = latest_run(session)
            alerts = session.exec(
                select(AlertOutboxRow.state, func.count()).group_by(col(AlertOutboxRow.state))
            ).all()
            signals = session.exec(select(func.count()).select_from(SignalRow)).one()
            health: dict[str, Any] = {}
            for component in ("stream", "alerts"):
                sample = session.exec(
                    select(HealthSampleRow)
                    .where(HealthSampleRow.component == component)
                    .order_by(col(HealthSampleRow.id).desc())
                ).first()
                if sample is not None:
                    health[component] = {"ts_ns": sample.ts_ns, **sample.metrics}
            return {
                "now_ns": now_ns,
                "run": None if run is None else run.model_dump(),
                "alive": run is not None
                and run.active_shard is not None
                and not is_stale(run, now_ns=now_ns),
                "signals": signals,
                "alerts": dict(alerts),
                "health": health,
            }
    finally:
        engine.dispose()


def status_table(found: dict[str, Any]) -> Any:
    """Return a rich table of what `read_status` found."""
    # Any: rich is imported only when something is drawn.
    from rich.table import Table

    run, health = found["run"], found["health"].get("stream", {})
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()

    def age(ns: int | None) -> str:
        return "never" if ns is None else f"{(found['now_ns'] - ns) / 1e9:.1f} s ago"

    state = run["status"] if found["alive"] or run["active_shard"] is None else "dead"
    table.add_row("run", f"{run['id']} · shard {run['shard']} · {run['source'].upper()}")
    table.add_row("state", state + (f" ({run['error']})" if run["error"] else ""))
    told = health.get("feed_error") if run["feed_state"] not in ("live", "replaying") else None
    feed = run["feed_state"] or "not heard of yet"
    table.add_row("feed", f"{feed}: {told}" if told else feed)
    table.add_row("session", f"{run['session_date']} · profile {run['profile']}")
    table.add_row("last record", age(run["last_record_ns"]))
    table.add_row(
        "records",
        f"{run['records']:,} ({health.get('records_per_s', 0):,.0f}/s), "
        f"queue {health.get('queue_depth', 0):,}, high water {run['queue_high_water']:,}",
    )
    table.add_row("windows", f"{run['windows']:,}")
    table.add_row("signals", f"{run['signals']:,} in this run, {found['signals']:,} stored")
    alerts = ", ".join(f"{count} {state}" for state, count in sorted(found["alerts"].items()))
    table.add_row("alerts", alerts or "none")
    table.add_row("gaps", f"{run['gaps']:,}")
    table.add_row("memory", f"{run['peak_rss_bytes'] / 1e6:,.0f} MB at most")
    return table
