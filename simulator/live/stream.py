"""The binary half of a session: answers subscriptions, replays, then follows the source.

Order after the session's header, per subscription: acknowledgement, symbol mappings, a resolution
error for each symbol that means nothing, then definitions if they were asked for. Snapshots and
market data follow once all are answered. A stream keeps its own place in the source and waits for
its own socket, so a client that reads slowly holds up nobody but itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import databento_dbn as dbn
import numpy as np

from ifd.clock import Clock
from ifd.records import NEWEST_VERSION
from simulator.live import messages
from simulator.live.breaking import Breaker
from simulator.live.faults import Fault, FaultName
from simulator.live.limits import Limits
from simulator.live.outlet import Outlet
from simulator.live.saboteur import Saboteur
from simulator.live.selection import Selection
from simulator.live.sources import RecordSource

SERVED: Final = frozenset({"mbo", "definition"})
QUIET: Final = frozenset({"status", "statistics"})
"""Schemas that are accepted although nothing of the kind ever happens here."""
_BLOCK: Final = 8_192
_AGED_OUT: Final = dbn.ErrorCode.from_str("replay_data_aged_out")
_UNRESOLVED: Final = dbn.ErrorCode.from_str("symbol_resolution_failed")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A whole subscription: all lines of one id together."""

    number: int
    schema: str
    stype_in: str
    symbols: tuple[str, ...]
    start_ns: int | None
    snapshot: bool


