"""The session manager: connect, watch, come back, until asked to stop.

Whatever ends a connection (reset, clean close, silence, garbage, an error that may pass) is
answered by waiting and connecting again, and by resubscribing from the last event time. Only what
cannot get better ends the feed: a refused key, a refused subscription, an unknown DBN version.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import structlog

from ifd.clock import Clock
from ifd.errors import FeedInterruptedError, GatewayUnreachableError
from ifd.gateway.backoff import Backoff
from ifd.gateway.connection import Timing, authenticate, connect, end_of, leave, watch
from ifd.gateway.intake import Intake
from ifd.gateway.protocol import BulkProtocol
from ifd.gateway.ring import RingWriter
from ifd.gateway.stretches import Stretch
from ifd.gateway.subscription import MBO, FeedGap, GapLog, Subscription
from ifd.records import Chunk
from ifd.units import NANOS_PER_SECOND, UNDEFINED_TIMESTAMP

log = structlog.get_logger("feed")


@dataclasses.dataclass(frozen=True, slots=True)
class FeedCounters:
    """Totals since the feed was made; `duplicates` were sent again by a replay and dropped.

    `bytes_by_schema` are all of `bytes`: what is of no schema counts as orders.
    """

    records: int
    bytes: int
    bytes_by_schema: dict[str, int]
    unknown_records: int
    duplicates: int
    gaps: int
    reconnects: int
    slow_reader_warnings: int
    pauses: int
    queue_depth: int
    queue_high_water: int
    last_ts_event: int | None


class LiveFeed:
    """One live session with the gateway, as if it had never been cut.

    Everything runs on the event loop that `run` is awaited on.

    Parameters
    ----------
    subscriptions : sequence of Subscription
        Each schema at most once.
    queue : RingWriter
        Where accepted records go; it decides how much may be read. Its owner closes it.
    tap : callable or None
        Sees every accepted chunk, in order, before the queue: the archive. An array is a view of
        the receive buffer, to be copied where it is kept.
    replay_limit_seconds : float or None
        After a longer outage the feed begins anew with a snapshot and leaves the gap open, rather
        than fall ever further behind replaying it; None: always replay.
    on_gap : callable or None
        Hears of every gap when it opens and again when it is known how it ended.
    give_up_after_seconds : float or None
        End with GatewayUnreachableError after so long without a record; None: never.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        key: str,
        dataset: str,
        subscriptions: Sequence[Subscription],
        clock: Clock,
        queue: RingWriter,
        heartbeat_seconds: int = 30,
        reconnect_max_seconds: float = 30.0,
        tap: Callable[[Chunk], None] | None = None,
        on_gap: Callable[[FeedGap], None] | None = None,
        give_up_after_seconds: float | None = None,
        replay_limit_seconds: float | None = None,
        timing: Timing = Timing(),
    ) -> None:
        self.last_error: str | None = None
        self._host, self._port = host, port
        self._key, self._dataset = key, dataset
        self._subscriptions = tuple(subscriptions)
        self._heartbeat_seconds = heartbeat_seconds
        self._give_up_after_seconds = give_up_after_seconds
        self._timing = timing
        self._replay_limit_seconds = replay_limit_seconds
        self._clock = clock
        self._queue = queue
        self._gaps = GapLog(clock, on_gap)
        self._intake = Intake(queue, self._gaps, clock, tap)
        self._backoff = Backoff(
            first_seconds=timing.first_wait_seconds, cap_seconds=reconnect_max_seconds
        )
        self._phase = "connecting"
        self._protocol: BulkProtocol | None = None
        self._stopping = asyncio.Event()
        self._reconnects = 0
        self._past_bytes = 0
        self._past_unknown = 0
        self._session_start_ns: int | None = None
        self._replay_refused = False
        self._down_since: float | None = None

    @property
    def state(self) -> str:
        """connecting, authenticating, replaying, snapshot, live, reconnecting or closed."""
        if self._phase != "streaming":
            return self._phase
        if self._intake.replays:
            return "replaying"
        return "snapshot" if self._intake.awaiting_snapshot else "live"

    @property
    def caught_up(self) -> bool:
        """True when records are live: no replay or snapshot was asked for, or it is complete."""
        return self.state == "live"

    @property
    def unresolved_symbols(self) -> tuple[str, ...]:
        """What the gateway said about symbols that it could not resolve."""
        return tuple(dict.fromkeys(self._intake.unresolved))

    @property
    def counters(self) -> FeedCounters:
        """The totals at this moment."""
        protocol, intake = self._protocol, self._intake
        received = self._past_bytes + (protocol.bytes_read if protocol else 0)
        others = intake.other_bytes
        return FeedCounters(
            records=intake.records,
            bytes=received,
            bytes_by_schema={MBO: max(0, received - sum(others.values())), **others},
            unknown_records=self._past_unknown + (protocol.unknown_records if protocol else 0),
            duplicates=intake.mbo.dropped + intake.others.dropped,
            gaps=self._gaps.count,
            reconnects=self._reconnects,
            slow_reader_warnings=intake.slow_reader_warnings,
            pauses=self._queue.pauses,
            queue_depth=self._queue.depth,
            queue_high_water=self._queue.high_water,
            last_ts_event=intake.mbo.last_ts,
        )

    def take_stretches(self) -> list[Stretch]:
        """Return the stretches of time received without a hole that changed since the last call."""
        return self._intake.stretches.take_changed()

    def remember(self, chunks: Iterable[Chunk]) -> None:
        """Go on where an earlier run ended, whose last records these are; call it before `run`.

        Parameters
        ----------
        chunks : iterable
            At least the last second of them, in order, from the beginning of a file of the archive.
        """
        self._intake.mbo.join(start_ns=None, snapshot=True)
        for chunk in chunks:
            self._intake.remember(chunk)
        last_ts = self._intake.mbo.last_ts
        if last_ts is not None:
            ended = FeedInterruptedError("crash", "an earlier run of this session ended")
            self._gaps.open(last_ts, ended)
            self._intake.stretches.begin_at(last_ts)

    async def run(self) -> None:
        """Stream until `stop`, reconnecting as often as it takes.

        Raises
        ------
        AuthenticationFailedError
            If the key is refused.
        GatewayRefusedError
            If the gateway refuses the subscription, or the first connection over its limit.
        GatewayUnreachableError
            If a limit was set and no record came for so long.
        UnsupportedDataError
            If the gateway sends a newer version of DBN.
        """
        stopping = asyncio.create_task(self._stopping.wait())
        session: asyncio.Task[None] | None = None
        try:
            while not self._stopping.is_set():
                session = asyncio.create_task(self._session())
                await asyncio.wait({session, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if session.done():
                    try:
                        await session
                    except FeedInterruptedError as error:
                        await self._recover(error, stopping)
        finally:
            tasks = [task for task in (session, stopping) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._phase = "closed"
            self._intake.stretches.end()

    def stop(self) -> None:
        """Close the connection for good; what is queued stays readable."""
        self._stopping.set()

    async def _session(self) -> None:
        """Run one connection to its end, which is always an exception."""
        self._phase = "connecting" if self._reconnects == 0 else "reconnecting"
        timing = self._timing
        protocol = await connect(
            self._make_protocol, self._host, self._port, seconds=timing.connect_seconds
        )
        self._protocol = protocol
        try:
            if self._reconnects == 0:
                self._phase = "authenticating"
            refusal = await authenticate(protocol, seconds=timing.authenticate_seconds)
            if refusal is not None:
                raise self._intake.refusal_error(refusal)
            self._subscribe(protocol)
            silence = self._heartbeat_seconds + timing.silence_margin_seconds
            await watch(protocol, self._queue, silence_seconds=silence)
            raise self._intake.skips.announced or end_of(protocol, said=self._intake.gateway_error)
        finally:
            self._queue.detach()
            await leave(protocol)
            self._add_up(protocol)

    def _make_protocol(self) -> BulkProtocol:
        return BulkProtocol(
            key=self._key,
            dataset=self._dataset,
            heartbeat_seconds=self._heartbeat_seconds,
            receive=self._receive,
            room_bytes=lambda: self._queue.room_bytes,
        )

    def _subscribe(self, protocol: BulkProtocol) -> None:
        """Ask for everything from the beginning, or from where it broke off."""
        requests = [self._continued(subscription) for subscription in self._subscriptions]
        self._replay_refused = False
        self._intake.begin_session(requests)
        for number, request in enumerate(requests):
            protocol.subscribe(
                schema=request.schema,
                symbols=request.symbols,
                stype_in=request.stype_in,
                start=request.start_ns,
                snapshot=request.snapshot,
                subscription_id=number,
            )
        protocol.start()
        self._queue.attach(protocol)
        self._phase = "streaming"

    def _continued(self, asked: Subscription) -> Subscription:
        """Return the subscription as it must be sent now."""
        mbo = asked.schema == MBO
        if self._replay_refused or self._too_long_away():
            return dataclasses.replace(
                asked, start_ns=None if mbo else asked.start_ns, snapshot=mbo
            )
        resume_ts = self._intake.mbo.resume_ts if mbo else self._session_start_ns
        if resume_ts is None or (asked.start_ns is not None and not mbo):
            return asked
        return dataclasses.replace(asked, start_ns=resume_ts, snapshot=False)

    def _too_long_away(self) -> bool:
        """Return True when the outage is longer than what shall be replayed."""
        limit, received_ns = self._replay_limit_seconds, self._intake.received_ns
        if limit is None or received_ns is None or self._gaps.current is None:
            return False
        return self._clock.now_ns() - received_ns > limit * NANOS_PER_SECOND

    def _add_up(self, protocol: BulkProtocol) -> None:
        self._past_bytes += protocol.bytes_read
        self._past_unknown += protocol.unknown_records
        self._protocol = None
        if self._session_start_ns is None and protocol.metadata is not None:
            start_ns = protocol.metadata.start
            self._session_start_ns = None if start_ns == UNDEFINED_TIMESTAMP else start_ns

    def _receive(self, chunks: list[Chunk]) -> None:
        self._intake.receive(chunks)
        self._backoff.reset()
        self._down_since = None

    async def _recover(
        self, error: FeedInterruptedError, stopping: asyncio.Task[Literal[True]]
    ) -> None:
        """Take note of an interruption and wait before the next attempt."""
        now = asyncio.get_running_loop().time()
        self._reconnects += 1
        self._phase = "reconnecting"
        self._replay_refused |= error.cause == "aged-out"
        self.last_error = str(error)
        last_ts = self._intake.mbo.last_ts
        start_ns = self._session_start_ns if last_ts is None else last_ts
        if start_ns is not None:
            self._gaps.open(start_ns, error)
        if self._down_since is None:
            self._down_since = now
        wait = self._backoff.next_seconds()
        limit = self._give_up_after_seconds
        if limit is not None and now + wait - self._down_since > limit:
            raise GatewayUnreachableError(self._host, self._port, error.detail)
        log.warning(
            "feed interrupted", cause=error.cause, detail=error.detail, wait_seconds=round(wait, 2)
        )
        await asyncio.wait({stopping}, timeout=wait)
