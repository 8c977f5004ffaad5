"""A live feed in the process of a test, with both sides of its queue at hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ifd.gateway import LiveFeed, RingMemory, RingReader, RingWriter
from ifd.source import Arrival


class ReadableFeed(LiveFeed):
    """A feed and the reader of its ring."""

    def __init__(self, *, queue_events: int = 50_000, **options: Any) -> None:
        memory = RingMemory(queue_events)
        self.reader = RingReader(memory)
        self.writer = RingWriter(memory)
        super().__init__(queue=self.writer, **options)

    async def run(self) -> None:
        """Close the ring once the feed has ended, as its owner does."""
        try:
            await super().run()
        finally:
            self.writer.close()

    async def get(self, max_records: int) -> list[Arrival]:
        """Copy what the ring holds: its arrays are views."""
        taken = []
        for item in await self.reader.get(max_records):
            assert isinstance(item, Arrival)
            chunk = item.chunk
            own = chunk.copy() if isinstance(chunk, np.ndarray) else chunk
            taken.append(dataclasses.replace(item, chunk=own))
        return taken
