"""The server: accepts clients, gives each a session, and breaks them when told to."""

from __future__ import annotations

import asyncio
import errno
import os
from types import TracebackType
from typing import Final, Self

import structlog

from ifd.clock import Clock
from ifd.errors import EnvironmentProblemError, PortInUseError
from ifd.units import NANOS_PER_SECOND
from simulator.live.control import KeyRing
from simulator.live.session import ClientSession
from simulator.live.sources import RecordSource

log = structlog.get_logger(__name__)

_LONGEST_LINE: Final = 1 << 20
_FAREWELL_SECONDS: Final = 1.0


class LiveGateway:
    """A live gateway on one TCP port.

    Parameters
    ----------
    source : RecordSource
        What is served; the gateway runs and closes it.
    keys : KeyRing
        Who is let in.
    port : int
        0 lets the system choose; `port` tells which, once started.
    close_at_end : bool
        End sessions when a recording has been sent; otherwise they stay open, with heartbeats.
    """

    def __init__(
        self,
        source: RecordSource,
        *,
        keys: KeyRing,
        clock: Clock,
        host: str = "127.0.0.1",
        port: int = 0,
        close_at_end: bool = False,
    ) -> None:
        self.host = host
        self.port = port
        self.refuse_keys = False
        """While True every key is refused."""
        self._source = source
        self._keys = keys
        self._clock = clock
        self._close_at_end = close_at_end
        self._sessions: dict[ClientSession, asyncio.Task[None]] = {}
        self._next_session_id = clock.now_ns() // NANOS_PER_SECOND
        self._server: asyncio.Server | None = None
        self._production: asyncio.Task[None] | None = None

    @property
    def sessions(self) -> int:
        """How many clients are connected."""
        return len(self._sessions)

    async def start(self) -> None:
        """Listen; the source begins to fill behind it.

        Raises
        ------
        PortInUseError
            If somebody else listens there.
        EnvironmentProblemError
            If the address cannot be listened on for another reason.
        """
        try:
            self._server = await asyncio.start_server(
                self._handle, self.host, self.port, limit=_LONGEST_LINE
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(self.port, "simulated exchange", "--port") from error
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise EnvironmentProblemError(
                f"the simulated exchange cannot listen on {self.host}:{self.port} ({reason}): "
                "choose another address with --host and --port"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        self._production = asyncio.create_task(self._source.run())

    async def ready(self) -> None:
        """Wait until all that lies in the past is held."""
        await self._source.ready.wait()

    async def serve(self) -> None:
        """Return when the source has broken, raising what broke it; else run until cancelled."""
        assert self._production is not None
        await self._production
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Stop listening, end every session politely, and let go of the source."""
        if self._server is not None:
            self._server.close()
        self.close_sessions()
        if self._sessions:
            # Who does not read what is left is not waited for.
            await asyncio.wait(self._sessions.values(), timeout=_FAREWELL_SECONDS)
        self.cut()
        tasks = [*self._sessions.values()]
        if self._production is not None:
            tasks.append(self._production)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._source.close()

    def cut(self) -> int:
        """Break every session with RST; return how many there were."""
        for session in self._sessions:
            session.outlet.cut()
        return len(self._sessions)

    def close_sessions(self) -> int:
        """End every session with FIN and no word; return how many there were."""
        for session in self._sessions:
            session.outlet.close()
        return len(self._sessions)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._next_session_id += 1
        session = ClientSession(
            reader,
            writer,
            source=self._source,
            admits=self._admits,
            clock=self._clock,
            session_id=self._next_session_id,
            close_at_end=self._close_at_end,
        )
        self._sessions[session] = task
        log.info("session opened", session_id=session.session_id, sessions=self.sessions)
        try:
            await session.run()
        finally:
            del self._sessions[session]
            log.info(
                "session closed", session_id=session.session_id, records=session.outlet.records_sent
            )

    def _admits(self, challenge: str, response: str) -> bool:
        return not self.refuse_keys and self._keys.admits(challenge, response)
