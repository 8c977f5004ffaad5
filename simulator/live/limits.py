"""The limits of the real gateway: connections, sessions, subscriptions, how far back it replays.

From its documentation: five connections a second from one address, more are closed at once; ten
sessions at a time (there for each team, here for each key); ten subscription requests a second,
more are delayed; replays of the last 24 hours.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Final

from ifd.units import NANOS_PER_MINUTE

_WINDOW_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a gateway allows; None: any number."""

    connects_per_second: int | None = 5
    sessions_per_key: int | None = 10
    subscriptions_per_second: int | None = 10
    replay_hours: float | None = 24.0

    def oldest_start_ns(self, newest_ns: int) -> int:
        """Return the earliest start of a replay when the newest record is of `newest_ns`."""
        if self.replay_hours is None:
            return 0
        return newest_ns - int(self.replay_hours * 60 * NANOS_PER_MINUTE)


UNLIMITED: Final = Limits(None, None, None, None)


class ConnectionGate:
    """Counts the connections of each address over the last second."""

    def __init__(self, per_second: int | None) -> None:
        self._per_second = per_second
        self._seen: dict[str, deque[float]] = defaultdict(deque)

    def lets_in(self, address: str) -> bool:
        """Return whether one more connection is allowed now; if so it counts."""
        if self._per_second is None:
            return True
        now = time.monotonic()
        seen = self._seen[address]
        while seen and seen[0] <= now - _WINDOW_SECONDS:
            seen.popleft()
        if len(seen) >= self._per_second:
            return False
        seen.append(now)
        return True


class SubscriptionThrottle:
    """Delays the subscription requests of one session that come too fast."""

    def __init__(self, per_second: int | None) -> None:
        self._taken: deque[float] | None = None if per_second is None else deque(maxlen=per_second)

    async def turn(self) -> None:
        """Wait until one more request is within the limit."""
        taken = self._taken
        if taken is None:
            return
        if len(taken) == taken.maxlen:
            await asyncio.sleep(max(taken[0] + _WINDOW_SECONDS - time.monotonic(), 0.0))
        taken.append(time.monotonic())
