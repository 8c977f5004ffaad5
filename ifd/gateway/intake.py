"""Where the chunks of every connection come in: known ones are dropped, control records heeded.

It outlives the connections: what it remembers of one lets the next continue without a seam.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import databento_dbn as dbn
import numpy as np
import structlog

from ifd.clock import Clock
from ifd.errors import (
    AuthenticationFailedError,
    EnvironmentProblemError,
    FeedError,
    FeedInterruptedError,
    GatewayRefusedError,
)
from ifd.gateway.ledger import MboLedger, OtherLedger
from ifd.gateway.replays import PendingReplays
from ifd.gateway.ring import RingWriter
from ifd.gateway.skips import SkipWatch
from ifd.gateway.stretches import StretchLog
from ifd.gateway.subscription import MBO, GapLog, Subscription
from ifd.records import F_SNAPSHOT, Chunk, MboArray
from ifd.source import Arrival

log = structlog.get_logger("feed")

_KEY_REFUSED: Final = (dbn.ErrorCode.AUTH_FAILED, dbn.ErrorCode.API_KEY_DEACTIVATED)
_BILLED: Final[dict[type, str]] = {dbn.InstrumentDefMsg: "definition", dbn.StatusMsg: "status"}
"""Schemas with a price of their own beside the orders, by the type of their records."""


class Intake:
    """Takes chunks off a connection, and puts what is new on the queue and into the archive.

    Parameters
    ----------
    tap : callable or None
        Sees every accepted chunk before the queue does; an array is a view, to be copied.
    """

    def __init__(
        self,
        queue: RingWriter,
        gaps: GapLog,
        clock: Clock,
        tap: Callable[[Chunk], None] | None,
    ) -> None:
        self.mbo = MboLedger()
        self.others = OtherLedger()
        self.replays = PendingReplays()
        self.stretches = StretchLog()
        self.awaiting_snapshot = False
        self.records = 0
        self.other_bytes = dict.fromkeys(_BILLED.values(), 0)
        self.received_ns: int | None = None
        self.slow_reader_warnings = 0
        self.unresolved: list[str] = []
        self.gateway_error: str | None = None
        self._queue = queue
        self._gaps = gaps
        self._clock = clock
        self._tap = tap
        self._replayed = False
        self.skips = SkipWatch()

    def begin_session(self, requests: Sequence[Subscription]) -> None:
        """Expect the answers to these subscriptions, new ones or continued ones."""
        self.gateway_error = None
        self._replayed = all(r.start_ns is not None for r in requests if r.schema == MBO)
        self.replays.expect(r.schema for r in requests if r.start_ns is not None)
        self.awaiting_snapshot = any(r.snapshot for r in requests)
        self.skips.begin_session()
        for request in requests:
            if request.schema != MBO:
                continue
            if request.start_ns is not None and request.start_ns == self.mbo.resume_ts:
                self.mbo.begin_replay(request.start_ns)
                continue
            self.mbo.join(start_ns=request.start_ns, snapshot=request.snapshot)
            self.skips.forget()
            self.stretches.end()
            if request.start_ns:
                self.stretches.begin_at(request.start_ns)

    def remember(self, chunk: Chunk) -> None:
        """Take note of what an earlier run received, so that the first session continues it."""
        if isinstance(chunk, np.ndarray):
            self.mbo.accept(chunk)
        elif not isinstance(chunk, dbn.SystemMsg | dbn.ErrorMsg | dbn.SymbolMappingMsg):
            self.others.accept(chunk, replaying=False)

    def receive(self, chunks: list[Chunk]) -> None:
        """Take the chunks of one read.

        Raises
        ------
        FeedError
            If a control record ends the session; what came after it is not taken.
        EnvironmentProblemError
            If the archive cannot be written.
        """
        self.received_ns = self._clock.now_ns()
        try:
            self._take(chunks, self.received_ns)
        finally:
            self._queue.publish()

    def _take(self, chunks: list[Chunk], received_ns: int) -> None:
        for chunk in chunks:
            if isinstance(chunk, np.ndarray):
                self.skips.look(chunk)
                last_ts = self.mbo.last_ts
                fresh = self.mbo.accept(chunk)
                if len(fresh):
                    self._cover(fresh, last_ts)
                    self._deliver(fresh, len(fresh), received_ns)
                    self._end_unreplayed_gap(fresh)
            elif isinstance(chunk, dbn.SystemMsg):
                self._deliver(chunk, 1, received_ns)
                self._heed_system(chunk)
            elif isinstance(chunk, dbn.ErrorMsg):
                self._deliver(chunk, 1, received_ns)
                self._heed_error(chunk)
            else:
                self._take_other(chunk, received_ns)

    def _take_other(self, chunk: dbn.DBNRecord, received_ns: int) -> None:
        schema = _BILLED.get(type(chunk))
        if schema is not None:
            # Also of what is dropped below: whoever is billed by the byte pays for it.
            self.other_bytes[schema] += len(bytes(chunk))
        if isinstance(chunk, dbn.SymbolMappingMsg) or self.others.accept(
            chunk, replaying=bool(self.replays)
        ):
            self._deliver(chunk, 1, received_ns)

    def _cover(self, fresh: MboArray, last_ts: int | None) -> None:
        """Take note of what is whole now, and of what the gateway has left out for good."""
        if not fresh["flags"][-1] & F_SNAPSHOT:
            self.awaiting_snapshot = False
        if last_ts is not None and (hole := self.skips.judge(fresh, last_ts)) is not None:
            self.stretches.end()
            self._gaps.hole(hole.start_ns, hole.end_ns, hole.error)
        stamps = fresh["ts_recv"]
        self.stretches.records(int(stamps[0]), int(stamps[-1]), len(fresh))

    def _deliver(self, chunk: Chunk, count: int, received_ns: int) -> None:
        if self._tap is not None:
            try:
                self._tap(chunk)
            except OSError as error:
                raise archive_trouble(error) from error
        self.records += count
        self._queue.put(Arrival(chunk, received_ns, late=bool(self.replays)))

    def _end_unreplayed_gap(self, first: MboArray) -> None:
        # Came back without a replay: where the records go on is the end of what is missing.
        if self._gaps.current is not None and not self._replayed:
            when = "ts_recv" if first["flags"][0] & F_SNAPSHOT else "ts_event"
            self._gaps.close(int(first[when][0]), state="open")

    def _heed_system(self, message: dbn.SystemMsg) -> None:
        if message.code == dbn.SystemCode.SLOW_READER_WARNING:
            self.slow_reader_warnings += 1
            log.warning("the gateway finds us slow", warnings=self.slow_reader_warnings)
        elif message.code == dbn.SystemCode.HEARTBEAT and not self.replays:
            # Only sent when there is nothing else to send: a snapshot is over too.
            self.awaiting_snapshot = False
            self.stretches.heartbeat(message.ts_event)
        elif message.code == dbn.SystemCode.REPLAY_COMPLETED and self.replays:
            self.replays.complete(message.msg)
            if not self.replays:
                self._caught_up()

    def _caught_up(self) -> None:
        missing = self.mbo.end_replay()
        if missing:
            log.warning("replay completed before everything known came again", records=missing)
        if self._gaps.current is not None and self._replayed:
            end_ns = max(self.mbo.last_ts or 0, self._gaps.current.start_ns)
            self._gaps.close(end_ns, state="replayed")

    def _heed_error(self, message: dbn.ErrorMsg) -> None:
        self.gateway_error = message.err
        if message.code == dbn.ErrorCode.SYMBOL_RESOLUTION_FAILED:
            # Ordinary: not every root is listed every week. The feed's owner counts them.
            self.unresolved.append(message.err)
            return
        log.warning("gateway error", code=int(message.code), text=message.err)
        error = self._error_of(message)
        if error is not None:
            raise error

    def refusal_error(self, reason: str) -> FeedError:
        """Return what a refused authentication means."""
        if "connection limit" in reason.lower():
            return self._limit_error(reason)
        return AuthenticationFailedError(reason)

    def _error_of(self, message: dbn.ErrorMsg) -> FeedError | None:
        """Return what an error record means for the session, None when it may go on."""
        code, text = message.code, message.err
        if code in _KEY_REFUSED:
            return AuthenticationFailedError(text)
        if code == dbn.ErrorCode.CONNECTION_LIMIT_EXCEEDED:
            return self._limit_error(text)
        if code == dbn.ErrorCode.INVALID_SUBSCRIPTION:
            return GatewayRefusedError(int(code), text)
        if code == dbn.ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING:
            self.skips.announce(FeedInterruptedError("skipped", text))
            return None
        if code == dbn.ErrorCode.REPLAY_DATA_AGED_OUT:
            return FeedInterruptedError("aged-out", text)
        return None  # what it means shows in what comes next: an end, or records behind a skip

    def _limit_error(self, text: str) -> FeedError:
        # Once there were records, the gateway may still be counting the connection that was lost.
        if self.mbo.last_ts is not None:
            return FeedInterruptedError("error", text)
        return GatewayRefusedError(int(dbn.ErrorCode.CONNECTION_LIMIT_EXCEEDED), text)


def archive_trouble(error: OSError) -> EnvironmentProblemError:
    """Return what a disk that does not take the archive means to its owner."""
    return EnvironmentProblemError(
        f"the archive cannot be written ({error}): free its disk, or choose another with "
        "IFD_ARCHIVE__DIRECTORY"
    )
