"""What is asked of the gateway, and what is said when it was not there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final

from ifd.clock import Clock
from ifd.errors import FeedInterruptedError, InputError

MBO: Final = "mbo"


@dataclasses.dataclass(frozen=True, slots=True)
class Subscription:
    """One schema of one set of symbols.

    `start_ns` replays the running session from an event time on (0: all of it); `snapshot` asks
    for the present book instead. The gateway gives one or the other.
    """

    schema: str
    symbols: tuple[str, ...]
    stype_in: str = "parent"
    start_ns: int | None = None
    snapshot: bool = False

    def __post_init__(self) -> None:
        if self.snapshot and self.start_ns is not None:
            raise InputError("a subscription has a start or a snapshot, not both")
        if not self.symbols:
            raise InputError(f"the subscription to {self.schema} names no symbol")


@dataclasses.dataclass(frozen=True, slots=True)
class FeedGap:
    """A time without connection: reported when it opens and again when it is known how it ended.

    `number` counts the gaps of one feed from 1, so that the second report finds the first.
    `start_ns` is the last event time received before it. `state` is `open` (not, or not yet, made
    good) or `replayed` (the gateway has sent again all that was missed); `end_ns` is the event
    time at which records were whole again, None while that is not known.
    """

    number: int
    start_ns: int
    end_ns: int | None
    cause: str
    detail: str
    state: str
    detected_ns: int


class GapLog:
    """The gaps of one feed: at most one is open, however many attempts it takes to come back."""

    def __init__(self, clock: Clock, report: Callable[[FeedGap], None] | None) -> None:
        self.count = 0
        self.current: FeedGap | None = None
        self._clock = clock
        self._report = report or (lambda _gap: None)

    def open(self, start_ns: int, error: FeedInterruptedError) -> None:
        """Report a gap, unless one is open already."""
        if self.current is None:
            self.current = self._new(start_ns, None, error)

    def hole(self, start_ns: int, end_ns: int, error: FeedInterruptedError) -> None:
        """Report what the gateway itself has left out, both ends of it being known."""
        self._new(start_ns, max(start_ns, end_ns), error)

    def close(self, end_ns: int, *, state: str) -> None:
        """Report how the open gap, if there is one, ended."""
        if self.current is not None:
            ended = dataclasses.replace(self.current, end_ns=end_ns, state=state)
            self.current = None
            self._report(ended)

    def _new(self, start_ns: int, end_ns: int | None, error: FeedInterruptedError) -> FeedGap:
        self.count += 1
        gap = FeedGap(
            number=self.count,
            start_ns=start_ns,
            end_ns=end_ns,
            cause=error.cause,
            detail=error.detail,
            state="open",
            detected_ns=self._clock.now_ns(),
        )
        self._report(gap)
        return gap
