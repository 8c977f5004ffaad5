"""`python -m simulator`: the gateway as a process."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Final

from ifd.errors import ConfigurationError, IfdError
from simulator.live.faults import describe_faults
from simulator.live.gateway import LiveGateway
from simulator.serve import GatewayOptions, log_to_stderr, run_gateway

FAULTS_HELP: Final = "repeatable: " + "; ".join(
    f"{form} {does}" for form, does in describe_faults()
)


def parse_options(arguments: list[str] | None = None) -> GatewayOptions:
    """Return the options of a command line."""
    defaults = GatewayOptions()
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="A local exchange that speaks Databento's live protocol.",
        epilog="Example: python -m simulator --port 13000 --episode-every 15",
    )
    add = parser.add_argument
    add("--host", default=defaults.host)
    add("--port", type=int, default=defaults.port, help="0: any free port")
    add("--ready-file", type=Path, help="written, as JSON with the port, once listening")
    add("--key", dest="keys", action="append", default=[], help="an API key to let in; repeatable")
    add("--serve", type=Path, nargs="+", default=[], help="DBN files or directories to serve")
    add("--speed", type=float, default=defaults.speed, help="of files; 0: as fast as clients read")
    add("--close-at-end", action="store_true", help="end sessions when the files have been sent")
    add("--seed", type=int, default=defaults.seed, help="of the simulated market")
    add("--rate", type=float, default=defaults.rate, help="records a second, about")
    add("--history-minutes", type=float, default=defaults.history_minutes)
    add("--episode-every", type=float, default=defaults.episode_every, help="seconds, about")
    add("--instruments-session-date", dest="session", default=defaults.session)
    add("--max-connects", type=int, default=defaults.max_connects, help="a second; 0: any number")
    add("--max-sessions", type=int, default=defaults.max_sessions, help="for each key")
    add("--max-subscriptions", type=int, default=defaults.max_subscriptions, help="a second")
    add("--replay-hours", type=float, default=defaults.replay_hours, help="how far back; 0: all")
    add("--fault", dest="faults", action="append", default=[], help=FAULTS_HELP)
    add("--control", action="store_true", help="take commands from standard input")
    return GatewayOptions(**vars(parser.parse_args(arguments)))


def announce(gateway: LiveGateway) -> None:
    """Print where the gateway listens."""
    sys.stdout.write(f"listening on {gateway.host}:{gateway.port}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the gateway; turn our own errors into one sentence and an exit code."""
    options = parse_options()
    log_to_stderr()
    try:
        asyncio.run(run_gateway(options, announce=announce))
    except IfdError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)


if __name__ == "__main__":
    main()
