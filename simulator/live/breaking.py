"""What faults do to one session: the stream asks before each block how far it may go.

Faults that strike at once are queued here by the gateway; those of the plan are taken when the
session's fuse has burnt down. Ending a session is left to the stream, which sees `ended`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

import databento_dbn as dbn

from ifd.clock import Clock
from simulator.live import messages
from simulator.live.faults import Fault, FaultName
from simulator.live.outlet import Outlet
from simulator.live.saboteur import NO_FAULT, Fuse, Saboteur
from simulator.live.sources import RecordSource

_SKIPPED: Final = dbn.ErrorCode.from_str("skipped_records_after_slow_reading")
_PASSING: Final = (dbn.ErrorCode.from_str("symbol_resolution_failed"), _SKIPPED)
"""Error codes after which the real gateway goes on."""
_GARBAGE_OCTETS: Final = 1_000
_SLOW_SLICE_SECONDS: Final = 0.02


class Breaker:
    """Breaks one session as it is told to.

    Parameters
    ----------
    refuse : callable
        Closes the gateway to everybody for so many seconds.
    """

    def __init__(
        self,
        outlet: Outlet,
        source: RecordSource,
        saboteur: Saboteur,
        clock: Clock,
        *,
        session_id: int,
        refuse: Callable[[float], None],
    ) -> None:
        self.ended = False
        self.hung = False
        self._outlet = outlet
        self._source = source
        self._saboteur = saboteur
        self._clock = clock
        self._session_id = session_id
        self._refuse = refuse
        self._fuse = Fuse(saboteur)
        self._queued: list[Fault] = []
        self._to_leave_out = 0
        self._rate: float | None = None
        self._effects: dict[FaultName, Callable[[Fault, int], Awaitable[None]]] = {
            FaultName.CUT: self._cut,
            FaultName.CLOSE: self._close,
            FaultName.HANG: self._hang,
            FaultName.GARBAGE: self._send_garbage,
            FaultName.TRUNCATE: self._truncate,
            FaultName.SLOW: self._slow_down,
            FaultName.DUPLICATE: self._duplicate,
            FaultName.ERROR: self._send_error,
            FaultName.SKIP: self._skip,
            FaultName.REFUSE: self._refuse_all,
        }

    @property
    def limit(self) -> int:
        """How many market records may be sent, or left out, in the next block; at least 1."""
        if self._to_leave_out:
            return self._to_leave_out
        slice_size = NO_FAULT if self._rate is None else int(self._rate * _SLOW_SLICE_SECONDS)
        return max(min(self._fuse.left, slice_size), 1)

    @property
    def leaving_out(self) -> bool:
        """True while records are left out."""
        return self._to_leave_out > 0

    def queue(self, fault: Fault) -> None:
        """Let a fault strike before the next block."""
        self._queued.append(fault)

    async def strike(self, place: int, *, planned: bool) -> None:
        """Let strike what is due; `place` is that of the next record.

        Parameters
        ----------
        planned : bool
            Whether the session has a part in the plan: it wants market data.
        """
        while self._queued and not self.ended:
            await self._apply(self._queued.pop(0), place)
        while planned and not (self.ended or self.hung or self.leaving_out):
            fault = self._fuse.take()
            if fault is None:
                return
            await self._apply(fault, place)

    async def sent(self, records: int) -> None:
        """Count market records that have been sent, and rest if the session is slowed down."""
        self._fuse.burn(records)
        if self._rate is not None:
            await asyncio.sleep(records / self._rate)

    async def leave_out(self, start: int, stop: int, records: int) -> None:
        """Make a hole of the places `start` to `stop`, which hold so many of what was wanted."""
        self._saboteur.leave_out(start, stop)
        self._saboteur.left_out.append(self._source.read(start, stop))
        self._to_leave_out -= records
        if not self._to_leave_out:
            await self.announce_hole()

    async def end_hole(self) -> None:
        """Announce a hole that nothing follows to complete."""
        if self._to_leave_out:
            self._to_leave_out = 0
            await self.announce_hole()

    async def announce_hole(self) -> None:
        """Say that records were left out here, now or when they were first sent."""
        await self._say(_SKIPPED, "Skipped records after slow reading")

    async def _apply(self, fault: Fault, place: int) -> None:
        self._saboteur.note(fault, self._session_id, self._fuse.records)
        await self._effects[fault.name](fault, place)

    async def _cut(self, _fault: Fault, _place: int) -> None:
        self._outlet.cut()
        self.ended = True

    async def _close(self, _fault: Fault, _place: int) -> None:
        self.ended = True

    async def _hang(self, _fault: Fault, _place: int) -> None:
        self.hung = True

    async def _send_garbage(self, fault: Fault, place: int) -> None:
        # A record of length 0 first: no client can take it for one that it does not know.
        chance = random.Random(f"{place} {fault.after}")  # noqa: S311 - noise
        await self._outlet.octets(b"\0" + chance.randbytes(_GARBAGE_OCTETS - 1))

    async def _truncate(self, _fault: Fault, place: int) -> None:
        record = self._source.read(place, place + 1).tobytes()
        record = record or messages.heartbeat(self._clock.now_ns())
        await self._outlet.octets(record[: len(record) // 2])
        self.ended = True

    async def _slow_down(self, fault: Fault, _place: int) -> None:
        self._rate = fault.value

    async def _duplicate(self, fault: Fault, place: int) -> None:
        self._saboteur.overlap_next_replay(int(fault.value or 0))
        await self._cut(fault, place)

    async def _send_error(self, fault: Fault, _place: int) -> None:
        code = dbn.ErrorCode(int(fault.value or 0))
        await self._say(code, f"The local exchange was told to send {code}")
        self.ended = code not in _PASSING

    async def _skip(self, fault: Fault, _place: int) -> None:
        self._to_leave_out = int(fault.value or 0)

    async def _refuse_all(self, fault: Fault, _place: int) -> None:
        self.ended = True
        self._refuse(fault.value or 0.0)

    async def _say(self, code: dbn.ErrorCode, text: str) -> None:
        await self._outlet.records([messages.error(text, code, self._clock.now_ns())])
