"""A queue that goes on reading when the engine is behind: what the ring cannot hold waits on disk.

For a burst longer than the gateway's patience. Once something waits on disk everything after it
goes there too, so the order stands; a nameless file, so nothing is left behind by a kill (the
archive has every record anyway).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import numpy as np

from ifd.errors import EnvironmentProblemError
from ifd.gateway.frames import HEAD, FrameReader, body_of, frame_size, put_frame, read_head
from ifd.gateway.memory import RingMemory
from ifd.gateway.ring import RingWriter
from ifd.source import Arrival

ROOM_BYTES: Final = 2**20
"""What one read may bring while the disk takes it."""
PIECE_RECORDS: Final = 2_048
"""Orders that go to disk in one frame, so that a piece of any size fits the ring later."""
_READ_BYTES: Final = 2**20


class SpillingWriter(RingWriter):
    """A ring's writer that pauses the socket only when the disk's share is used up.

    Parameters
    ----------
    directory : Path
        Where the file lies; made when it is not there.
    max_bytes : int
        How much it may hold.
    """

    def __init__(self, memory: RingMemory, directory: Path, *, max_bytes: int) -> None:
        super().__init__(memory)
        self._file = SpillFile(directory)
        self._max_bytes = max_bytes
        self._piece = min(PIECE_RECORDS, self._limit // 4)

    @property
    def depth(self) -> int:
        """Events that are held now, in the ring and on disk."""
        return super().depth + self._file.events

    @property
    def room_bytes(self) -> int:
        """Bytes that may be read off the socket."""
        return ROOM_BYTES

    def put(self, arrival: Arrival) -> None:
        """Take in what was just read: into the ring, or behind what already waits on disk.

        Raises
        ------
        EnvironmentProblemError
            If the disk does not take it.
        """
        for piece in self._pieces(arrival):
            if not self._spilling and self._fits(piece):
                super().put(piece)
            else:
                self._file.append(piece)
                self.memory["spilled"] += piece.records

    def publish(self) -> None:
        """Let the reader see what was put and what came back from disk."""
        self._bring_back()
        memory = self.memory
        memory["spill_depth"] = self._file.events
        memory["spill_high_water_bytes"] = max(self._file.bytes, memory["spill_high_water_bytes"])
        super().publish()

    async def finished(self) -> None:
        """Wait until everything is in the ring; then the disk is given back."""
        await super().finished()
        self._file.close()

    @property
    def _spilling(self) -> bool:
        return self._file.events > 0

    def _bring_back(self) -> None:
        while (piece := self._file.first()) is not None and self._fits(piece):
            super().put(piece)
            self._file.drop_first()

    def _fits(self, piece: Arrival) -> bool:
        in_ring = self._events - self.memory["events_out"]
        # As much may be left empty at the end of the ring.
        needed = 2 * frame_size(len(body_of(piece)))
        return in_ring + piece.records <= self._limit and needed <= self._free

    def _pieces(self, arrival: Arrival) -> list[Arrival]:
        chunk = arrival.chunk
        if not isinstance(chunk, np.ndarray) or len(chunk) <= self._piece:
            return [arrival]
        return [
            Arrival(chunk[begin : begin + self._piece], arrival.received_ns, arrival.late)
            for begin in range(0, len(chunk), self._piece)
        ]

    def _too_full(self) -> bool:
        return self._file.bytes >= self._max_bytes

    def _roomy(self) -> bool:
        return self._file.bytes <= self._max_bytes // 2

    def _wants_room(self) -> bool:
        return super()._wants_room() or self._spilling

    def _look(self) -> None:
        if self._spilling:
            self.publish()
        super()._look()


class SpillFile:
    """Arrivals on disk, first in first out; it shrinks to nothing whenever it runs empty.

    `events` are the records that wait in it, `bytes` its size.
    """

    def __init__(self, directory: Path) -> None:
        self.events = 0
        self.bytes = 0
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 - kept open
        self._read_at = 0
        self._block = memoryview(b"")
        self._frames = FrameReader()

    def close(self) -> None:
        """Let go of the file, which is gone then."""
        self._file.close()

    def append(self, arrival: Arrival) -> None:
        """Write an arrival behind the last.

        Raises
        ------
        EnvironmentProblemError
            If the disk does not take it.
        """
        body = body_of(arrival)
        frame = memoryview(bytearray(frame_size(len(body))))
        put_frame(frame, 0, arrival, body)
        try:
            self._file.seek(self.bytes)
            while len(frame):
                frame = frame[self._file.write(frame) :]
        except OSError as error:
            raise EnvironmentProblemError(
                f"the engine is behind and {self._directory} takes no more events ({error}): free "
                "its disk, or set IFD_FEED__SPILL_DIRECTORY or IFD_FEED__QUEUE_POLICY=block"
            ) from error
        self.bytes += frame_size(len(body))
        self.events += arrival.records

    def first(self) -> Arrival | None:
        """Return the arrival that waits longest, a view that holds until it is dropped."""
        if self.events == 0:
            return None
        if not self._block:
            self._block = self._read_block()
        item = self._frames.item(self._block, 0, read_head(self._block, 0))
        assert isinstance(item, Arrival)
        return item

    def drop_first(self) -> None:
        """Forget the arrival that `first` gave."""
        head = read_head(self._block, 0)
        self._block = self._block[head.size :]
        self._read_at += head.size
        self.events -= head.records
        if self.events == 0:
            self._file.truncate(0)
            self.bytes = self._read_at = 0

    def _read_block(self) -> memoryview:
        """Read whole frames from where the last was dropped."""
        self._file.seek(self._read_at)
        data = memoryview(self._file.read(_READ_BYTES))
        end = 0
        while (
            len(data) - end >= HEAD.size and (size := read_head(data, end).size) <= len(data) - end
        ):
            end += size
        return data[:end]
