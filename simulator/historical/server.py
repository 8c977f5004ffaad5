"""The API over HTTPS, with a certificate authority that is made at start and dies with the process.

Databento's client always speaks HTTPS. It trusts this server when `REQUESTS_CA_BUNDLE` (its
asynchronous half: `SSL_CERT_FILE`, before the import) names the file the authority is written to.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final

import structlog
import trustme
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ifd.clock import Clock
from ifd.errors import EnvironmentProblemError, PortInUseError
from simulator.historical.door import Door
from simulator.historical.endpoints import Endpoints
from simulator.historical.faults import parse_fault
from simulator.historical.library import Library
from simulator.historical.limits import Limits
from simulator.historical.terms import Terms

log = structlog.get_logger(__name__)

_DRAIN_SECONDS: Final = 1


@dataclass(frozen=True, slots=True)
class HistoricalOptions:
    """How the API is run.

    Parameters
    ----------
    serve : sequence of Path
        DBN files, or directories of them.
    keys : sequence of str
        API keys to let in.
    ca_file : Path
        Where the certificate of the authority is written.
    port : int
        0: any free port.
    faults : sequence of str
        `[TARGET/]NAME[:COUNT]`, in force from the start.
    """

    serve: Sequence[Path]
    keys: Sequence[str]
    ca_file: Path
    host: str = "127.0.0.1"
    port: int = 0
    faults: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    terms: Terms = field(default_factory=Terms)
    slow_seconds: float = 1.0


class HistoricalServer:
    """Serves inside an event loop, from `async with` on.

    Raises
    ------
    PortInUseError, EnvironmentProblemError
        On entering, if it cannot listen.
    ConfigurationError, InputError
        If an option or a file to serve cannot be used.
    """

    def __init__(self, options: HistoricalOptions, clock: Clock) -> None:
        self._options = options
        self._library = Library(options.serve)
        self.door = Door(
            Endpoints(self._library, options.terms).app(),
            keys=options.keys,
            clock=clock,
            limits=options.limits,
            slow_seconds=options.slow_seconds,
        )
        for text in options.faults:
            name, target, count = parse_fault(text)
            self.door.faults.plan(name, target, count=count)
        self.port = 0

    @property
    def ca_file(self) -> Path:
        """Return the file that makes a client trust this server."""
        return self._options.ca_file

    @property
    def address(self) -> str:
        """Return `host:port`, what the client takes as its gateway."""
        return f"{self._options.host}:{self.port}"

    async def __aenter__(self) -> HistoricalServer:
        """Listen, and write the authority's certificate."""
        bound = _listen(self._options.host, self._options.port)
        self.port = bound.getsockname()[1]
        authority = trustme.CA(organization_name="the local exchange")
        self._options.ca_file.parent.mkdir(parents=True, exist_ok=True)
        authority.cert_pem.write_to_path(str(self._options.ca_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(self._options.host, "localhost").configure_cert(context)
        self._server = _Server(_config(self.door, context))
        self._serving = asyncio.create_task(self._server.serve(sockets=[bound]))
        await self._server.listening.wait()
        log.info("historical API ready", host=self._options.host, port=self.port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let requests end, for a second, then stop."""
        self._server.should_exit = True
        await self._serving
        self._library.close()


class _Connection(H11Protocol):
    """A connection that does not outlive the server for a farewell.

    TLS waits half a minute for a client long gone to say goodbye.
    """

    def shutdown(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            super().shutdown()


class _Server(uvicorn.Server):
    """A server that says when it listens, and leaves signals to whoever runs the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(door: Door, context: ssl.SSLContext) -> uvicorn.Config:
    return uvicorn.Config(
        door,
        http=_Connection,
        ssl_context_factory=lambda _config, _default: context,
        lifespan="off",
        log_level="critical",  # it would call an answer that is cut on purpose an error
        access_log=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        server_header=False,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(port, "historical API", "--historical-port") from error
        raise EnvironmentProblemError(
            f"the historical API cannot listen on {host}:{port} ({error.strerror})"
        ) from error
