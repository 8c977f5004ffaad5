"""How often a key may ask: so many requests in any second, by kind, as Databento documents."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ifd.clock import Clock
from ifd.units import NANOS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests a second and key, for each kind of request."""

    metadata: int = 20
    timeseries: int = 100
    symbology: int = 100

    def of(self, kind: str) -> int:
        """Return the limit of a kind: `metadata`, `timeseries` or `symbology`."""
        limits = {"metadata": self.metadata, "timeseries": self.timeseries}
        return limits.get(kind, self.symbology)


class RateMeter:
    """Remembers a second of requests; one that would exceed the limit is refused, not counted."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._recent: dict[tuple[str, str], deque[int]] = {}

    def admits(self, key: str, kind: str) -> bool:
        """Return whether this request may pass, and count it if so."""
        now_ns = self._clock.now_ns()
        recent = self._recent.setdefault((key, kind), deque())
        while recent and recent[0] <= now_ns - NANOS_PER_SECOND:
            recent.popleft()
        if len(recent) >= self._limits.of(kind):
            return False
        recent.append(now_ns)
        return True
