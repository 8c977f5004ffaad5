"""`ifd backfill`: fill what is missing, or say what that would take."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import (
    AsJson,
    Database,
    Profile,
    SessionDate,
    current_engine,
    print_json,
    settings_for,
)

if TYPE_CHECKING:
    from models.money import BackfillRequestRow
    from runtime.backfill.hole import Hole
    from runtime.backfill.worker import Planned


def backfill(
    session_date: SessionDate = None,
    days: Annotated[int, typer.Option("--days", min=1, help="the newest so many sessions")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show what it would do and cost; free")
    ] = False,
    database: Database = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Fill what is missing of the market, within the budget; exit 1 when anything was given up.

    Example: ifd backfill --days 5 --dry-run
    """
    settings = settings_for(database, profile)
    import structlog

    from ifd.clock import SystemClock
    from runtime.backfill.worker import Backfill

    # Standard output is the result's alone.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))

    with current_engine(settings) as engine:
        work = Backfill(settings, engine, clock=SystemClock())
        if dry_run:
            planned = work.plan(date=session_date, days=days)
            if as_json:
                print_json([_plan_json(one) for one in planned])
            else:
                by_the_byte = settings.costs.live == "usage"
                _print_plan(planned, replay="by the byte" if by_the_byte else "free")
            return
        done = work.run(date=session_date, days=days)
    if as_json:
        print_json([request.model_dump() for request in done])
    else:
        _print_done(done)
    if any(request.state == "given-up" for request in done):
        raise typer.Exit(1)


def _plan_json(one: Planned) -> dict[str, Any]:
    # Any: texts, numbers and flags.
    return {
        "shard": one.hole.shard,
        "session_date": one.hole.session_date,
        "start_ns": one.hole.start_ns,
        "end_ns": one.hole.end_ns,
        "of_doubts": one.hole.of_doubts,
        "symbols": list(one.hole.symbols),
        "estimated_records": one.hole.estimated_records,
        "usual_records": one.hole.usual_records,
        "in_session": one.hole.in_session,
        "method": one.method,
        "quoted_micro_dollars": one.quoted_micro_dollars,
        "quoted_bytes": one.quoted_bytes,
        "left_micro_dollars": one.left_micro_dollars,
        "affordable": one.affordable,
        "wait_ns": one.wait_ns,
        "why": one.why,
    }


def _print_plan(planned: list[Planned], *, replay: str) -> None:
    from cli.terminal import market_time, money, plain_table, print_table

    if not planned:
        typer.echo("nothing is missing that could be filled")
        return
    table = plain_table("session", "from (ET)", "to (ET)", numbers=("records", "cost", "left"))
    for heading in ("instruments", "how", "when"):
        table.add_column(heading, no_wrap=True)
    for one in planned:
        table.add_row(
            one.hole.session_date,
            market_time(one.hole.start_ns),
            market_time(one.hole.end_ns),
            _about(one.hole),
            replay if one.quoted_micro_dollars is None else money(one.quoted_micro_dollars),
            money(one.left_micro_dollars),
            f"{len(one.hole.symbols)} doubtful" if one.hole.of_doubts else "all",
            one.method,
            _when(one),
        )
    print_table(table)
    for why in sorted({one.why for one in planned if one.why}):
        typer.echo(why)


def _when(one: Planned) -> str:
    from cli.terminal import market_time

    if one.wait_ns is not None:
        return f"from {market_time(one.wait_ns)}"
    return "now" if one.affordable else "when the budget allows it"


def _print_done(done: list[BackfillRequestRow]) -> None:
    from cli.terminal import market_time, money, plain_table, print_table

    if not done:
        typer.echo("nothing was due")
        return
    table = plain_table(
        "session", "from (ET)", "to (ET)", numbers=("added", "windows", "late signals", "spent")
    )
    for heading in ("instruments", "how", "state", "reason"):
        table.add_column(heading, no_wrap=True)
    for request in done:
        table.add_row(
            request.session_date,
            market_time(request.start_ns),
            market_time(request.end_ns),
            f"{request.added_records:,}",
            f"{request.windows:,}",
            f"{request.late_signals:,}",
            money(request.spent_micro_dollars),
            "doubtful" if request.of_doubts else "all",
            request.method,
            request.state,
            request.error or "",
        )
    print_table(table)


def _about(hole: Hole) -> str:
    records = hole.estimated_records if hole.usual_records is None else hole.usual_records
    return "" if records is None else f"~{records:,}"
