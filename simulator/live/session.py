"""One client of the gateway: its greeting, its key, its requests, its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import databento_dbn as dbn
import structlog

from ifd.clock import Clock
from simulator.live import messages
from simulator.live.breaking import Breaker
from simulator.live.control import (
    AUTHENTICATION_FAILED,
    Authentication,
    ProtocolError,
    SessionStart,
    SubscriptionLine,
    accepted,
    greeting,
    new_challenge,
    parse_authentication,
    parse_request,
    refused,
)
from simulator.live.faults import Fault, FaultName
from simulator.live.limits import Limits, SubscriptionThrottle
from simulator.live.outlet import Outlet
from simulator.live.saboteur import Saboteur
from simulator.live.sources import RecordSource
from simulator.live.stream import QUIET, SERVED, Stream, Subscription

log = structlog.get_logger(__name__)

_AUTHENTICATION_SECONDS: Final = 60.0
_INVALID: Final = dbn.ErrorCode.from_str("invalid_subscription")


class ClientSession:
    """Serves one connection.

    Parameters
    ----------
    admit : callable
        Given a challenge and its response, notes the session's key, or raises ProtocolError.
    saboteur : Saboteur
        Knows what shall go wrong.
    refuse : callable
        Closes the gateway to everybody for so many seconds.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        source: RecordSource,
        admit: Callable[[ClientSession, str, str], None],
        limits: Limits,
        slow_reader_seconds: float,
        clock: Clock,
        saboteur: Saboteur,
        refuse: Callable[[float], None],
        session_id: int,
        close_at_end: bool,
    ) -> None:
        self.session_id = session_id
        self.key: str | None = None
        """The key it was let in with."""
        self._saboteur = saboteur
        self._refuse = refuse
        self.outlet = Outlet(writer, clock, slow_reader_seconds=slow_reader_seconds)
        self._reader = reader
        self._source = source
        self._admit = admit
        self._limits = limits
        self._throttle = SubscriptionThrottle(limits.subscriptions_per_second)
        self._clock = clock
        self._close_at_end = close_at_end
        self._stream: Stream | None = None
        self._struck_early: list[Fault] = []
        self._lines: list[SubscriptionLine] = []
        self._subscriptions = 0

    async def run(self) -> None:
        """Serve until one side has had enough."""
        try:
            if self._saboteur.spoils_connection(FaultName.HANG_AT_CONNECT, self.session_id):
                await self._reader.read()
                return
            request = await self._authenticate()
            if request is not None:
                await self._serve(request)
        except (ConnectionError, TimeoutError):
            # The client went away, or never said anything: there is nobody left to tell.
            log.info("session lost", session_id=self.session_id)
        finally:
            self.outlet.close()
            await self.outlet.closed()

    def strike(self, fault: Fault) -> None:
        """Let a fault strike: RST and FIN now, the others once records are sent."""
        if fault.name in (FaultName.CUT, FaultName.CLOSE):
            # Not through the stream: it may be waiting for a client that does not read.
            self._saboteur.note(fault, self.session_id, self.outlet.records_sent)
            end = self.outlet.cut if fault.name == FaultName.CUT else self.outlet.close
            end()
        elif self._stream is None:
            self._struck_early.append(fault)
        else:
            self._stream.strike(fault)

    async def _authenticate(self) -> Authentication | None:
        challenge = new_challenge()
        await self.outlet.text(greeting(challenge))
        async with asyncio.timeout(_AUTHENTICATION_SECONDS):
            line = await self._read_line()
        if not line:
            return None
        try:
            request = parse_authentication(line)
            self._check(request, challenge)
        except ProtocolError as error:
            log.info("client refused", session_id=self.session_id, reason=str(error))
            await self.outlet.text(refused(str(error)))
            return None
        self.outlet.set_format(ts_out=request.ts_out, compressed=request.compressed)
        await self.outlet.text(accepted(self.session_id))
        return request

    def _check(self, request: Authentication, challenge: str) -> None:
        spoilt = self._saboteur.spoils_connection(FaultName.AUTH_FAIL, self.session_id)
        if spoilt:
            raise ProtocolError(AUTHENTICATION_FAILED)
        self._admit(self, challenge, request.response)
        if request.dataset != self._source.dataset:
            raise ProtocolError(
                f"Dataset '{request.dataset}' is not served here, '{self._source.dataset}' is"
            )

    async def _serve(self, request: Authentication) -> None:
        self._stream = stream = self._make_stream(request)
        for fault in self._struck_early:
            stream.strike(fault)
        try:
            if not await self._take_requests(stream):
                return
            await self._source.ready.wait()
            requests = asyncio.create_task(self._take_later_requests(stream))
            try:
                await stream.run()
            finally:
                requests.cancel()
                (outcome,) = await asyncio.gather(requests, return_exceptions=True)
            if isinstance(outcome, ProtocolError):
                raise outcome
        except ProtocolError as error:
            log.info("client refused", session_id=self.session_id, reason=str(error))
            await self.outlet.header(self._source.dataset)
            await self.outlet.records([messages.error(str(error), _INVALID, self._clock.now_ns())])

    def _make_stream(self, request: Authentication) -> Stream:
        breaker = Breaker(
            self.outlet,
            self._source,
            self._saboteur,
            self._clock,
            session_id=self.session_id,
            refuse=self._refuse,
        )
        return Stream(
            self.outlet,
            self._source,
            self._clock,
            saboteur=self._saboteur,
            breaker=breaker,
            limits=self._limits,
            session_id=self.session_id,
            heartbeat_seconds=request.heartbeat_seconds,
            close_at_end=self._close_at_end,
        )

    async def _take_later_requests(self, stream: Stream) -> None:
        try:
            while await self._take_requests(stream):
                # Started once, a session cannot be started again.
                pass
        finally:
            stream.stop()

    async def _take_requests(self, stream: Stream) -> bool:
        """Take in subscriptions; return True at a session start, False when the client leaves."""
        while line := await self._read_line():
            request = parse_request(line)
            if isinstance(request, SessionStart):
                return True
            await self._throttle.turn()
            self._take_subscription(request, stream)
        return False

    def _take_subscription(self, line: SubscriptionLine, stream: Stream) -> None:
        if line.schema not in SERVED | QUIET:
            raise ProtocolError(f"Schema '{line.schema}' is not served by the local exchange")
        self._lines.append(line)
        if not line.is_last:
            return
        self._subscriptions += 1
        symbols = tuple(symbol for part in self._lines for symbol in part.symbols)
        self._lines = []
        number = self._subscriptions if line.subscription_id is None else line.subscription_id
        stream.subscribe(
            Subscription(number, line.schema, line.stype_in, symbols, line.start_ns, line.snapshot)
        )

    async def _read_line(self) -> bytes:
        try:
            line = await self._reader.readline()
        except ValueError:
            raise ConnectionAbortedError("a line had no end") from None
        return line if line.endswith(b"\n") else b""
