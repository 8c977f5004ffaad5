"""The bounded queue between socket and engine, in memory that two processes share.

One writer and one reader, in one process or in two. The writer slows the socket down and never
drops a record: at half full it asks the transport to stop reading, at a quarter to read on; the
gateway then feels the closed TCP window. The half above is room for what one read may still bring,
and reads are sized by `room_bytes`, so that the limit holds exactly.

Counters of bytes and events only ever grow, and each is written by one side alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final, Protocol

import numpy as np

from ifd.errors import IngestLostError
from ifd.gateway.frames import (
    HEAD,
    PAD,
    Frame,
    FrameReader,
    body_of,
    frame_size,
    put_frame,
    put_pad,
    read_head,
)
from ifd.gateway.memory import NOTICE_BYTES, RingMemory, fence, take_wakes
from ifd.records import MBO_SIZE
from ifd.source import Arrival, Item, Notice

MIN_QUEUED_RECORD_SIZE: Final = 40
"""The smallest record that is queued (a status): bounds the records of one read."""
WIDENING: Final = 5
"""A record of DBN version 1 may have 80 bytes on the wire and take a frame of 344."""
LOOK_SECONDS: Final = 0.05
"""While the writer waits it looks by itself this often: no missed wake-up can stall it."""
NOTICES_HELD: Final = 10_000


class Transport(Protocol):
    """Who can be asked to stop reading: an asyncio transport, or what wraps one."""

    def pause_reading(self) -> None:
        """Stop reading."""
        ...

    def resume_reading(self) -> None:
        """Read on."""
        ...


class RingWriter:
    """The socket's side of a ring; everything runs on one event loop.

    `put` what one read brought, then `publish` it.
    """

    def __init__(self, memory: RingMemory) -> None:
        self.memory = memory
        self.reader_lost = False
        self._limit = memory["limit"]
        self._head = memory["head"]
        self._events = memory["events_in"]
        self._notices: deque[Notice] = deque()
        self._transport: Transport | None = None
        self._paused_ns: int | None = None
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._finished = asyncio.Event()

    @property
    def depth(self) -> int:
        """Events that are held now."""
        return self._events - self.memory["events_out"]

    @property
    def high_water(self) -> int:
        """Most events that were held at once."""
        return self.memory["high_water"]

    @property
    def pauses(self) -> int:
        """How often the socket was left unread."""
        return self.memory["pauses"]

    @property
    def paused(self) -> bool:
        """True while the reader is behind and the socket is left unread."""
        return self._paused_ns is not None

    @property
    def notices_wait(self) -> bool:
        """True while something told has found no room yet."""
        return bool(self._notices)

    @property
    def room_bytes(self) -> int:
        """Bytes that may be read off the socket: whatever records they are, these will fit."""
        records = (self._limit - self.depth) * MIN_QUEUED_RECORD_SIZE
        return max(0, min(records, self._free // WIDENING))

    @property
    def _free(self) -> int:
        return self.memory.size - NOTICE_BYTES - (self._head - self.memory["tail"])

    def attach(self, transport: Transport) -> None:
        """Let `transport` feed the ring; it begins paused when the ring is still too full."""
        self._transport = transport
        if self.paused:
            transport.pause_reading()

    def detach(self) -> None:
        """Forget the transport: its connection is gone. What is held stays."""
        self._transport = None

    def put(self, arrival: Arrival) -> None:
        """Copy what was just read into the ring, unseen by the reader until `publish`."""
        chunk = arrival.chunk
        if isinstance(chunk, np.ndarray):
            done = 0
            while done < len(chunk):
                fitting = self._contiguous(frame_size(MBO_SIZE)) - HEAD.size
                part = chunk[done : done + fitting // MBO_SIZE]
                self._write(Arrival(part, arrival.received_ns, arrival.late))
                done += len(part)
        else:
            self._write(arrival)
        self._events += arrival.records

    def tell(self, notice: Notice) -> None:
        """Put a notice behind what was put before; it may have to wait for room.

        Only the newest of what is told again and again should be told here: `NOTICES_HELD` at
        most wait.
        """
        self._notices.append(notice)
        if len(self._notices) > NOTICES_HELD:
            raise RuntimeError(f"more than {NOTICES_HELD} notices wait for the engine")
        self.publish()

    def publish(self) -> None:
        """Let the reader see what was put; at half full the transport is paused."""
        self._put_notices()
        memory = self.memory
        memory["events_in"] = self._events
        depth = self.depth
        if depth > memory["high_water"]:
            memory["high_water"] = depth
        if self._head != memory["head"]:
            fence()
            memory["head"] = self._head
            self._wake_reader()
        if not self.paused and self._too_full():
            self._pause()
        if self._wants_room():
            self._await_room()

    def close(self) -> None:
        """Let the reader end once it has taken what is left; nothing may be put after."""
        self._closing = True
        self._look()

    async def finished(self) -> None:
        """Wait, after `close`, until everything is in the ring or nobody reads it any more."""
        await self._finished.wait()
        self._forget_loop()

    def _too_full(self) -> bool:
        return self.depth >= self._limit // 2 or self._free < self.memory.size // 2

    def _wants_room(self) -> bool:
        return self.paused or bool(self._notices)

    def _write(self, item: Item) -> None:
        body = body_of(item)
        self._contiguous(frame_size(len(body)))
        self._head += put_frame(self.memory.data, self._head % self.memory.size, item, body)

    def _contiguous(self, needed: int) -> int:
        """Return the bytes that can be written in one piece, at least `needed`.

        The end of the ring is left empty where it is too short.
        """
        memory = self.memory
        held = self._head - memory["tail"]
        place = self._head % memory.size
        if memory.size - place < needed:
            put_pad(memory.data, place)
            held += memory.size - place
            self._head += memory.size - place
            place = 0
        if memory.size - held < needed:
            raise RuntimeError(f"{needed} bytes were put into a ring with {memory.size - held}")
        return min(memory.size - place, memory.size - held)

    def _put_notices(self) -> None:
        while self._notices and not self._spilling:
            size = frame_size(len(body_of(self._notices[0])))
            # As much may be left empty at the end of the ring.
            if self.memory.size - (self._head - self.memory["tail"]) < 2 * size:
                return
            self._write(self._notices.popleft())

    @property
    def _spilling(self) -> bool:
        return False

    def _pause(self) -> None:
        self._paused_ns = time.monotonic_ns()
        self.memory["pauses"] += 1
        if self._transport is not None:
            self._transport.pause_reading()

    def _resume(self) -> None:
        assert self._paused_ns is not None
        self.memory["waited_ns"] += time.monotonic_ns() - self._paused_ns
        self._paused_ns = None
        if self._transport is not None:
            self._transport.resume_reading()

    def _roomy(self) -> bool:
        return self.depth <= self._limit // 4 and self._free >= self.memory.size * 5 // 8

    def _await_room(self) -> None:
        """Ask the reader for a word; look again at once, since it may just have been there."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self.memory.writer_wakes_on, self._woken)
            self._loop.call_later(LOOK_SECONDS, self._look_again)
        if not self.memory["waiting"]:
            self.memory["waiting"] = 1
            fence()
            self._loop.call_soon(self._look)

    def _look_again(self) -> None:
        if self._loop is not None:
            self._look()
            self._loop.call_later(LOOK_SECONDS, self._look_again)

    def _woken(self) -> None:
        if take_wakes(self.memory.writer_wakes_on):
            self._look()
        else:
            self._lose_reader()

    def _look(self) -> None:
        """See what the reader has made room for."""
        if self.paused and self._roomy():
            self._resume()
        self.memory["waiting"] = int(self._wants_room())
        if self._notices:
            self.publish()
        if self._closing and not self._wants_room():
            self.memory["closed"] = 1
            self._wake_reader()
            self._finished.set()

    def _wake_reader(self) -> None:
        try:
            self.memory.wake_reader()
        except BrokenPipeError:
            self._lose_reader()

    def _lose_reader(self) -> None:
        self.reader_lost = True
        self._forget_loop()
        self._finished.set()

    def _forget_loop(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self.memory.writer_wakes_on)
            self._loop = None


