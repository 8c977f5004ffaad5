"""`ifd quality`: check the data, show what was found, let alerts go in spite of it."""

from __future__ import annotations

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
    from sqlalchemy.engine import Engine

    from config.settings import Settings
    from models.gates import ClosedGate
    from models.quality import QualityResultRow

app = typer.Typer(no_args_is_help=False)

Shard = Annotated[
    str | None, typer.Option("--shard", help="of this shard, else of the configured one")
]


@app.callback(invoke_without_command=True)
def quality(
    context: typer.Context,
    session_date: SessionDate = None,
    shard: Shard = None,
    database: Database = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Check the data of a session, as `ifd quality run` does, or see what was found before.

    Example: ifd quality --session 2026-11-24
    """
    if context.invoked_subcommand is None:
        run(session_date, shard, database, profile, as_json)


@app.command()
def run(
    session_date: SessionDate = None,
    shard: Shard = None,
    database: Database = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Check everything of a session, the newest archived one unless named, and show what was found.

    Exit 1 when a critical check fails; the session's alerts are held then.

    Example: ifd quality run --session 2026-11-24 --json
    """
    settings = _settings(database, profile, shard)
    from cli.terminal import share_progress
    from ifd.clock import SystemClock
    from ifd.errors import NothingArchivedError
    from sinks.archive_check import archive_rows

    with current_engine(settings) as engine:
        if session_date is None:
            rows = archive_rows(engine, shard=settings.feed.shard)
            if not rows:
                raise NothingArchivedError(settings.feed.shard, "any session")
            session_date = rows[-1].session_date
        with share_progress(f"reading {session_date}") as on_share:
            from tasks.quality.runs import check_session

            checked = check_session(
                settings, engine, session_date, clock=SystemClock(), on_share=on_share
            )
        _show(engine, settings, list(checked.results), as_json)
    if not as_json:
        typer.echo(f"Data Docs: {checked.docs}")
    _exit_by(list(checked.results))


@app.command()
def show(
    session_date: SessionDate = None,
    shard: Shard = None,
    database: Database = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Show what was found last, of the newest checked session unless named; checks nothing.

    Exit 1 when a critical check failed.

    Example: ifd quality show
    """
    settings = _settings(database, profile, shard)
    from sqlmodel import Session

    from models.quality_results import results_of

    with current_engine(settings) as engine:
        with Session(engine) as session:
            results = results_of(session, settings.feed.shard, session_date)
        _show(engine, settings, results, as_json)
    _exit_by(results)


@app.command()
def release(
    session_date: Annotated[
        str, typer.Option("--session", metavar="DATE", help="of this session, as 2026-11-23")
    ],
    reason: Annotated[str, typer.Option("--reason", help="why the data can be trusted after all")],
    shard: Shard = None,
    database: Database = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Let the alerts of a session go although checks failed; those checks hold it no more.

    Example: ifd quality release --session 2026-11-24 --reason "the exchange confirmed the print"
    """
    settings = _settings(database, profile, shard)
    from ifd.clock import SystemClock
    from models.validations import release_session

    with current_engine(settings) as engine:
        rows = release_session(
            engine,
            settings.feed.shard,
            session_date,
            reason=reason,
            now_ns=SystemClock().now_ns(),
            channel=settings.alert_channel,
        )
    if as_json:
        print_json([row.model_dump() for row in rows])
    for row in () if as_json else rows:
        typer.echo(f"released {row.suite}, {row.batch}: {', '.join(row.checks)}")


def _settings(database: str | None, profile: str | None, shard: str | None) -> Settings:
    settings = settings_for(database, profile)
    return settings.of_shard(shard) if shard else settings


def _show(
    engine: Engine, settings: Settings, results: list[QualityResultRow], as_json: bool
) -> None:
    from sqlmodel import Session

    from models.gates import closed_gates

    shard, dates = settings.feed.shard, {row.session_date for row in results}
    with Session(engine) as session:
        gates = closed_gates(session)
    held = next((g for g in gates if g.shard == shard and g.session_date in dates), None)
    if as_json:
        print_json(_report(shard, results, held))
    elif results:
        _print(results, held)
    else:
        typer.echo(f"no session of shard {shard} was checked yet: ifd quality run")


def _exit_by(results: list[QualityResultRow]) -> None:
    from models.quality_results import is_failed_critical

    if any(map(is_failed_critical, results)):
        raise typer.Exit(1)


def _report(shard: str, results: list[QualityResultRow], held: ClosedGate | None) -> dict[str, Any]:
    # Any: texts, numbers, flags and rows of them.
    return {
        "shard": shard,
        "session_date": results[0].session_date if results else None,
        "held_since_ns": None if held is None else held.since_ns,
        "held_for": [] if held is None else list(held.checks),
        "results": [row.model_dump(exclude={"id"}) for row in results],
    }


def _print(results: list[QualityResultRow], held: ClosedGate | None) -> None:
    from cli.terminal import market_time, plain_table, print_table

    table = plain_table("suite", "batch", "check", "severity", "result", numbers=("rows", "failed"))
    table.add_column("found", no_wrap=True)
    for row in sorted(results, key=lambda row: row.success):
        table.add_row(
            row.suite,
            row.batch,
            row.check_name,
            row.severity,
            _verdict(row),
            "" if row.elements is None else f"{row.elements:,}",
            "" if row.unexpected is None else f"{row.unexpected:,}",
            row.error or row.observed,
        )
    print_table(table)
    first, checked = results[0], max(row.checked_ns for row in results)
    failed = sum(not row.success and row.severity != "info" for row in results)
    told = f"{failed} failed" if failed else "all passed"
    typer.echo(
        f"{first.shard}, session {first.session_date}, checked {market_time(checked)}: {told}"
    )
    if held is not None:
        since = market_time(held.since_ns)
        typer.echo(f"alerts are held since {since}: {', '.join(held.checks)}")


def _verdict(row: QualityResultRow) -> str:
    if row.success:
        return "passed"
    if row.severity == "info":
        return "not made"
    return "error" if row.error else "failed"
