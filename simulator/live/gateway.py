"""The server: accepts clients, gives each a session, and breaks them when told to."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import numpy as np
import structlog

from ifd.clock import Clock
from ifd.errors import EnvironmentProblemError, PortInUseError
from ifd.records import MBO_DTYPE, MboArray
from ifd.units import NANOS_PER_SECOND
from simulator.live.control import (
    AUTHENTICATION_FAILED,
    TOO_MANY_SESSIONS,
    KeyRing,
    ProtocolError,
)
from simulator.live.faults import Fault, FaultName, FaultPlan
from simulator.live.limits import UNLIMITED, ConnectionGate, Limits
from simulator.live.outlet import SLOW_READER_SECONDS
from simulator.live.saboteur import Saboteur, Struck
from simulator.live.session import ClientSession
from simulator.live.sources import RecordSource

log = structlog.get_logger(__name__)

_LONGEST_LINE: Final = 1 << 20
_FAREWELL_SECONDS: Final = 1.0
_LISTEN_AGAIN_SECONDS: Final = 0.1


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
    plan : FaultPlan
        What shall go wrong, and when; `strike` adds to it.
    limits : Limits
        What clients are allowed; a process has those of the real gateway.
    slow_reader_seconds : float
        After how long a client that does not read is warned.
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
        plan: FaultPlan = FaultPlan(),
        limits: Limits = UNLIMITED,
        slow_reader_seconds: float = SLOW_READER_SECONDS,
    ) -> None:
        self.host = host
        self.port = port
        self._source = source
        self._keys = keys
        self._clock = clock
        self._close_at_end = close_at_end
        self._sessions: dict[ClientSession, asyncio.Task[None]] = {}
        self._next_session_id = clock.now_ns() // NANOS_PER_SECOND
        self._server: asyncio.Server | None = None
        self._production: asyncio.Task[None] | None = None
        self._saboteur = Saboteur(plan)
        self._refusing: asyncio.Task[None] | None = None
        self._limits = limits
        self._gate = ConnectionGate(limits.connects_per_second)
        self._slow_reader_seconds = slow_reader_seconds

    @property
    def struck(self) -> Sequence[Struck]:
        """The faults that have struck, in order."""
        return self._saboteur.struck

    @property
    def left_out(self) -> MboArray:
        """The records that `skip` has made a hole of: nobody is sent them any more."""
        return np.concatenate([np.empty(0, MBO_DTYPE), *self._saboteur.left_out])

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
            await self._listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(self.port, "simulated exchange", "--port") from error
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise EnvironmentProblemError(
                f"the simulated exchange cannot listen on {self.host}:{self.port} ({reason}): "
                "choose another address with --host and --port"
            ) from error
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
        if self._refusing is not None:
            self._refusing.cancel()
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

    def strike(self, fault: Fault) -> None:
        """Let a fault strike every session now, or wait for its turn if it says when.

        A fault of connecting has its turn with the next connection.
        """
        if fault.at_connection or fault.after is not None:
            self._saboteur.add(fault)
            return
        if fault.name == FaultName.REFUSE:
            self._saboteur.note(fault, 0, 0)
            self._refuse(fault.value or 0.0)
            return
        for session in list(self._sessions):
            session.strike(fault)

    def lift(self, name: FaultName) -> None:
        """End a fault of connecting, and take out of the plan what waits of that name."""
        self._saboteur.lift(name)

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

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._handle, self.host, self.port, limit=_LONGEST_LINE
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _refuse(self, seconds: float) -> None:
        if self._refusing is not None:
            self._refusing.cancel()
        assert self._server is not None
        self._server.close()
        self.cut()
        self._refusing = asyncio.create_task(self._listen_again(seconds))

    async def _listen_again(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        while True:
            try:
                await self._listen()
            except OSError as error:
                # Somebody took the port meanwhile: the gateway comes back when it is free.
                log.warning("cannot listen again yet", port=self.port, reason=str(error))
                await asyncio.sleep(_LISTEN_AGAIN_SECONDS)
            else:
                return

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that has gone already has no name.
        address, *_ = writer.get_extra_info("peername") or ("",)
        if not self._gate.lets_in(address):
            log.info("connection refused", reason="too many a second")
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._next_session_id += 1
        session = ClientSession(
            reader,
            writer,
            source=self._source,
            admit=self._admit,
            limits=self._limits,
            slow_reader_seconds=self._slow_reader_seconds,
            clock=self._clock,
            saboteur=self._saboteur,
            refuse=self._refuse,
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

    def _admit(self, session: ClientSession, challenge: str, response: str) -> None:
        key = self._keys.find(challenge, response)
        if key is None:
            raise ProtocolError(AUTHENTICATION_FAILED)
        limit = self._limits.sessions_per_key
        if limit is not None and sum(one.key == key for one in self._sessions) >= limit:
            raise ProtocolError(TOO_MANY_SESSIONS)
        session.key = key
