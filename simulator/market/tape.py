"""Writes MBO records as bytes, with the clock, sequence and flags of a real channel.

One event is one matching-engine transaction in one instrument: all its records share `ts_event`,
and only the last carries F_LAST. A trade's book updates come in the packet after the trade itself,
with the next sequence number and a slightly later `ts_recv`, as recorded from CME.
"""

from __future__ import annotations

import random
import struct
from typing import Final

import numpy as np

from ifd.records import MBO_DTYPE, RTYPE_MBO, MboArray

_RECORD: Final = struct.Struct("<BBHIQQqIBBBBQiI")
_LENGTH_WORDS: Final = _RECORD.size // 4
_FLAGS_FROM_END: Final = -20
_LAST_OF_EVENT: Final = 0x82
"""F_LAST and the publisher's own bit, as on GLBX."""
_PUBLISHER_ID: Final = 1
_TRANSIT_NS: Final = 110_000
_TRANSIT_SPREAD_NS: Final = 600_000
_SEND_TO_CAPTURE_NS: Final = 12_300


class Tape:
    """The feed of the whole market: time never runs back on it."""

    def __init__(self, rng: random.Random) -> None:
        self._uniform = rng.random
        self._bytes = bytearray()
        self._event_start = 0
        self._pack = _RECORD.pack
        self._sequence = 1_000
        self._instrument_id = 0
        self._channel = 0
        self.ts_event = 0
        self._ts_recv = 0
        self._ts_in_delta = 0

    def begin(self, instrument_id: int, channel: int, ts_event: int) -> None:
        """Open an event; its `ts_event` is later than that of the event before."""
        self._event_start = len(self._bytes)
        self._instrument_id = instrument_id
        self._channel = channel
        self.ts_event = max(ts_event, self.ts_event + 1)
        self.next_packet()

    def next_packet(self) -> None:
        """Go on in the next packet of the channel, still in the same event."""
        u = self._uniform()
        self._sequence = self._sequence % 0xFFFF_FFFF + 1
        arrival = self.ts_event + _TRANSIT_NS + int(u * u * u * _TRANSIT_SPREAD_NS)
        self._ts_recv = max(arrival, self._ts_recv + 1)
        self._ts_in_delta = _SEND_TO_CAPTURE_NS + int(u * 3_000)

    def write(self, action: int, side: int, order_id: int, price: int, size: int) -> None:
        """Append one record of the open event; `price` is in 1e-9."""
        self._bytes += self._pack(
            _LENGTH_WORDS,
            RTYPE_MBO,
            _PUBLISHER_ID,
            self._instrument_id,
            self.ts_event,
            order_id,
            price,
            size,
            0,
            self._channel,
            action,
            side,
            self._ts_recv,
            self._ts_in_delta,
            self._sequence,
        )

    def records_in_event(self) -> int:
        """Return how many records the open event has so far."""
        return (len(self._bytes) - self._event_start) // _RECORD.size

    def end(self) -> None:
        """Close the event: the record written last, if any was, completes it."""
        if len(self._bytes) > self._event_start:
            self._bytes[_FLAGS_FROM_END] = _LAST_OF_EVENT

    def take(self) -> MboArray:
        """Return what was written since the last call; the array is read-only."""
        taken = np.frombuffer(bytes(self._bytes), dtype=MBO_DTYPE)
        self._bytes.clear()
        return taken
