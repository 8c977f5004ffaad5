"""Runs the gateway as a process: signals, the ready file, and commands on standard input."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from ifd.clock import Clock, SystemClock
from ifd.errors import ConfigurationError
from ifd.sessions import session_date
from simulator.commands import answer_commands
from simulator.historical import HistoricalOptions, HistoricalServer
from simulator.live import (
    DEFAULT_KEY,
    Fault,
    FaultPlan,
    FileSource,
    KeyRing,
    Limits,
    LiveGateway,
    SimulatedSource,
)
from simulator.live.faults import fault_name
from simulator.live.simulated import live_params
from simulator.live.sources import RecordSource

log = structlog.get_logger(__name__)

KEY_VARIABLE: Final = "IFD_SIMULATOR_KEY"


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """How a gateway is run; the command line's options, one to one."""

    host: str = "127.0.0.1"
    port: int = 0
    ready_file: Path | None = None
    keys: Sequence[str] = ()
    serve: Sequence[Path] = ()
    speed: float = 1.0
    close_at_end: bool = False
    seed: int = 1
    rate: float = 150.0
    history_minutes: float = 20.0
    episode_every: float = 120.0
    session: str = "auto"
    max_connects: int = 5
    max_sessions: int = 10
    max_subscriptions: int = 10
    replay_hours: float = 24.0
    faults: Sequence[str] = ()
    control: bool = False
    historical_port: int | None = None
    historical_ca: Path = Path("var/historical-ca.pem")
    historical_faults: Sequence[str] = ()

    def accepted_keys(self) -> list[str]:
        """Return the keys that are let in: those given, the environment's, or the default."""
        given = list(self.keys) or [os.environ.get(KEY_VARIABLE, "")]
        return [key for key in given if key] or [DEFAULT_KEY]

    def limits(self) -> Limits:
        """Return what clients are allowed; 0 is no limit."""
        return Limits(
            connects_per_second=self.max_connects or None,
            sessions_per_key=self.max_sessions or None,
            subscriptions_per_second=self.max_subscriptions or None,
            replay_hours=self.replay_hours or None,
        )


async def run_gateway(
    options: GatewayOptions, *, announce: Callable[[LiveGateway], None] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT; `announce` hears of the gateway once it listens.

    Raises
    ------
    PortInUseError, EnvironmentProblemError
        If it cannot listen.
    ConfigurationError, InputError
        If an option or a file to serve cannot be used.
    """
    clock = SystemClock()
    source = make_source(options, clock)
    gateway = LiveGateway(
        source,
        keys=KeyRing(options.accepted_keys()),
        clock=clock,
        host=options.host,
        port=options.port,
        close_at_end=options.close_at_end,
        plan=FaultPlan.parse(options.faults),
        limits=options.limits(),
    )
    async with gateway, _historical(options, clock):
        serving = _serve_until_told_to_stop(gateway)  # who hears of it may stop it at once
        if announce is not None:
            announce(gateway)
        if options.ready_file is not None:
            write_ready_file(options.ready_file, gateway)
        commands = None
        if options.control:
            apply = partial(apply_command, gateway, source)
            commands = asyncio.create_task(answer_commands(apply))
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        if commands is not None:
            commands.cancel()
            await asyncio.wait([commands])


def make_source(options: GatewayOptions, clock: Clock) -> RecordSource:
    """Return what the options say shall be served."""
    limits = (options.max_connects, options.max_sessions, options.max_subscriptions)
    if min(*limits, options.replay_hours) < 0:
        raise ConfigurationError("a limit is 0, for none, or more")
    if options.speed < 0 or options.rate <= 0 or options.episode_every <= 0:
        raise ConfigurationError("--rate and --episode-every are above 0, --speed is 0 or more")
    if options.serve:
        return FileSource(options.serve, speed=options.speed, clock=clock)
    return SimulatedSource(
        _session(options.session, clock),
        seed=options.seed,
        clock=clock,
        params=live_params(options.rate),
        history_minutes=options.history_minutes,
        episode_seconds=options.episode_every,
    )


def apply_command(gateway: LiveGateway, source: RecordSource, command: str) -> bool:
    """Break something, or mend it again; return False for a command that does not exist.

    A command is a fault as on the command line, `NAME off` to lift one, or `speed X` for the pace
    of a recording.
    """
    word, _, switch = command.partition(" ")
    try:
        if word == "speed":
            _change_speed(source, switch)
        elif switch == "off":
            gateway.lift(fault_name(word))
        else:
            gateway.strike(Fault.parse(command.removesuffix(" on")))
    except ConfigurationError as error:
        log.warning("command refused", reason=str(error))
        return False
    return True


def _change_speed(source: RecordSource, text: str) -> None:
    try:
        speed = float(text)
    except ValueError:
        raise ConfigurationError(f"{text!r} is no speed: give a number such as 10") from None
    if not isinstance(source, FileSource):
        raise ConfigurationError("only a recording has a speed")
    source.change_speed(speed)


def log_to_stderr() -> None:
    """Keep standard output for answers; a process calls this before anything is logged."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def write_ready_file(path: Path, gateway: LiveGateway) -> None:
    """Say where the gateway listens; the file appears whole."""
    content = {"host": gateway.host, "port": gateway.port, "pid": os.getpid()}
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(content), encoding="utf-8")
    part.replace(path)


def _historical(
    options: GatewayOptions, clock: Clock
) -> contextlib.AbstractAsyncContextManager[object]:
    if options.historical_port is None:
        return contextlib.nullcontext()
    if not options.serve:
        raise ConfigurationError("--historical-port serves files: name them with --serve")
    return HistoricalServer(
        HistoricalOptions(
            serve=options.serve,
            keys=options.accepted_keys(),
            ca_file=options.historical_ca,
            host=options.host,
            port=options.historical_port,
            faults=options.historical_faults,
        ),
        clock,
    )


def _session(name: str, clock: Clock) -> dt.date:
    try:
        return dt.date.fromisoformat(session_date(clock.now_ns()) if name == "auto" else name)
    except ValueError:
        raise ConfigurationError(
            f"{name!r} is no session: give a date such as 2026-11-23, or auto"
        ) from None


def _serve_until_told_to_stop(gateway: LiveGateway) -> asyncio.Task[None]:
    serving = asyncio.create_task(gateway.serve())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    return serving
