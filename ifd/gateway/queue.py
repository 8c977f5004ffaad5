"""The bounded queue between socket and engine: it slows the socket, and never drops a record.

At half full it asks the transport to stop reading, at a quarter to read on; the gateway then feels
the closed TCP window. The half above is room for what one read may still bring, and the protocol
sizes its reads by `room`, so that the limit holds exactly.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from typing import Final, Protocol

import numpy as np

from ifd.records import Chunk

MIN_LIMIT: Final = 64
"""Below this, half a queue would be less than the smallest read."""


@dataclasses.dataclass(frozen=True, slots=True)
class Arrival:
    """A chunk and when it came off the socket, ns UTC.

    `late` is True while the gateway is sending again what happened before: true records, but
    nothing to alert on as fresh.
    """

    chunk: Chunk
    received_ns: int
    late: bool = False

    @property
    def records(self) -> int:
        """How many records it holds."""
        return len(self.chunk) if isinstance(self.chunk, np.ndarray) else 1


class Reader(Protocol):
    """Who can be asked to stop reading: an asyncio transport, or what wraps one."""

    def pause_reading(self) -> None:
        """Stop reading."""
        ...

    def resume_reading(self) -> None:
        """Read on."""
        ...


class ArrivalQueue:
    """Holds at most `limit` records for one consumer; everything runs on one event loop."""

    def __init__(self, limit: int) -> None:
        if limit < MIN_LIMIT:
            raise ValueError(f"a queue holds at least {MIN_LIMIT} records, {limit} was asked for")
        self.limit = limit
        self.depth = 0
        self.high_water = 0
        self.pauses = 0
        self._arrivals: deque[Arrival] = deque()
        self._reader: Reader | None = None
        self._paused = False
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def room(self) -> int:
        """Records that may still be put."""
        return self.limit - self.depth

    @property
    def paused(self) -> bool:
        """True while the consumer is behind and the socket is left unread."""
        return self._paused

    def attach(self, reader: Reader) -> None:
        """Let `reader` feed the queue; it begins paused when the queue is still too full."""
        self._reader = reader
        if self._paused:
            reader.pause_reading()

    def detach(self) -> None:
        """Forget the reader: its connection is gone. What is queued stays."""
        self._reader = None

    def put(self, arrival: Arrival) -> None:
        """Append what was just read; at half full the reader is paused."""
        self._arrivals.append(arrival)
        self.depth += arrival.records
        self.high_water = max(self.high_water, self.depth)
        if not self._paused and self.depth >= self.limit // 2:
            self._paused = True
            self.pauses += 1
            if self._reader is not None:
                self._reader.pause_reading()
        self._changed.set()

    async def get(self, max_records: int) -> list[Arrival]:
        """Wait for at least one record and return up to `max_records`, cutting arrays to fit.

        Returns
        -------
        list of Arrival
            Empty only when the queue is closed and everything has been taken.
        """
        while not self._arrivals:
            if self._closed:
                return []
            self._changed.clear()
            await self._changed.wait()
        taken = self._take(max(max_records, 1))
        if self._paused and self.depth <= self.limit // 4:
            self._paused = False
            if self._reader is not None:
                self._reader.resume_reading()
        return taken

    def close(self) -> None:
        """Let the consumer end once it has taken what is left."""
        self._closed = True
        self._changed.set()

    def _take(self, wanted: int) -> list[Arrival]:
        taken: list[Arrival] = []
        while wanted > 0 and self._arrivals:
            arrival = self._arrivals.popleft()
            if arrival.records > wanted:
                assert isinstance(arrival.chunk, np.ndarray)
                rest = dataclasses.replace(arrival, chunk=arrival.chunk[wanted:])
                self._arrivals.appendleft(rest)
                arrival = dataclasses.replace(arrival, chunk=arrival.chunk[:wanted])
            taken.append(arrival)
            wanted -= arrival.records
            self.depth -= arrival.records
        return taken
