"""`ifd archive`: what is archived, and whether the files are what the catalogue says."""

from __future__ import annotations

import dataclasses
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
    from models.operations import ArchiveFileRow
    from sinks.archive_check import Finding

app = typer.Typer(no_args_is_help=True)


@app.callback()
def archive() -> None:
    """Look at the archive of raw records."""


@app.command("list")
def list_files(
    session_date: SessionDate = None,
    shard: Annotated[str | None, typer.Option("--shard", help="only of this shard")] = None,
    database: Database = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """List the archived files, oldest session first.

    Example: ifd archive list --session 2026-11-23
    """
    settings = settings_for(database, profile)
    from sinks.archive_check import archive_rows

    with current_engine(settings) as engine:
        rows = archive_rows(engine, session_date=session_date, shard=shard)
    if as_json:
        print_json([row.model_dump() for row in rows])
    elif rows:
        _print_rows(rows)
    else:
        typer.echo("nothing is archived there yet")


@app.command()
def verify(
    session_date: SessionDate = None,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="close what dead runs left open, catalogue unknown files"),
    ] = False,
    database: Database = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Read the archived files and compare them with the catalogue; exit 1 when anything is wrong.

    Example: ifd archive verify --session 2026-11-23 --fix
    """
    settings = settings_for(database, profile)
    from cli.terminal import record_progress
    from ifd.clock import SystemClock
    from sinks import archive_check

    now_ns = SystemClock().now_ns()
    directory = settings.archive.directory
    files = archive_check.segments_on_disk(directory, session_date=session_date)
    with current_engine(settings) as engine, record_progress(files) as advance:
        findings = list(
            archive_check.verify(
                engine, directory, session_date=session_date, now_ns=now_ns, advance=advance
            )
        )
        if fix:
            findings = archive_check.mend(engine, findings, now_ns=now_ns)
    wrong = sum(not finding.fixed for finding in findings)
    if as_json:
        print_json(_report(len(files), wrong, findings))
    else:
        _print_findings(len(files), wrong, findings)
    if wrong:
        raise typer.Exit(1)


def _report(files: int, wrong: int, findings: list[Finding]) -> dict[str, Any]:
    return {
        "files": files,
        "wrong": wrong,
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }


def _print_rows(rows: list[ArchiveFileRow]) -> None:
    from cli.terminal import market_time, plain_table, print_table

    table = plain_table("session", "shard", "file", numbers=("records", "MB"))
    for heading in ("first order (ET)", "last order (ET)", "state"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(
            row.session_date,
            row.shard,
            row.path.rpartition("/")[2],
            f"{row.records:,}",
            f"{row.bytes / 1e6:,.1f}",
            market_time(row.first_ts),
            market_time(row.last_ts),
            "open" if row.closed_ns is None else "closed",
        )
    print_table(table)


def _print_findings(files: int, wrong: int, findings: list[Finding]) -> None:
    for finding in findings:
        mended = "  (mended)" if finding.fixed else ""
        typer.echo(f"{finding.problem:<10} {finding.path}: {finding.detail}{mended}")
    noun = "file" if files == 1 else "files"
    typer.echo(f"{files:,} {noun}: {f'{wrong:,} wrong' if wrong else 'all as catalogued'}")
