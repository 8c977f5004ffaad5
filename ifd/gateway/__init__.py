"""The live edge: one session with the exchange's gateway, kept alive and kept whole.

`LiveFeed` connects, authenticates, subscribes and reads; when the connection is lost it comes back
and asks for what it missed, so that the records it gives out are those of a feed never cut. The
provider's own protocol class speaks the wire (public overrides only); the bytes are split in bulk.
"""

from __future__ import annotations

from ifd.gateway.connection import Timing
from ifd.gateway.feed import FeedCounters, LiveFeed
from ifd.gateway.memory import RingMemory
from ifd.gateway.ring import RingReader, RingWriter
from ifd.gateway.spill import SpillingWriter
from ifd.gateway.stretches import Stretch
from ifd.gateway.subscription import FeedGap, Subscription

__all__ = [
    "FeedCounters",
    "FeedGap",
    "LiveFeed",
    "RingMemory",
    "RingReader",
    "RingWriter",
    "SpillingWriter",
    "Stretch",
    "Subscription",
    "Timing",
]
