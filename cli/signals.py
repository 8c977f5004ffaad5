"""`ifd signals`: what was found, why, and as a file for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import AsJson, Database, Profile, SessionDate, print_json, settings_for
from ifd.signals import Side

if TYPE_CHECKING:
    from sqlmodel import Session

    from models.search import SignalFilter

app = typer.Typer(no_args_is_help=True)

SignalId = Annotated[
    str, typer.Argument(metavar="ID", help="signal id, or as much of its beginning as is unique")
]
MinConfidence = Annotated[
    float | None,
    typer.Option("--min-confidence", min=0.0, max=1.0, help="only as sure as this, 0 to 1"),
]
OnlySide = Annotated[
    Side | None, typer.Option("--side", case_sensitive=False, help="only this side")
]


@app.callback()
def signals() -> None:
    """Read the signals in the database."""


@app.command("list")
def list_signals(
    limit: Annotated[int, typer.Option("--limit", min=1, help="at most so many")] = 20,
    session_date: SessionDate = None,
    min_confidence: MinConfidence = None,
    side: OnlySide = None,
    database: Database = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """List signals, the newest first.

    Example: ifd signals list --session 2026-11-23 --min-confidence 0.8
    """
    wanted = _filter(session_date, min_confidence, side)
    from cli.signal_words import table
    from models.search import newest_signals

    with _reading(database, profile) as session:
        found = newest_signals(session, wanted, limit=limit)
    if as_json:
        print_json([row.to_signal_json() for row in found])
    elif found:
        typer.echo(table(found))
    else:
        typer.echo("no such signal is stored: wider filters, or `ifd status`, may tell more")


@app.command()
def show(
    name: SignalId, database: Database = None, profile: Profile = None, as_json: AsJson = False
) -> None:
    """Show every value of one signal.

    Example: ifd signals show 3f9a
    """
    from cli.signal_words import values
    from models.search import find_signal

    with _reading(database, profile) as session:
        row = find_signal(session, name)
    if as_json:
        print_json(row.model_dump(exclude={"id"}))
    else:
        typer.echo(values(row))


@app.command()
def explain(
    name: SignalId, database: Database = None, profile: Profile = None, as_json: AsJson = False
) -> None:
    """Tell why one signal was given: reasons, factors, window, baseline, parameters, alerts.

    Example: ifd signals explain 3f9a
    """
    from cli.signal_words import explanation_json, words
    from models.search import explain as collect
    from models.search import find_signal

    with _reading(database, profile) as session:
        explanation = collect(session, find_signal(session, name))
    if as_json:
        print_json(explanation_json(explanation))
    else:
        typer.echo(words(explanation))


@app.command()
def export(
    path: Annotated[Path, typer.Argument(metavar="OUT", help="OUT.jsonl or OUT.csv")],
    session_date: SessionDate = None,
    min_confidence: MinConfidence = None,
    side: OnlySide = None,
    database: Database = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Write signals to a file, in the order of their events; it appears whole or not at all.

    Example: ifd signals export today.csv --session 2026-11-23
    """
    wanted = _filter(session_date, min_confidence, side)
    if path.suffix not in (".jsonl", ".csv"):
        raise typer.BadParameter("the file's name must end in .jsonl or .csv", param_hint="OUT")
    from cli.signal_files import write_signals
    from models.search import all_signals

    with _reading(database, profile) as session:
        written = write_signals(path, all_signals(session, wanted))
    if as_json:
        print_json({"file": str(path), "signals": written})
    else:
        typer.echo(f"{written:,} signals written to {path}")


def _filter(
    session_date: str | None, min_confidence: float | None, side: Side | None
) -> SignalFilter:
    from models.search import SignalFilter

    return SignalFilter(session_date, min_confidence, side.value if side else None)


@contextmanager
def _reading(database: str | None, profile: str | None) -> Iterator[Session]:
    """Give a session on a database that exists and is current."""
    url = settings_for(database, profile).database_url
    from sqlmodel import Session

    from models.base import make_engine
    from models.database import readable_errors, require_current

    require_current(url)
    engine = make_engine(url)
    try:
        with readable_errors(url), Session(engine, expire_on_commit=False) as session:
            yield session
    finally:
        engine.dispose()
