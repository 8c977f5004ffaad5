"""`ifd simulate` and `ifd gateway`: the local exchange, as files and as a live feed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import AsJson, Database, Profile, print_json

if TYPE_CHECKING:
    from simulator.live import LiveGateway
    from simulator.session_files import SessionPlan, Written

Rate = Annotated[float, typer.Option("--rate", min=0.1, help="records a second, about")]


def simulate(
    days: Annotated[int, typer.Option("--days", min=1, help="how many sessions")],
    seed: Annotated[int, typer.Option("--seed", help="same seed and options, same bytes")],
    out: Annotated[Path, typer.Option("--out", help="directory to write")],
    minutes: Annotated[
        int, typer.Option("--minutes", min=1, max=390, help="length of each session from 09:30 ET")
    ] = 390,
    rate: Rate = 75.0,
    episode_every: Annotated[
        float, typer.Option("--episode-every", min=5, help="seconds between institutions, about")
    ] = 600.0,
    confounder_every: Annotated[
        float,
        typer.Option(
            "--confounder-every", min=0, help="seconds between what only looks like one; 0: never"
        ),
    ] = 600.0,
    start_date: Annotated[
        dt.datetime,
        typer.Option(
            "--start-date", formats=["%Y-%m-%d"], help="first session", show_default="2026-10-05"
        ),
    ] = dt.datetime(2026, 10, 5),  # noqa: DTZ001 - a date; the command line knows no type for it
    force: Annotated[
        bool, typer.Option("--force", help="replace the simulated sessions in the directory")
    ] = False,
    as_json: AsJson = False,
    _database: Database = None,
    _profile: Profile = None,
) -> None:
    """Write simulated sessions: definitions, one MBO file a day, and labels.json with the truth.

    Neither database nor profile has a part in it.

    Example: ifd simulate --days 5 --seed 7 --out var/simulated
    """
    from simulator.market.market import MarketParams
    from simulator.session_files import SessionPlan

    params = MarketParams(
        records_per_second=rate,
        episode_seconds=episode_every,
        confounder_seconds=confounder_every,
    )
    plan = SessionPlan(days, seed, start_date.date(), minutes, params)
    written = _write_with_progress(out, plan, force=force)
    if as_json:
        print_json(
            {
                "directory": str(written.directory),
                "sessions": written.sessions,
                "instruments": written.instruments,
                "records": written.records,
                "episodes": written.episodes,
                "bytes": written.bytes,
            }
        )
        return
    typer.echo(
        f"{written.directory}: {written.sessions} sessions of {written.instruments} instruments, "
        f"{written.records:,} records, {written.episodes} planted episodes, "
        f"{written.bytes / 1e6:,.1f} MB"
    )


def gateway(
    host: Annotated[str, typer.Option("--host")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free port")] = 13000,
    serve: Annotated[
        list[Path] | None,
        typer.Option(
            "--serve", help="DBN file or directory to serve, instead of the simulated market"
        ),
    ] = None,
    speed: Annotated[
        float, typer.Option("--speed", min=0, help="of files: 1 real pace, 0 as clients read")
    ] = 1.0,
    close_at_end: Annotated[
        bool, typer.Option("--close-at-end", help="end sessions when the files have been sent")
    ] = False,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", help="API key to let in; repeatable  [default: IFD_SIMULATOR_KEY]"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="of the simulated market")] = 1,
    rate: Rate = 150.0,
    history_minutes: Annotated[
        float, typer.Option("--history-minutes", min=0, help="what a client can replay at once")
    ] = 20.0,
    episode_every: Annotated[
        float,
        typer.Option("--episode-every", min=1, help="seconds between planted episodes, about"),
    ] = 120.0,
    session: Annotated[
        str, typer.Option("--instruments-session-date", help="whose instruments, or auto")
    ] = "auto",
    max_connects: Annotated[
        int, typer.Option("--max-connects", min=0, help="a second from one address; 0: any number")
    ] = 5,
    max_sessions: Annotated[
        int, typer.Option("--max-sessions", min=0, help="at a time for each key")
    ] = 10,
    max_subscriptions: Annotated[
        int, typer.Option("--max-subscriptions", min=0, help="requests a second of a session")
    ] = 10,
    replay_hours: Annotated[
        float, typer.Option("--replay-hours", min=0, help="how far back a replay may go; 0: all")
    ] = 24.0,
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", help="what shall go wrong, as listed above; repeatable, in order"),
    ] = None,
    historical_port: Annotated[
        int | None,
        typer.Option(
            "--historical-port", min=0, max=65535, help="serve the files as history too, by HTTPS"
        ),
    ] = None,
    historical_ca: Annotated[
        Path, typer.Option("--historical-ca", help="written: what clients of history shall trust")
    ] = Path("var/historical-ca.pem"),
    historical_fault: Annotated[
        list[str] | None,
        typer.Option("--historical-fault", help="[TARGET/]NAME[:COUNT], as 429:2; repeatable"),
    ] = None,
    control: Annotated[
        bool,
        typer.Option("--control", help="take faults, and NAME off, from standard input, live"),
    ] = False,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", help="written, as JSON, once listening")
    ] = None,
    _database: Database = None,
    _profile: Profile = None,
) -> None:
    """Run the local exchange alone; Databento's own client connects to it. Ctrl-C ends it.

    Neither database nor profile has a part in it.

    Faults strike one after the other. AFTER is how many market records a
    connection is sent since the fault before. CONNECTIONS is for how many it
    holds; without a number, until it is lifted.

      cut[:AFTER]                    RST; what is on its way is lost
      close[:AFTER]                  FIN and no word
      hang[:AFTER]                   sends nothing more, keeps the socket
      garbage[:AFTER]                bytes that are no records
      truncate[:AFTER]               FIN in the middle of a record
      slow[:RATE[:AFTER]]            no more than RATE records a second
      duplicate[:RECORDS[:AFTER]]    cuts; the next replay overlaps by RECORDS
      error:CODE[:AFTER]             error record; FIN where it is fatal
      skip[:RECORDS[:AFTER]]         a hole of RECORDS, announced, never filled
      refuse[:SECONDS[:AFTER]]       cuts all and does not listen for SECONDS
      hang-at-connect[:CONNECTIONS]  accepts and never says a byte
      auth-fail[:CONNECTIONS]        refuses every key
      version[:CONNECTIONS]          announces a newer version of DBN

    Example: ifd gateway --serve var/simulated --speed 10 --fault cut:5000 --fault refuse:3:2000
    """
    import asyncio

    from simulator.serve import GatewayOptions, log_to_stderr, run_gateway

    options = GatewayOptions(
        host=host,
        port=port,
        ready_file=ready_file,
        keys=tuple(key or ()),
        serve=tuple(serve or ()),
        speed=speed,
        close_at_end=close_at_end,
        seed=seed,
        rate=rate,
        history_minutes=history_minutes,
        episode_every=episode_every,
        session=session,
        max_connects=max_connects,
        max_sessions=max_sessions,
        max_subscriptions=max_subscriptions,
        replay_hours=replay_hours,
        faults=tuple(fault or ()),
        control=control,
        historical_port=historical_port,
        historical_ca=historical_ca,
        historical_faults=tuple(historical_fault or ()),
    )
    log_to_stderr()
    shown_key = options.accepted_keys()[0]
    asyncio.run(run_gateway(options, announce=lambda running: _announce(running, shown_key)))


def _write_with_progress(out: Path, plan: SessionPlan, *, force: bool) -> Written:
    import signal
    import sys

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from simulator.session_files import write_sessions

    # Without this, SIGTERM would leave the half-written directory behind.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    columns = (
        TextColumn("simulating"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} market minutes"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("simulating", total=plan.days * plan.minutes)
            return write_sessions(out, plan, force=force, progress=lambda: bar.advance(task))
    finally:
        signal.signal(signal.SIGTERM, before)


def _announce(gateway: LiveGateway, key: str) -> None:
    typer.echo(f"the local exchange listens on {gateway.host}:{gateway.port}; point ifd at it with")
    typer.echo(f"  export IFD_FEED__HOST={gateway.host}")
    typer.echo(f"  export IFD_FEED__PORT={gateway.port}")
    typer.echo("  export IFD_FEED__SIMULATED=true")
    typer.echo(f"  export DATABENTO_API_KEY={key}")
