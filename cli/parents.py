"""`ifd parents`: whether every option parent of the chain is subscribed to."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import AsJson, Database, Profile, current_engine, print_json, settings_for

if TYPE_CHECKING:
    from config.settings import Settings
    from ifd.parents import ParentDrift


def parents(
    definitions: Annotated[
        list[Path] | None,
        typer.Option("--definitions", help="DBN file of definitions, of all symbols at best"),
    ] = None,
    fetch: Annotated[
        dt.datetime | None,
        typer.Option(
            "--fetch", formats=["%Y-%m-%d"], help="buy the definitions of all symbols of this day"
        ),
    ] = None,
    max_cost: Annotated[
        float, typer.Option("--max-cost", min=0, help="US dollars that --fetch may spend")
    ] = 1.0,
    as_json: AsJson = False,
    database: Database = None,
    profile: Profile = None,
) -> None:
    """Hold the parents that definitions list against those the feed subscribes to.

    Without an option: by what the stream was sent in its newest session. Exit 1 when the exchange
    lists options on our futures under a parent that nobody subscribed to.

    Example: ifd parents --fetch 2026-11-23
    """
    settings = settings_for(database, profile)
    found = _find(settings, definitions, fetch, max_cost)
    if as_json:
        import dataclasses

        print_json(dataclasses.asdict(found))
    else:
        _print(found)
    if found.undeclared:
        raise typer.Exit(1)


def _find(
    settings: Settings, files: list[Path] | None, day: dt.datetime | None, max_cost: float
) -> ParentDrift:
    from ifd.units import MICRO_DOLLARS
    from runtime.parents import DIRECTORY, drift_of_files, drift_of_history, drift_of_tables

    if files:
        return drift_of_files(settings, files)
    with current_engine(settings) as engine:
        if day is None:
            return drift_of_tables(settings, engine)
        return drift_of_history(
            settings,
            engine,
            day.date(),
            DIRECTORY,
            at_most_micro_dollars=int(max_cost * MICRO_DOLLARS),
        )


def _print(found: ParentDrift) -> None:
    typer.echo(f"listed now   {', '.join(found.listed) or 'none'}")
    typer.echo(f"not listed   {', '.join(found.unlisted) or 'none'} (ordinary)")
    if found.undeclared:
        names = ", ".join(found.undeclared)
        typer.secho(
            f"UNWATCHED    {names}: add to feed.parents (IFD_FEED__PARENTS)", fg="red", bold=True
        )
    else:
        typer.echo("every parent of the chain is subscribed to")
