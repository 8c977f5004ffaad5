"""`ifd up`: the main job, with a live status in the terminal."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.common import AsJson, Database, Profile, print_json, settings_for
from cli.status import read_status, status_table
from ifd.errors import IfdError

if TYPE_CHECKING:
    from runtime.up import Platform, Summary

VAR: Final = Path("var")
FIRST_RECORD_SECONDS: Final = 60.0
REFRESH_SECONDS: Final = 1.0
PLAIN_STATUS_SECONDS: Final = 10.0


def up(
    seconds: Annotated[
        float | None,
        typer.Option(
            "--for",
            min=1,
            help="stream this long, drain, print a summary and exit",
            metavar="SECONDS",
        ),
    ] = None,
    no_prefect: Annotated[
        bool, typer.Option("--no-prefect", help="start the stream without a Prefect server")
    ] = False,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="dashboard port  [default: 8050]")
    ] = None,
    database: Database = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Run everything: database, exchange, Prefect, stream, alerts, dashboard. Ctrl-C drains.

    With no DATABENTO_API_KEY a local exchange serves a simulated market; with no Slack configured
    a local stand-in takes the alerts.

    Example: ifd up --for 60
    """
    settings = settings_for(database, profile)
    if port is not None:
        dashboard = settings.dashboard.model_copy(update={"port": port})
        settings = settings.model_copy(update={"dashboard": dashboard})
    from runtime.up import Platform

    # A shell that starts us in the background leaves Ctrl-C ignored; systemd stops by SIGTERM.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    begun = time.monotonic()

    def say(text: str) -> None:
        typer.echo(f"{time.monotonic() - begun:6.1f}s  {text}", err=as_json)

    platform = Platform(settings, var=VAR, with_prefect=not no_prefect, say=say)
    problem: str | None = None
    platform.start()
    try:
        for place in platform.places:
            typer.echo(f"         {place.name:<15} {place.address}", err=as_json)
        problem = _wait_for_records(platform, say, patient=seconds is None)
        if problem is None:
            problem = _show(platform, seconds, plain=as_json)
    except KeyboardInterrupt:
        say("asked to stop")
    except IfdError as error:
        problem = str(error)
    say("draining")
    for number in (signal.SIGINT, signal.SIGTERM):  # a second one must not break the drain
        signal.signal(number, signal.SIG_IGN)
    summary = platform.close("ifd up ended")
    if seconds is None:  # a person ended it: what had not come yet is no failure
        summary = dataclasses.replace(summary, missing=())
    _report(summary, problem, as_json=as_json)


def _wait_for_records(
    platform: Platform, say: Callable[[str], None], *, patient: bool
) -> str | None:
    """Wait for the first record; return what is wrong when none can be expected."""
    begun = time.monotonic()
    told = False
    while True:
        platform.refresh()
        run = platform.current_run()
        if run is not None and run.records:
            say("records are flowing")
            return None
        ended = platform.why_ended()
        if ended is not None and not patient:
            return ended
        if ended is not None and not told:
            say(f"{ended}; waiting for the next scheduled run, Ctrl-C ends")
            told = True
        if not patient and time.monotonic() - begun > FIRST_RECORD_SECONDS:
            found = read_status(platform.settings.database_url)
            why = found["health"].get("stream", {}).get("feed_error")
            return (
                f"no record came within {FIRST_RECORD_SECONDS:.0f} s ({why or 'no error'}): check "
                f"the network, IFD_FEED__HOST and IFD_FEED__PORT, and the logs in {VAR}/log"
            )
        time.sleep(0.2)


def _show(platform: Platform, seconds: float | None, *, plain: bool) -> str | None:
    """Show the status until the time is over; return what ended the stream before that."""
    from rich.console import Console
    from rich.live import Live

    begun = time.monotonic()
    console = Console(stderr=plain)
    spoken = begun
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while seconds is None or time.monotonic() - begun < seconds:
            platform.refresh()
            found = read_status(platform.settings.database_url)
            ended = platform.why_ended()
            if ended is not None and seconds is not None:
                return f"the stream ended early: {ended}"
            if console.is_terminal:
                live.update(status_table(found), refresh=True)
            elif time.monotonic() - spoken >= PLAIN_STATUS_SECONDS:
                spoken = time.monotonic()
                typer.echo(_line(found), err=plain)
            time.sleep(REFRESH_SECONDS)
    return None


def _line(found: dict[str, Any]) -> str:
    run, health = found["run"], found["health"].get("stream", {})
    return (
        f"         {run['records']:,} records ({health.get('records_per_s', 0):,.0f}/s), "
        f"{run['windows']:,} windows, {run['signals']:,} signals, "
        f"{found['alerts'].get('sent', 0):,} alerts sent, {run['gaps']:,} gaps"
    )


def _report(summary: Summary, problem: str | None, *, as_json: bool) -> None:
    problems = [problem] if problem else list(summary.missing)
    if as_json:
        print_json({**summary.numbers, "ok": not problems, "problems": problems})
    else:
        typer.echo("\nsummary")
        for name, value in summary.numbers.items():
            shown = f"{value:,}" if isinstance(value, int) else str(value)
            typer.echo(f"  {name.replace('_', ' '):<18} {shown}")
    for each in problems:
        typer.secho(f"error: {each}", fg="red", err=True)
    if problems:
        raise typer.Exit(1)
