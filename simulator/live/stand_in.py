"""A gateway that replays whole DBN files and writes down what clients say.

The counterpart of the mock gateway in the tests of Databento's Python client: a session names
schemas, and for each it is sent the file kept for its dataset and schema, whatever the symbols;
then comes FIN, while what the client still says is listened to. Control lines are parsed by the
client library's own classes, looser than the real gateway, because its tests send anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import structlog
import zstandard
from databento.live.gateway import (
    AuthenticationRequest,
    SessionStart,
    SubscriptionRequest,
    parse_gateway_message,
)

from ifd.clock import Clock
from ifd.errors import ConfigurationError, CorruptStreamError
from ifd.records import header_size
from simulator.live.control import (
    AUTHENTICATION_FAILED,
    SCHEMAS,
    KeyRing,
    ProtocolError,
    accepted,
    greeting,
    new_challenge,
    refused,
)
from simulator.live.outlet import Outlet

log = structlog.get_logger(__name__)

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_CHUNK: Final = 1 << 16
_LONGEST_LINE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A DBN file, decompressed: its header and everything behind it."""

    header: bytes
    records: bytes

    @classmethod
    def read(cls, path: Path) -> KeptFile:
        """Return the content of a file.

        Raises
        ------
        OSError, zstandard.ZstdError
            If it cannot be read.
        InputError
            If it is no DBN file, or of a version not known here.
        """
        octets = path.read_bytes()
        if octets.startswith(_ZSTD_MAGIC):
            reader = zstandard.ZstdDecompressor().stream_reader(octets, read_across_frames=True)
            octets = reader.read()
        size = header_size(octets)
        if len(octets) < size:
            raise CorruptStreamError("the DBN header is cut short")
        return cls(octets[:size], octets[size:])


class StandIn:
    """The keys, files and sessions of a stand-in gateway.

    Parameters
    ----------
    echo : writable binary file
        Gets every control line that is understood, as the client library writes it.
    """

    def __init__(self, echo: BinaryIO, clock: Clock) -> None:
        self.keys = KeyRing(())
        self.files: dict[tuple[str, str], KeptFile] = {}
        self.sessions: dict[str, StandInSession] = {}
        self._echo = echo
        self._clock = clock
        self._connections = 0
        self._handlers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._handle, host, port, limit=_LONGEST_LINE)
        listening: int = self._server.sockets[0].getsockname()[1]
        return listening

    async def stop(self) -> None:
        """Stop listening and end every session."""
        if self._server is not None:
            self._server.close()
        for session in self.sessions.values():
            session.outlet.cut()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    def keep(self, dataset: str, schema: str, path: Path) -> None:
        """Keep a file for a dataset and schema, in the place of one kept before.

        Raises
        ------
        ConfigurationError
            If there is no such schema.
        OSError, zstandard.ZstdError, InputError
            If the file cannot be used.
        """
        if schema not in SCHEMAS:
            raise ConfigurationError(f"there is no schema {schema!r}")
        self.files[dataset, schema] = KeptFile.read(path)

    def disconnect(self, session_id: str) -> bool:
        """Break a session with RST; return False if there is none of that name."""
        session = self.sessions.get(session_id)
        if session is not None:
            session.outlet.cut()
        return session is not None

    def write_down(self, line: bytes) -> None:
        """Append a control line to the echo."""
        self._echo.write(line)
        self._echo.flush()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        name = f"mock-{self._connections}"
        self._connections += 1
        session = StandInSession(name, reader, Outlet(writer, self._clock), self)
        self.sessions[name] = session
        log.debug("session opened", session_id=name)
        try:
            await session.run()
        finally:
            del self.sessions[name]
            self._handlers.discard(handler)
            log.debug("session closed", session_id=name)


class StandInSession:
    """One client of a stand-in gateway."""

    def __init__(
        self, name: str, reader: asyncio.StreamReader, outlet: Outlet, owner: StandIn
    ) -> None:
        self.outlet = outlet
        self._name = name
        self._reader = reader
        self._owner = owner
        self._challenge = new_challenge()
        self._dataset: str | None = None
        self._asked: list[str] = []
        self._replay: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until the client leaves or says what it may not."""
        try:
            await self.outlet.text(greeting(self._challenge))
            while line := await self._reader.readline():
                await self._take(line)
        except ProtocolError as error:
            log.info("client refused", session_id=self._name, reason=str(error))
        except ConnectionError:
            log.info("session lost", session_id=self._name)
        finally:
            await self._end()

    async def _take(self, line: bytes) -> None:
        try:
            message = parse_gateway_message(line.decode("ascii"))
        except ValueError as error:  # UnicodeDecodeError is one
            raise ProtocolError(str(error)) from error
        self._owner.write_down(bytes(message))
        log.debug("control line", session_id=self._name, kind=type(message).__name__)
        if isinstance(message, AuthenticationRequest):
            await self._authenticate(message)
        elif self._dataset is None:
            raise ProtocolError("not authenticated")
        elif isinstance(message, SubscriptionRequest):
            self._asked.append(str(message.schema))
        elif isinstance(message, SessionStart) and self._replay is None:
            self._replay = asyncio.create_task(self._send_files(self._dataset))
        else:
            raise ProtocolError(f"a client may not send {type(message).__name__} here")

    async def _authenticate(self, request: AuthenticationRequest) -> None:
        if self._dataset is not None:
            raise ProtocolError("authenticated already")
        if self._owner.keys.find(self._challenge, request.auth) is None:
            await self.outlet.text(refused(AUTHENTICATION_FAILED))
            raise ProtocolError(AUTHENTICATION_FAILED)
        self._dataset = str(request.dataset)
        self.outlet.set_format(ts_out=False, compressed=str(request.compression) == "zstd")
        await self.outlet.text(accepted(self._name))

    async def _send_files(self, dataset: str) -> None:
        """Send the files of what was asked for: one header, the first one's, then all records."""
        version = None
        # By position: subscriptions may still be added while files are sent.
        for schema in self._asked:
            kept = self._owner.files.get((dataset, schema))
            if kept is None or version not in (None, kept.header[3]):
                log.warning("no file to send", dataset=dataset, schema=schema, version=version)
                break
            octets = kept.records if version is not None else kept.header + kept.records
            version = kept.header[3]
            for place in range(0, len(octets), _CHUNK):
                await self.outlet.octets(octets[place : place + _CHUNK])
                await asyncio.sleep(0)
        await self.outlet.finish()

    async def _end(self) -> None:
        try:
            if self._replay is not None:
                self._replay.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await self._replay
        finally:
            self.outlet.close()
            await self.outlet.closed()
