"""`python -m simulator.mock`: a stand-in for the mock gateway of Databento's own client tests.

Same command line, same commands on standard input, same answers and same echo file, so that those
tests can be run against this project's half of the protocol. A command that could not be carried
out is answered by `nack`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import structlog
import zstandard

from ifd.clock import SystemClock
from ifd.errors import InputError
from simulator.commands import answer_commands
from simulator.live.stand_in import StandIn

log = structlog.get_logger(__name__)


class Commands:
    """What can be asked of the stand-in while it runs."""

    def __init__(self, gateway: StandIn, close: Callable[[], None]) -> None:
        self._gateway = gateway
        self._close = close
        # ...: commands take different numbers of words, checked against the number beside them.
        self._known: dict[str, tuple[int, Callable[..., bool]]] = {
            "active_count": (0, self._active_count),
            "add_key": (1, self._add_key),
            "del_key": (1, gateway.keys.remove),
            "add_dbn": (3, self._add_dbn),
            "disconnect": (1, gateway.disconnect),
            "close": (0, self._close_gateway),
        }

    def apply(self, command: str) -> bool:
        """Carry out a command; return False if there is none such, or it failed."""
        word, *values = command.split() or [""]
        expected, action = self._known.get(word, (-1, None))
        if action is None or len(values) != expected:
            log.warning("no such command", command=word, words=len(values))
            return False
        try:
            return action(*values)
        except (InputError, OSError, zstandard.ZstdError) as error:
            log.warning("command failed", command=word, reason=str(error))
            return False

    def _active_count(self) -> bool:
        log.info("active connections", count=len(self._gateway.sessions))
        return True

    def _add_key(self, key: str) -> bool:
        self._gateway.keys.add(key)
        return True

    def _add_dbn(self, dataset: str, schema: str, path: str) -> bool:
        self._gateway.keep(dataset, schema, Path(path))
        return True

    def _close_gateway(self) -> bool:
        self._close()
        return True


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(
        prog="python -m simulator.mock",
        description="A stand-in for the mock gateway of Databento's Python client.",
        epilog="Example: python -m simulator.mock 127.0.0.1 --port 13000 --echo echo.txt",
    )
    parser.add_argument("host", nargs="?", default="localhost")
    parser.add_argument("-p", "--port", type=int, default=0, help="0: any free port, see the log")
    parser.add_argument("-e", "--echo", default=os.devnull, help="file for what clients say")
    parser.add_argument("-v", "--verbose", action="store_true", help="log every control line")
    return parser.parse_args(arguments)


async def serve(host: str, port: int, echo: BinaryIO) -> None:
    """Serve until told to close, SIGTERM or SIGINT."""
    closing = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, closing.set)
    gateway = StandIn(echo, SystemClock())
    log.info("listening", host=host, port=await gateway.start(host, port))
    commands = asyncio.create_task(answer_commands(Commands(gateway, closing.set).apply))
    await closing.wait()
    commands.cancel()
    await asyncio.wait([commands])
    await gateway.stop()


def main() -> None:
    """Run the stand-in."""
    options = parse_options()
    level = logging.DEBUG if options.verbose else logging.INFO
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    try:
        with Path(options.echo).open("wb") as echo:
            asyncio.run(serve(options.host, options.port, echo))
    except OSError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
