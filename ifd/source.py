"""Where records come from, live or recorded: the one seam between any feed and the engine.

A source gives items in the order in which the market's records came: chunks with the time they came
off the socket, and now and then a word about the feed itself. Everything after it is the same for
all of them. See docs/adr/0013-sources.md for what a further vendor would have to bring.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np

from ifd.records import Chunk


@dataclasses.dataclass(frozen=True, slots=True)
class Arrival:
    """A chunk and when it came off the socket, ns UTC; None when it comes from a file.

    `late` is True while the gateway is sending again what happened before: true records, but
    nothing to alert on as fresh.
    """

    chunk: Chunk
    received_ns: int | None
    late: bool = False

    @property
    def records(self) -> int:
        """How many records it holds."""
        return len(self.chunk) if isinstance(self.chunk, np.ndarray) else 1


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """Something a source has to tell about itself, in its place among the records.

    `about` names what `facts` are of: see who sends it. Facts are what JSON can hold.
    """

    about: str
    # Any: numbers, texts, None and lists of them.
    facts: Mapping[str, Any]


Item: TypeAlias = Arrival | Notice


class Source(Protocol):
    """Gives records until it is stopped or has no more."""

    async def get(self, max_records: int) -> list[Item]:
        """Wait for something and return it, up to `max_records` records.

        Returns
        -------
        list of Arrival and Notice
            Arrays hold until the next call. Empty only when nothing will come any more.

        Raises
        ------
        IfdError
            If records that should have come will not.
        """
        ...

    def stop(self) -> None:
        """Ask for the end: what was received can still be taken."""
        ...
