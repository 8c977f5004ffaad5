"""`ifd costs`: what was spent, on what, and where the month will end."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import AsJson, Database, Profile, current_engine, print_json, settings_for

if TYPE_CHECKING:
    from runtime.costs.figures import CostReport
    from runtime.costs.ledger import LedgerLine


def costs(
    days: Annotated[
        int | None,
        typer.Option(
            "--days", min=1, help="by day and symbol: the newest so many  [default: the month]"
        ),
    ] = None,
    month: Annotated[
        str | None, typer.Option("--month", metavar="YYYY-MM", help="as of the end of this month")
    ] = None,
    with_ledger: Annotated[
        bool, typer.Option("--ledger", help="list every entry: estimate, quote, billed, size")
    ] = False,
    database: Database = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Show what was spent today, this week and month, the projection, and the caps. Free.

    Example: ifd costs --days 7 --ledger
    """
    if days is not None and month is not None:
        raise typer.BadParameter("say either --days or --month", param_hint="--days")
    settings = settings_for(database, profile)
    from ifd.clock import SystemClock
    from models.caps import day_of
    from runtime.costs.degrading import why_stopped
    from runtime.costs.ledger import ledger
    from runtime.costs.report import cost_report, last_day

    now_ns = SystemClock().now_ns()
    today = day_of(now_ns)
    day = today if month is None else last_day(month, today=today)
    with current_engine(settings) as engine:
        report = cost_report(settings, engine, day=day, days=days)
        stopped = why_stopped(settings, engine, now_ns=now_ns)
        lines = (
            ledger(settings, engine, first_day=report.first_day, last_day=day)
            if with_ledger
            else None
        )
    if as_json:
        print_json(_report_json(report, lines) | {"stopped": stopped})
        return
    _print_report(report)
    for why in stopped:
        typer.secho(why, fg="red", bold=True)
    if lines is not None:
        _print_ledger(lines)


def _report_json(report: CostReport, lines: list[LedgerLine] | None) -> dict[str, Any]:
    # Any: texts, integers, shares and lists of such.
    found = {
        **dataclasses.asdict(report),
        "month": report.month,
        "day_micro_dollars": report.day_micro_dollars,
        "week_micro_dollars": report.week_micro_dollars,
        "month_micro_dollars": report.month_micro_dollars,
        "projected_micro_dollars": report.projected_micro_dollars,
    }
    for kind, told in zip(report.kinds, found["kinds"], strict=True):
        told |= {"day_share": kind.day_share, "month_share": kind.month_share}
    for day, told in zip(report.days, found["days"], strict=True):
        told["micro_dollars"] = day.micro_dollars
    if lines is not None:
        found["ledger"] = [
            line.entry.model_dump() | {"estimated_records": line.estimated_records}
            for line in lines
        ]
    return found


def _print_report(report: CostReport) -> None:
    from cli.terminal import plain_table, print_table
    from runtime.costs.words import dollars, headline, kind_rows, symbol_words

    typer.echo(headline(report))
    typer.echo(
        f"{report.trading_days_left} of {report.trading_days} trading days are left in "
        f"{report.month}; {report.live}"
    )
    rows = kind_rows(report)
    kinds = plain_table("kind", numbers=tuple(rows[0])[1:])
    for row in rows:
        kinds.add_row(*row.values())
    print_table(kinds)
    if not report.days:
        typer.echo(f"nothing was spent since {report.first_day}")
        return
    names = [kind.kind for kind in report.kinds]
    days = plain_table("day (UTC)", numbers=(*names, "all"))
    for day in report.days:
        amounts = [day.by_kind.get(name, 0) for name in names]
        days.add_row(day.day, *map(dollars, amounts), dollars(day.micro_dollars))
    print_table(days)
    symbols = plain_table("kind", "symbols", numbers=("entries", "cost"))
    for one in report.symbols:
        cells = one.kind, symbol_words(one.kind, one.symbols), f"{one.entries:,}"
        symbols.add_row(*cells, dollars(one.micro_dollars))
    print_table(symbols)


def _print_ledger(lines: list[LedgerLine]) -> None:
    from cli.terminal import market_time, money, plain_table, print_table
    from runtime.costs.words import symbol_words

    table = plain_table(
        "day (UTC)",
        "kind",
        "state",
        "symbols",
        "schema",
        "from (ET)",
        "to (ET)",
        numbers=("estimate", "quote", "billed", "bytes"),
    )
    for line in lines:
        entry, estimate = line.entry, line.estimated_records
        table.add_row(
            entry.day,
            entry.kind,
            entry.state,
            symbol_words(entry.kind, entry.symbols),
            entry.dbn_schema,
            market_time(entry.start_ns),
            market_time(entry.end_ns),
            "" if estimate is None else f"~{estimate:,} records",
            money(entry.quoted_micro_dollars),
            "" if entry.billed_micro_dollars is None else money(entry.billed_micro_dollars),
            f"{entry.received_bytes:,}",
        )
    print_table(table)
