"""`ifd historical`: what history costs, whether it is sound, and the download of it."""

from __future__ import annotations

import datetime as dt
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.common import AsJson, Database, Profile, print_json, settings_for

if TYPE_CHECKING:
    from config.settings import Settings
    from ifd.gateway.historical import Fetched, HistoricalRequest, HistoricalSource, Purse, Quote

app = typer.Typer(
    help="History from Databento: quote, fetch, condition of the days, prices.",
    no_args_is_help=True,
)

DEFAULT_MAX_COST: Final = 5.0
"""US dollars: about a quarter of an hour of every NQ option in a busy market, at list price."""
_MICRO: Final = 1_000_000

Start = Annotated[
    str, typer.Option("--start", help="first moment, ISO 8601; UTC unless it says otherwise")
]
End = Annotated[str, typer.Option("--end", help="first moment that is no longer wanted")]
Symbols = Annotated[
    list[str] | None,
    typer.Option("--symbol", help="repeatable  [default: the parents of the feed]"),
]
Schema = Annotated[str, typer.Option("--schema", help="mbo, definition, trades, …")]
SymbolKind = Annotated[
    str, typer.Option("--stype", help="parent, raw_symbol, instrument_id or continuous")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="records at most")]
FirstDay = Annotated[
    dt.datetime, typer.Option("--start", formats=["%Y-%m-%d"], help="first day, UTC")
]
LastDay = Annotated[dt.datetime, typer.Option("--end", formats=["%Y-%m-%d"], help="last day, UTC")]


@app.command()
def quote(
    start: Start,
    end: End,
    symbol: Symbols = None,
    schema: Schema = "mbo",
    stype: SymbolKind = "parent",
    limit: Limit = None,
    as_json: AsJson = False,
    database: Database = None,
    profile: Profile = None,
) -> None:
    """Show what a piece of history costs and how large it is. Free.

    Example: ifd historical quote --start 2026-10-05T13:30 --end 2026-10-05T14:00 --symbol NQ.OPT
    """
    settings = settings_for(database, profile)
    request = _request(settings, symbol, start, end, schema, stype, limit)
    found = _source(settings).quote(request)
    if as_json:
        print_json(_quote_json(request, found))
    else:
        typer.echo(_quote_words(request, found))


@app.command()
def fetch(
    start: Start,
    end: End,
    out: Annotated[Path, typer.Option("--out", help="directory of the finished slices")],
    symbol: Symbols = None,
    schema: Schema = "mbo",
    stype: SymbolKind = "parent",
    limit: Limit = None,
    max_cost: Annotated[
        float, typer.Option("--max-cost", min=0, help="US dollars; nothing is spent beyond")
    ] = DEFAULT_MAX_COST,
    yes: Annotated[bool, typer.Option("--yes", help="spend without asking")] = False,
    as_json: AsJson = False,
    database: Database = None,
    profile: Profile = None,
) -> None:
    """Download a piece of history as DBN files; run it again to resume.

    Example: ifd historical fetch --start 2026-10-05T13:30 --end 2026-10-05T14:00 --out var/history
    """
    settings = settings_for(database, profile)
    from ifd.errors import BudgetExceededError
    from ifd.gateway.historical import CappedPurse

    request = _request(settings, symbol, start, end, schema, stype, limit)
    source = _source(settings)
    owed = source.quote_missing(request, out)
    cap = math.floor(max_cost * _MICRO)
    if owed.micro_dollars > cap:
        raise BudgetExceededError(owed.micro_dollars, cap)
    typer.echo(_quote_words(request, owed), err=True)
    if owed.micro_dollars and not yes:
        typer.confirm("spend it?", abort=True, err=True)
    fetched = _fetch_with_progress(source, request, out, CappedPurse(cap))
    if as_json:
        print_json(_fetched_json(fetched))
    else:
        _print_fetched(fetched, out)


@app.command()
def condition(
    start: FirstDay,
    end: LastDay,
    as_json: AsJson = False,
    database: Database = None,
    profile: Profile = None,
) -> None:
    """Show which days are available, degraded, pending or missing. Free.

    Example: ifd historical condition --start 2026-10-05 --end 2026-10-09
    """
    source = _source(settings_for(database, profile))
    days = source.conditions(start.date(), end.date())
    found = [
        {"date": one.date, "condition": one.condition, "last_modified": one.last_modified}
        for one in days
    ]
    if as_json:
        print_json(found)
        return
    for one in found:
        changed = f", last changed {one['last_modified']}" if one["last_modified"] else ""
        typer.echo(f"{one['date']}  {one['condition']}{changed}")


