"""The `ifd` command line: names, groups and exit codes.

Exit codes: 0 done, 1 failed (one sentence says why), 2 used wrongly.
"""

from __future__ import annotations

import sys

import typer

from cli import (
    archive,
    backfill,
    baselines,
    bench,
    books,
    costs,
    database,
    doctor,
    evaluate,
    gaps,
    historical,
    parents,
    quality,
    schedule,
    signals,
    simulator,
    status,
    up,
)
from ifd.errors import ConfigurationError, IfdError

app = typer.Typer(
    name="ifd",
    help="Institutional flow detection for E-mini Nasdaq-100 options.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(up.up)
app.command("replay")(books.replay)
app.command("book")(books.book)
app.command("simulate")(simulator.simulate)
app.command("evaluate")(evaluate.evaluate)
app.command("gateway")(simulator.gateway)
app.command("bench")(bench.bench)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)
app.command("gaps")(gaps.gaps)
app.command("backfill")(backfill.backfill)
app.command("costs")(costs.costs)
app.command("parents")(parents.parents)
app.command("schedule")(schedule.schedule)
app.add_typer(archive.app, name="archive")
app.add_typer(baselines.app, name="baselines")
app.add_typer(quality.app, name="quality")
app.add_typer(signals.app, name="signals")
app.add_typer(historical.app, name="historical")
app.add_typer(database.app, name="db")


def main() -> None:
    """Run the command; turn our own errors into one sentence and an exit code."""
    try:
        app()
    except ConfigurationError as error:
        _fail(error, 2)
    except IfdError as error:
        _fail(error, 1)


def _fail(error: IfdError, code: int) -> None:
    typer.secho(f"error: {error}", fg="red", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
