"""`python -m dashboard`: serve the page until SIGTERM or SIGINT.

Exit codes: 0 stopped, 1 failed (one sentence says why), 2 used or configured wrongly.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson
import structlog
import uvicorn

from dashboard.app import Dashboard
from dashboard.security import read_token, require_safe_host
from ifd.clock import SystemClock
from ifd.errors import (
    ConfigurationError,
    EnvironmentProblemError,
    IfdError,
    PortInUseError,
)
from models.base import make_engine
from models.database import require_current

log = structlog.get_logger("dashboard")

LARGEST_MESSAGE_BYTES: Final = 64 * 1024
PING_SECONDS: Final = 20.0
DRAIN_SECONDS: Final = 3


class _Server(uvicorn.Server):
    """A server that says when it listens, and for which SIGTERM is a normal end."""

    def __init__(self, config: uvicorn.Config, *, url: str, ready_file: Path | None) -> None:
        super().__init__(config)
        self._url = url
        self._ready_file = ready_file

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then write the ready file."""
        await super().startup(sockets)
        if not self.started:
            return
        log.info("dashboard ready", url=self._url)
        if self._ready_file is not None:
            port = (sockets or [])[0].getsockname()[1]
            partial = self._ready_file.with_suffix(".partial")
            partial.write_bytes(orjson.dumps({"port": port, "url": self._url, "pid": os.getpid()}))
            partial.replace(self._ready_file)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on SIGTERM and SIGINT without raising them again, as the base class does."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket.

    Raises
    ------
    PortInUseError
        If something listens there already.
    EnvironmentProblemError
        If the address is not one of this machine, or the port may not be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()  # at once: two that only bind the same port do not see each other
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(port, "dashboard", "--port") from error
        raise EnvironmentProblemError(
            f"the dashboard cannot listen on {host}:{port} ({error.strerror}): choose another "
            "with --host and --port"
        ) from error
    return bound


def serve(arguments: argparse.Namespace) -> None:
    """Run the dashboard until it is asked to stop.

    Raises
    ------
    IfdError
        If it cannot begin.
    """
    token = read_token()
    require_safe_host(arguments.host, token)
    require_current(arguments.database)
    bound = listen(arguments.host, arguments.port)
    failures: list[BaseException] = []

    def fail(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    engine = make_engine(arguments.database)
    dashboard = Dashboard(engine, SystemClock(), prefect_url=arguments.prefect_url, on_failure=fail)
    config = uvicorn.Config(
        dashboard.app(token=token),
        log_level="warning",  # its access log would show the token of the first request
        access_log=False,
        ws_per_message_deflate=False,  # frames of 130 bytes: compression doubles their latency
        ws_max_size=LARGEST_MESSAGE_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        server_header=False,
    )
    server = _Server(config, url=_url(bound), ready_file=arguments.ready_file)
    try:
        server.run(sockets=[bound])
    finally:
        engine.dispose()
    if failures:
        raise failures[0]
    if not server.started:
        raise EnvironmentProblemError("the dashboard could not start: its log says why")


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dashboard",
        description="Serve the live page: candles, signals and their reasons.",
        epilog="example: python -m dashboard --database sqlite:///var/ifd.db --port 8050",
    )
    parser.add_argument(
        "--database",
        default=os.environ.get("IFD_DATABASE_URL", "sqlite:///var/ifd.db"),
        help="database URL  [default: sqlite:///var/ifd.db]",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_port, default=8050, help="0 chooses a free one")
    parser.add_argument("--ready-file", type=Path, help="written once it listens: JSON with port")
    parser.add_argument("--prefect-url", type=_web_address, help="Prefect UI to link to")
    return parser


def _port(given: str) -> int:
    if not (given.isascii() and given.isdecimal() and int(given) <= 65_535):
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {given!r}")
    return int(given)


def _web_address(given: str) -> str:
    if not given.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"a web address begins with http://, not {given!r}")
    return given


def main() -> int:
    """Run the command and return its exit code."""
    try:
        serve(_parser().parse_args())
    except ConfigurationError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except IfdError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