@app.command()
def prices(as_json: AsJson = False, database: Database = None, profile: Profile = None) -> None:
    """Show the list price of a GiB of each schema. Free; a plan may pay less: see quote.

    Example: ifd historical prices --json
    """
    found = _source(settings_for(database, profile)).unit_prices()
    if as_json:
        print_json({schema: float(price) for schema, price in found.items()})
        return
    for schema, price in sorted(found.items()):
        typer.echo(f"{schema:<12} ${price:>8,.2f} a GiB")


def _source(settings: Settings) -> HistoricalSource:
    import structlog

    from ifd.gateway.historical import HistoricalSource

    # Standard output is for the answer.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    return HistoricalSource(
        settings.require_databento_key(),
        dataset=settings.feed.dataset,
        gateway=settings.historical.gateway,
    )


def _request(
    settings: Settings,
    symbols: list[str] | None,
    start: str,
    end: str,
    schema: str,
    stype: str,
    limit: int | None,
) -> HistoricalRequest:
    from ifd.gateway.historical import HistoricalRequest

    return HistoricalRequest(
        schema=schema,
        symbols=tuple(symbols or settings.feed.parents),
        start_ns=_moment_ns(start, "--start"),
        end_ns=_moment_ns(end, "--end"),
        stype_in=stype,
        dataset=settings.feed.dataset,
        limit=limit,
    ).normalised()


def _moment_ns(text: str, option: str) -> int:
    from ifd.units import ns_from_datetime

    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no moment: write 2026-10-05T13:30", param_hint=option
        ) from None
    return ns_from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC))


def _fetch_with_progress(
    source: HistoricalSource, request: HistoricalRequest, out: Path, purse: Purse
) -> Fetched:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("fetching"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} slices, {task.fields[mb]:,.1f} MB"),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("fetching", total=len(list(request.slices())), mb=0.0)
        return source.fetch(
            request,
            out,
            purse,
            lambda done: bar.update(task, completed=done.slices_done, mb=done.bytes_done / 1e6),
        )


def _quote_json(request: HistoricalRequest, found: Quote) -> dict[str, Any]:
    # Any: texts, integers and a list of symbols.
    return {
        "fingerprint": request.fingerprint(),
        "symbols": request.symbols,
        "slices": len(list(request.slices())),
        "billable_bytes": found.billable_bytes,
        "micro_dollars": found.micro_dollars,
    }


def _quote_words(request: HistoricalRequest, found: Quote) -> str:
    return (
        f"${found.dollars:,.6f} for {found.billable_bytes:,} bytes of {request.schema} "
        f"({len(request.symbols)} symbols, {len(list(request.slices()))} slices)"
    )


def _fetched_json(fetched: Fetched) -> dict[str, Any]:
    # Any: paths, integers and texts.
    return {
        "files": [str(path) for path in fetched.files],
        "records": fetched.records,
        "bytes": fetched.bytes,
        "bytes_received": fetched.bytes_received,
        "bytes_abandoned": fetched.bytes_abandoned,
        "micro_dollars": fetched.micro_dollars,
        "slices_on_disk": fetched.slices_on_disk,
        "unknown_symbols": fetched.unknown_symbols,
        "notices": fetched.notices,
    }


def _print_fetched(fetched: Fetched, out: Path) -> None:
    typer.echo(
        f"{out}: {len(fetched.files)} files, {fetched.records:,} records, "
        f"{fetched.bytes / 1e6:,.1f} MB; ${fetched.micro_dollars / _MICRO:,.6f} spent on "
        f"{fetched.bytes_received:,} bytes received"
    )
    if fetched.slices_on_disk:
        typer.echo(f"{fetched.slices_on_disk} slices were there already and were not paid again")
    if fetched.bytes_abandoned:
        typer.echo(f"{fetched.bytes_abandoned:,} bytes of an abandoned download count as spent")
    if fetched.unknown_symbols:
        typer.echo(f"nothing is listed under {', '.join(fetched.unknown_symbols)}")
    for notice in fetched.notices:
        typer.echo(f"Databento warns: {notice}")
