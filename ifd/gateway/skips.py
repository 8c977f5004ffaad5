"""When the gateway says that it skipped records: whether they are had again, or are a real hole.

The error names no record. So the first record behind the skip is noted, untaken; the connection is
given up, and the replay that follows either brings something before that record, or the record
itself comes first: then there is nothing to be had, and the hole has two known ends.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import Final

from ifd.errors import FeedInterruptedError
from ifd.records import MboArray

_REMEMBERED: Final = 1_000


@dataclasses.dataclass(frozen=True, slots=True)
class Hole:
    """Records after `start_ns` and before `end_ns`, event times, that nobody was sent."""

    start_ns: int
    end_ns: int
    error: FeedInterruptedError


class SkipWatch:
    """The skips of one feed: announced, then doubted, then judged."""

    def __init__(self) -> None:
        self.announced: FeedInterruptedError | None = None
        """Said, and nothing has followed it yet."""
        self._doubted: FeedInterruptedError | None = None
        self._behind: bytes | None = None
        # First records behind holes that are known: a replay may pass over one again.
        self._judged: deque[bytes] = deque(maxlen=_REMEMBERED)

    def announce(self, error: FeedInterruptedError) -> None:
        """Hear that records were skipped; what comes next is behind them."""
        self.announced = error

    def begin_session(self) -> None:
        """Hear that a new connection continues: what nothing followed is asked for again, too."""
        self.announced = None

    def forget(self) -> None:
        """Hear that a new connection continues nothing: what was skipped lies in its gap."""
        self.announced = self._doubted = self._behind = None

    def look(self, records: MboArray) -> None:
        """See what follows a skip, before it is taken.

        Raises
        ------
        FeedInterruptedError
            If the skipped records are to be asked for again. One that is announced again in the
            same place is not: asking would never end.
        """
        if self.announced is None:
            return
        error, self.announced = self.announced, None
        behind = bytes(records[0])
        if behind in self._judged or (self._doubted is not None and self._behind == behind):
            return
        self._doubted, self._behind = error, behind
        raise error

    def judge(self, fresh: MboArray, last_ts: int) -> Hole | None:
        """Return the hole before `fresh`, if there is one.

        Parameters
        ----------
        fresh : ndarray of MBO_DTYPE
            Records never seen before, the first ones since the feed continued.
        last_ts : int
            Newest event time before them.
        """
        if self._doubted is None:
            return None
        error, behind = self._doubted, self._behind
        self._doubted = self._behind = None
        if bytes(fresh[0]) != behind:
            return None
        self._judged.append(behind)
        return Hole(last_ts, max(last_ts, int(fresh["ts_event"][0])), error)