class RingReader:
    """The engine's side of a ring."""

    def __init__(self, memory: RingMemory) -> None:
        self.memory = memory
        self._frames = FrameReader()
        self._tail = memory["tail"]
        self._events = memory["events_out"]
        self._taken_of_frame = 0
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lost = False

    @property
    def depth(self) -> int:
        """Events that wait to be taken."""
        return self.memory["events_in"] - self._events

    async def get(self, max_records: int) -> list[Item]:
        """Wait for something and return it, up to `max_records` records; arrays are cut to fit.

        Arrays are views of the ring: they hold until the next call, which gives their room back.

        Returns
        -------
        list of Arrival and Notice
            Empty only when the writer has closed and everything has been taken.

        Raises
        ------
        IngestLostError
            If the writing process is gone without having closed.
        """
        self._release()
        while True:
            self._changed.clear()
            closed = self.memory["closed"]
            fence()
            if items := self._take(max(max_records, 1)):
                return items
            if closed:
                self.close()
                return []
            if self._lost:
                raise IngestLostError
            self._listen()
            await self._changed.wait()

    def close(self) -> None:
        """Stop listening to the writer."""
        if self._loop is not None:
            self._loop.remove_reader(self.memory.reader_wakes_on)
            self._loop = None

    def _take(self, wanted: int) -> list[Item]:
        items: list[Item] = []
        memory = self.memory
        head = memory["head"]
        fence()
        while wanted > 0 and self._tail < head:
            place = self._tail % memory.size
            frame = self._frame_at(place)
            if frame is None:
                self._tail += memory.size - place
                continue
            item = self._frames.item(memory.data, place, frame, skip=self._taken_of_frame)
            if isinstance(item, Arrival):
                item = self._cut(item, wanted)
                wanted -= item.records
                self._events += item.records
                self._taken_of_frame += item.records
            if self._taken_of_frame == frame.records:
                self._taken_of_frame = 0
                self._tail += frame.size
            items.append(item)
        return items

    def _frame_at(self, place: int) -> Frame | None:
        """Return the head of the frame at `place`, or None where the end was left empty."""
        if self.memory.size - place < HEAD.size:
            return None
        frame = read_head(self.memory.data, place)
        return None if frame.kind == PAD else frame

    @staticmethod
    def _cut(arrival: Arrival, wanted: int) -> Arrival:
        if arrival.records <= wanted:
            return arrival
        assert isinstance(arrival.chunk, np.ndarray)
        return Arrival(arrival.chunk[:wanted], arrival.received_ns, arrival.late)

    def _release(self) -> None:
        """Give back what the last call handed out."""
        memory = self.memory
        if self._tail == memory["tail"] and self._events == memory["events_out"]:
            return
        memory["events_out"] = self._events
        memory["tail"] = self._tail
        fence()
        if memory["waiting"]:
            memory.wake_writer()

    def _listen(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self.memory.reader_wakes_on, self._woken)

    def _woken(self) -> None:
        if not take_wakes(self.memory.reader_wakes_on):
            self._lost = True
            self.close()
        self._changed.set()
