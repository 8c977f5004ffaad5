"""What of the market was received: stretches of time in which nothing is missing.

A stretch grows with the records, and while none come with the gateway's heartbeats: a market that
is quiet is not a hole. It outlives a lost connection when the replay that follows continues it
without a seam, and ends where something will stay missing.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from ifd.units import NANOS_PER_SECOND

HEARTBEAT_REACH_NS: Final = 3_600 * NANOS_PER_SECOND
"""A heartbeat is stamped by the gateway's clock. Further ahead of the records than this, they are
not of its time: a recording is being served."""


@dataclasses.dataclass(slots=True)
class Stretch:
    """Nothing is missing from `start_ns` to `end_ns`, ns UTC by capture time; numbered from 1."""

    number: int
    start_ns: int
    end_ns: int
    records: int = 0
    open: bool = True


class StretchLog:
    """The stretches of one feed; at most the last one is open."""

    def __init__(self) -> None:
        self._count = 0
        self._current: Stretch | None = None
        self._begin_ns: int | None = None
        self._changed: dict[int, Stretch] = {}

    @property
    def end_ns(self) -> int | None:
        """Until when nothing is missing, or None outside a stretch."""
        return None if self._current is None else self._current.end_ns

    def end(self) -> None:
        """Hear that what comes next does not continue what came before."""
        self._begin_ns = None
        if self._current is not None:
            self._current.open = False
            self._changed[self._current.number] = self._current
            self._current = None

    def begin_at(self, start_ns: int) -> None:
        """Let the next stretch begin at a time that was asked for, not with its first record."""
        self._begin_ns = start_ns

    def records(self, first_ns: int, last_ns: int, count: int) -> None:
        """Take note of records, by capture time."""
        stretch = self._current or self._open(first_ns)
        stretch.end_ns = max(stretch.end_ns, last_ns)
        stretch.records += count
        self._changed[stretch.number] = stretch

    def heartbeat(self, now_ns: int) -> None:
        """Take note that until `now_ns`, by the gateway's clock, there was nothing else to send."""
        stretch = self._current or self._open(now_ns)
        if stretch.end_ns < now_ns <= stretch.end_ns + HEARTBEAT_REACH_NS:
            stretch.end_ns = now_ns
        self._changed[stretch.number] = stretch

    def take_changed(self) -> list[Stretch]:
        """Return the stretches that grew or ended since the last call."""
        changed = [dataclasses.replace(stretch) for stretch in self._changed.values()]
        self._changed = {}
        return changed

    def _open(self, first_ns: int) -> Stretch:
        self._count += 1
        start_ns = first_ns if self._begin_ns is None else min(self._begin_ns, first_ns)
        self._begin_ns = None
        self._current = Stretch(self._count, start_ns, first_ns)
        return self._current
