"""The only place that reads wall time; everything else is handed a clock or takes event time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Gives the present as integer nanoseconds UTC."""

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch, UTC."""
        return time.time_ns()


class ManualClock:
    """A clock that moves only when told to, for tests and replay."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Return the time it was last set to."""
        return self._now_ns

    def advance_to(self, ns: int) -> None:
        """Move to `ns`; a step back is ignored, as on a disciplined clock."""
        self._now_ns = max(self._now_ns, ns)
