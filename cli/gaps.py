"""`ifd gaps`: what the market had and nobody received."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

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
    from models.operations import GapRow
    from runtime.gap_scan import SessionGaps

State = Literal["open", "replayed", "backfilled", "lost"]


def gaps(
    session_date: SessionDate = None,
    days: Annotated[int, typer.Option("--days", min=1, help="the newest so many sessions")] = 1,
    shard: Annotated[
        str | None, typer.Option("--shard", help="of this shard, else of the configured one")
    ] = None,
    counts: Annotated[
        bool,
        typer.Option("--counts", help="hold closed sessions against history's counts, too; free"),
    ] = False,
    state: Annotated[State | None, typer.Option("--state", help="only gaps in this state")] = None,
    database: Database = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Hold market hours against what was received, and list what is missing.

    Example: ifd gaps --days 5 --state open
    """
    settings = settings_for(database, profile)
    name = shard or settings.feed.shard
    from ifd.clock import SystemClock
    from runtime.gap_scan import count_gaps, scan_gaps

    clock = SystemClock()
    with current_engine(settings) as engine:

        def scan() -> list[SessionGaps]:
            return scan_gaps(
                settings,
                engine,
                shard=name,
                now_ns=clock.now_ns(),
                date=session_date,
                days=days,
            )

        found = scan()
        if counts:
            for note in count_gaps(settings.of_shard(name), engine, found, clock=clock):
                typer.echo(note, err=True)
            found = scan()
    if as_json:
        print_json([_report(session, state) for session in found])
    elif found:
        for session in found:
            _print_session(session, state)
    else:
        typer.echo(f"no stream of shard {name} has run in that time")


def _chosen(session: SessionGaps, state: str | None) -> list[GapRow]:
    return [gap for gap in session.gaps if state in (None, gap.state)]


def _report(session: SessionGaps, state: str | None) -> dict[str, Any]:
    return {
        "session_date": session.market.date,
        "open_ns": session.market.open_ns,
        "close_ns": session.market.close_ns,
        "until_ns": session.until_ns,
        "covered_share": session.covered_share,
        "note": session.note,
        "gaps": [gap.model_dump() for gap in _chosen(session, state)],
    }


def _print_session(session: SessionGaps, state: str | None) -> None:
    from cli.terminal import plain_table, print_table

    market, chosen = session.market, _chosen(session, state)
    # Never rounded up to a whole that is none.
    percent = int(session.covered_share * 10_000) / 100
    noun = "gap" if len(chosen) == 1 else "gaps"
    typer.echo(
        f"{market.date}, {market.kind} session: {percent:.2f} % covered, "
        f"{len(chosen)} {noun}{f' {state}' if state else ''}"
    )
    if session.note:
        typer.echo(session.note)
    if not chosen:
        return
    table = plain_table("from (ET)", "to (ET)", numbers=("duration", "records"))
    for heading in ("cause", "state", "instruments", "detail"):
        table.add_column(heading, no_wrap=True)
    for gap in chosen:
        table.add_row(*_cells(gap, session.until_ns))
    print_table(table)


def _cells(gap: GapRow, until_ns: int) -> tuple[str, ...]:
    from runtime.wording import duration, market_time

    # The market's end or now, whichever is first: what goes on is as long as it has lasted.
    end_ns = max(gap.start_ns, until_ns) if gap.end_ns is None else gap.end_ns
    estimate = gap.estimated_records
    return (
        market_time(gap.start_ns),
        "goes on" if gap.end_ns is None else market_time(gap.end_ns),
        duration(end_ns - gap.start_ns),
        "" if estimate is None else f"~{estimate:,}",
        gap.cause,
        gap.state,
        gap.raw_symbol or ("all" if gap.instrument_id is None else str(gap.instrument_id)),
        gap.detail,
    )
