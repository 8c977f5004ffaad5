"""How long to wait before the next attempt: exponential, with full jitter.

The provider asks for at least a second after a lost connection and refuses an address that
connects too often; jitter keeps many clients that lost the same gateway from returning as one.
"""

from __future__ import annotations

import random
from typing import Final

DOUBLINGS: Final = 30
"""Enough for any cap; keeps the power from growing without end."""


class Backoff:
    """Waits of `first_seconds` and up to `cap_seconds`, longer with each failure in a row."""

    def __init__(self, *, first_seconds: float, cap_seconds: float) -> None:
        self.failures = 0
        self._first = first_seconds
        self._cap = max(cap_seconds, first_seconds)
        self._random = random.Random()  # noqa: S311 - spreads load, guards nothing

    def next_seconds(self) -> float:
        """Return the next wait: never less than the first, never more than the cap."""
        spread = min(self._cap - self._first, self._first * 2.0 ** min(self.failures, DOUBLINGS))
        self.failures += 1
        return self._first + self._random.uniform(0.0, spread)

    def reset(self) -> None:
        """Begin again at the first wait: the connection has proved itself."""
        self.failures = 0