class Stream:
    """Sends one session what it subscribed to.

    Parameters
    ----------
    heartbeat_seconds : int
        Longest silence.
    close_at_end : bool
        Return when a recording has been sent, instead of staying with heartbeats.
    """

    def __init__(
        self,
        outlet: Outlet,
        source: RecordSource,
        clock: Clock,
        *,
        saboteur: Saboteur,
        breaker: Breaker,
        limits: Limits,
        session_id: int,
        heartbeat_seconds: int,
        close_at_end: bool,
    ) -> None:
        self._outlet = outlet
        self._source = source
        self._clock = clock
        self._saboteur = saboteur
        self._breaker = breaker
        self._limits = limits
        self._session_id = session_id
        self._heartbeat_seconds = heartbeat_seconds
        self._close_at_end = close_at_end
        self._wake = asyncio.Event()
        self._stopped = False
        self._over = False
        self._asked: list[Subscription] = []
        self._selection = Selection()
        self._place = 0
        self._replaying = False
        self._overlap_ns = 0
        self._snapshots: list[tuple[int, list[int]]] = []

    def subscribe(self, asked: Subscription) -> None:
        """Take in a subscription; it is answered when the stream gets to it."""
        self._asked.append(asked)
        self._wake.set()

    def strike(self, fault: Fault) -> None:
        """Let a fault strike as soon as the stream gets to it."""
        self._breaker.queue(fault)
        self._wake.set()

    def stop(self) -> None:
        """Let `run` return soon."""
        self._stopped = True
        self._wake.set()

    async def run(self) -> None:
        """Send until stopped or broken, or until a recording is over and that ends the session."""
        source = self._source
        source.listen(self._wake)
        try:
            await self._begin()
            while not (self._stopped or self._breaker.ended or self._over):
                self._wake.clear()
                if self._breaker.hung:
                    await self._wake.wait()
                else:
                    await self._go_on()
        finally:
            source.unlisten(self._wake)

    async def _go_on(self) -> None:
        await self._answer_subscriptions(may_replay=False)
        await self._breaker.strike(self._place, planned=bool(self._selection))
        if self._breaker.ended or self._breaker.hung:
            return
        source = self._source
        if self._place < source.end:
            await self._send_block()
            return
        await self._finish_replay()
        if source.finished:
            await self._breaker.end_hole()
        self._over = source.finished and self._close_at_end
        if self._over:
            return
        if self._selection:
            source.ask_for_more()
        await self._wait()

    async def _begin(self) -> None:
        source = self._source
        spoilt = self._saboteur.spoils_connection(FaultName.VERSION, self._session_id)
        version = NEWEST_VERSION + 1 if spoilt else NEWEST_VERSION
        await self._outlet.header(source.dataset, version=version)
        starts = [one.start_ns for one in self._asked if one.schema == "mbo"]
        asked = [start for start in starts if start is not None]
        if any(0 < start < self._oldest_start_ns() for start in asked):
            await self._refuse_replay()
            return
        self._place = await self._replay_place(min(asked)) if asked else source.present()
        self._selection.edge = source.end
        await self._answer_subscriptions(may_replay=True)

    def _oldest_start_ns(self) -> int:
        # A start of 0 means the whole session, however long it is.
        end = self._source.end
        newest = self._source.read(max(end - 1, 0), end)
        newest_ns = int(newest["ts_event"][0]) if len(newest) else self._clock.now_ns()
        return self._limits.oldest_start_ns(newest_ns)

    async def _refuse_replay(self) -> None:
        text = "The start of the replay is older than what is held"
        await self._outlet.records([messages.error(text, _AGED_OUT, self._clock.now_ns())])
        self._over = True

    async def _replay_place(self, start_ns: int) -> int:
        place = await self._source.first_at(start_ns)
        earlier = max(place - self._saboteur.take_overlap(), 0)
        if earlier < place:
            self._overlap_ns = start_ns - int(self._source.read(earlier, place)["ts_event"].min())
        return earlier

    async def _answer_subscriptions(self, *, may_replay: bool) -> None:
        while self._asked:
            await self._answer(self._asked.pop(0), may_replay=may_replay)
        while self._snapshots:
            # After everything else that was asked for: definitions come before their orders.
            place, idents = self._snapshots.pop(0)
            taken = await self._source.snapshot(place, idents, self._clock.now_ns())
            await self._outlet.mbo(taken)

    async def _answer(self, asked: Subscription, *, may_replay: bool) -> None:
        ns = self._clock.now_ns()
        found, unknown = self._source.symbology.resolve(asked.symbols, asked.stype_in)
        records = [messages.subscription_acknowledged(asked.number, asked.schema, ns)]
        records += [
            messages.symbol_mapping(one.instrument_id, one.asked, one.raw_symbol, ns)
            for one in found
        ]
        records += [
            messages.error(
                f"Failed to resolve symbol '{symbol}' of type {asked.stype_in}",
                _UNRESOLVED,
                ns,
                is_last=symbol == unknown[-1],
            )
            for symbol in unknown
        ]
        await self._outlet.records(records)
        idents = [one.instrument_id for one in found]
        start_ns = asked.start_ns if may_replay else None
        if asked.schema == "definition" and start_ns is not None:
            await self._replay_definitions(set(idents), start_ns)
        elif asked.schema == "mbo":
            place = self._source.present() if may_replay else self._source.end
            self._follow(idents, place, start_ns, snapshot=asked.snapshot)

    async def _replay_definitions(self, idents: set[int], start_ns: int) -> None:
        # Only with a start: otherwise only new listings come, as on the real gateway.
        records = [
            bytes(definition)
            for definition in self._source.definitions
            if definition.instrument_id in idents and definition.ts_event >= start_ns
        ]
        records.append(messages.replay_completed("definition", self._clock.now_ns()))
        await self._outlet.records(records)

    def _follow(
        self, idents: list[int], place: int, start_ns: int | None, *, snapshot: bool
    ) -> None:
        self._source.begin()
        if start_ns is not None:
            self._selection.add_replay(idents, start_ns - self._overlap_ns)
            self._replaying = True
            return
        if snapshot:
            self._snapshots.append((place, idents))
        self._selection.add(idents, place)

    async def _send_block(self) -> None:
        place, breaker = self._place, self._breaker
        until, is_hole = self._saboteur.whole_until(place)
        records = self._source.read(place, until if is_hole else min(place + _BLOCK, until))
        wanted = self._selection.wanted(records, place)
        if is_hole:
            self._place = until
            if wanted.any():
                await breaker.announce_hole()
            return
        count = int(np.count_nonzero(wanted))
        if count > (limit := breaker.limit):
            # Not one record more: the next fault strikes exactly there.
            count, length = limit, int(np.flatnonzero(wanted)[limit - 1]) + 1
            records, wanted = records[:length], wanted[:length]
        self._place += len(records)
        if breaker.leaving_out:
            await breaker.leave_out(place, self._place, count)
        elif count:
            await self._outlet.mbo(records if count == len(records) else records[wanted])
            await breaker.sent(count)
        # Writing to a fast client never waits; others want their turn.
        await asyncio.sleep(0)

    async def _finish_replay(self) -> None:
        if self._replaying:
            self._replaying = False
            await self._outlet.records([messages.replay_completed("mbo", self._clock.now_ns())])

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._heartbeat_seconds - self._outlet.silent_seconds):
                await self._wake.wait()
        except TimeoutError:
            await self._outlet.records([messages.heartbeat(self._clock.now_ns())])
