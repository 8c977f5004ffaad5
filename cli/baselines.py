"""`ifd baselines`: make them from files, look at them."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import AsJson, Database, Profile, print_json, settings_for

if TYPE_CHECKING:
    from ifd.baseline import BaselineStat
    from runtime.baselines import Rebuilt

app = typer.Typer(no_args_is_help=True)


@app.callback()
def baselines() -> None:
    """Make and show what pressure usually is, by strike and time of day."""


@app.command()
def rebuild(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="DBN files of MBO records, whole days")
    ],
    definitions: Annotated[
        list[Path],
        typer.Option("--definitions", metavar="FILE", help="DBN file that defines the instruments"),
    ],
    database: Database = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild the baselines of a profile from DBN files, as the nightly flow does.

    What was stored for the same windows and baseline settings is replaced as a whole. The database
    is created where there is none.

    Example: ifd baselines rebuild sim/*.mbo.dbn.zst --definitions sim/definitions.dbn.zst
    """
    settings = settings_for(database, profile)
    from cli.terminal import record_progress
    from ifd.clock import SystemClock
    from models.base import make_engine
    from models.database import readable_errors, upgrade
    from runtime.baselines import rebuild as rebuild_baselines

    upgrade(settings.database_url)
    begun = time.perf_counter()
    engine = make_engine(settings.database_url)
    try:
        with readable_errors(settings.database_url), record_progress(files) as advance:
            made = rebuild_baselines(
                files,
                definitions,
                engine,
                settings.engine_params(),
                clock=SystemClock(),
                on_records=advance,
            )
    finally:
        engine.dispose()
    seconds = round(time.perf_counter() - begun, 3)
    if as_json:
        print_json(dataclasses.asdict(made) | {"seconds": seconds})
    else:
        _print_rebuilt(made, seconds, settings.baseline.min_sessions)


@app.command()
def show(
    symbol: Annotated[
        str,
        typer.Argument(metavar="SYMBOL", help="raw symbol, `all`, or peers as in peers:C:otm:1-7d"),
    ],
    database: Database = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Show the baselines of a strike or peer group, by measure and New York time.

    Example: ifd baselines show "NQZ6 C25000"
    """
    settings = settings_for(database, profile)
    from sqlmodel import Session

    from ifd.errors import InputError
    from models.base import make_engine
    from models.baselines import read_stats
    from models.database import readable_errors, require_current

    require_current(settings.database_url)
    engine = make_engine(settings.database_url)
    try:
        with readable_errors(settings.database_url), Session(engine) as session:
            stats = list(read_stats(session, settings.engine_params(), key=symbol))
    finally:
        engine.dispose()
    if not stats:
        raise InputError(
            f"no baseline of {symbol} is stored for profile {settings.profile}: make some with "
            "`ifd baselines rebuild`"
        )
    if as_json:
        print_json([dataclasses.asdict(stat) for stat in stats])
    else:
        _print_stats(symbol, stats, settings.engine_params().baseline.bucket_ns)


def _print_rebuilt(made: Rebuilt, seconds: float, min_sessions: int) -> None:
    if not made.rows:
        typer.echo(f"{made.records:,} records held no window of a defined option: no baselines")
        return
    typer.echo(
        f"{made.records:,} records, {made.windows:,} windows in {seconds:.1f} s: "
        f"{len(made.sessions)} sessions ({made.sessions[0]} to {made.sessions[-1]}), "
        f"{made.keys:,} keys, {made.rows:,} rows, fingerprint {made.fingerprint}"
    )
    if len(made.sessions) < min_sessions:
        typer.echo(
            f"fewer than the {min_sessions} sessions a baseline needs to speak: "
            "signals go on by the profile's prior"
        )


def _print_stats(symbol: str, stats: list[BaselineStat], bucket_ns: int) -> None:
    from rich import box
    from rich.table import Table

    from cli.terminal import print_table
    from ifd.baseline.keys import bucket_label

    as_of = max(stat.as_of for stat in stats)
    table = Table(title=f"{symbol}, sessions up to {as_of}", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("measure", no_wrap=True)
    for heading in ("from", "sessions", "windows", "median", "MAD", "75 %", "95 %", "most"):
        table.add_column(heading, justify="right", no_wrap=True)
    for stat in stats:
        table.add_row(
            stat.metric,
            bucket_label(stat.bucket, bucket_ns),
            str(stat.sessions),
            f"{stat.samples:,}",
            *(f"{value:,.4g}" for value in (stat.median, stat.mad)),
            *(f"{stat.quantiles[index]:,.4g}" for index in (15, 19, 20)),
        )
    print_table(table)
