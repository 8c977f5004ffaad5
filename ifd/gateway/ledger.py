"""The exact-once rule: what was accepted lately, so that a replay can be joined without a seam.

The gateway replays from an event time and in the original order of each instrument. What was
accepted of an instrument is therefore the first part of what a replay from the same time brings,
and the rule is: from event time `start` on, drop of each instrument as many records as were
accepted at or after `start`. With `start` at the very last event time this is the provider's own
recipe (drop the first N at the last timestamp); a start a little earlier makes it hold also when
instruments, which come over several channels, are not in event order among each other.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import databento_dbn as dbn
import numpy as np
import numpy.typing as npt

from ifd.records import F_SNAPSHOT, MboArray
from ifd.units import NANOS_PER_MILLISECOND, NANOS_PER_SECOND

OVERLAP_NS: Final = NANOS_PER_SECOND
"""Far more than channels of one exchange drift apart, and next to nothing to replay."""
JOINING_NS: Final = 50 * NANOS_PER_MILLISECOND
"""After joining a running feed, how long records may come that are older than the first one: of
event times within it some may have been sent before we were there."""
MAX_REMEMBERED: Final = 1_000_000
"""Records remembered for the overlap, 12 bytes each; a wilder second shortens the overlap."""
MAX_REMEMBERED_OTHERS: Final = 500_000

_Note = tuple[int, npt.NDArray[np.uint64], npt.NDArray[np.uint32]]


class MboLedger:
    """Remembers the last second of accepted MBO records and drops them from a replay."""

    def __init__(
        self, *, overlap_ns: int = OVERLAP_NS, max_remembered: int = MAX_REMEMBERED
    ) -> None:
        self.last_ts: int | None = None
        self.dropped = 0
        self._overlap_ns = overlap_ns
        self._max_remembered = max_remembered
        self._replay_from: int | None = None
        self._known_until = 0
        self._owed: dict[int, int] = {}
        self.join(start_ns=None, snapshot=False)

    def join(self, *, start_ns: int | None, snapshot: bool) -> None:
        """Begin anew with a subscription that continues nothing.

        Parameters
        ----------
        start_ns : int or None
            Where its replay begins; None when the feed is joined as it runs.
        snapshot : bool
            True when it begins with a snapshot made for us, which no replay contains.
        """
        self._notes: deque[_Note] = deque()
        self._remembered = 0
        self._forgotten_ts = -1
        self._first_ts = start_ns
        self._joined_running = start_ns is None
        self._skip_snapshots = snapshot
        self._in_snapshot = False
        self._noted_ts: int | None = None
        self._replay_from = None
        self._owed = {}

    @property
    def resume_ts(self) -> int | None:
        """Event time to replay from, or None when only a new beginning will do.

        None before the first record, and while a snapshot was on its way: half a snapshot cannot
        be continued.
        """
        newest = self._noted_ts
        if newest is None or self._first_ts is None or self._in_snapshot:
            return None
        whole_from = self._first_ts + (JOINING_NS if self._joined_running else 0)
        return min(newest, max(newest - self._overlap_ns, whole_from, self._forgotten_ts + 1))

    def begin_replay(self, start_ns: int) -> None:
        """Expect a replay from `start_ns`, which `resume_ts` gave."""
        self._replay_from = start_ns
        self._known_until = self._noted_ts or 0
        ids = [ids[stamps >= start_ns] for _, stamps, ids in self._notes]
        known, counts = np.unique(np.concatenate(ids), return_counts=True)
        self._owed = dict(zip(known.tolist(), counts.tolist(), strict=True))

    def end_replay(self) -> int:
        """Hear that the replay is over; return how many known records it did not bring.

        Those are still recognised should they come after all: none is newer than the newest known.
        """
        self._replay_from = None
        return sum(self._owed.values())

    def accept(self, records: MboArray) -> MboArray:
        """Return the records that are new, and remember them."""
        if self._replay_from is not None or self._owed:
            records = self._without_known(records)
        if len(records):
            self._note(records)
        return records

    def _without_known(self, records: MboArray) -> MboArray:
        stamps = records["ts_event"]
        keep = np.ones(len(records), np.bool_)
        if self._replay_from is not None:
            keep = stamps >= self._replay_from
        if self._owed:
            candidates = np.flatnonzero(keep & (stamps <= self._known_until))
            known = self._known(records["instrument_id"][candidates])
            keep[candidates[known]] = False
            if int(stamps.min()) > self._known_until + self._overlap_ns:
                self._owed = {}
        fresh = records[keep] if not keep.all() else records
        self.dropped += len(records) - len(fresh)
        return fresh

    def _known(self, ids: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
        """Return for each record whether it is among the first owed ones of its instrument."""
        unique, which, counts = np.unique(ids, return_inverse=True, return_counts=True)
        owed = np.array([self._owed.get(number, 0) for number in unique.tolist()], np.int64)
        by_instrument = np.argsort(which, kind="stable")
        place = np.empty(len(ids), np.int64)
        place[by_instrument] = np.arange(len(ids)) - np.repeat(np.cumsum(counts) - counts, counts)
        left = np.maximum(owed - counts, 0)
        for number, before, after in zip(unique.tolist(), owed, left.tolist(), strict=True):
            if after:
                self._owed[number] = after
            elif before:
                del self._owed[number]
        known: npt.NDArray[np.bool_] = place < owed[which]
        return known

    def _note(self, records: MboArray) -> None:
        self.last_ts = max(self.last_ts or 0, int(records["ts_event"].max()))
        if self._skip_snapshots:
            snapshot = (records["flags"] & F_SNAPSHOT) != 0
            self._in_snapshot = bool(snapshot[-1])
            records = records[~snapshot]
            if not len(records):
                return
        stamps = records["ts_event"].copy()
        if self._first_ts is None:
            self._first_ts = int(stamps[0])
        # A clock that is far ahead must not make everything after it look old.
        newest = min(int(stamps.max()), int(records["ts_recv"][-1]) + self._overlap_ns)
        self._noted_ts = newest if self._noted_ts is None else max(newest, self._noted_ts)
        self._notes.append((newest, stamps, records["instrument_id"].copy()))
        self._remembered += len(stamps)
        self._forget(self._noted_ts)

    def _forget(self, now_ts: int) -> None:
        # What shares the newest timestamp is the rule itself, and kept as long as memory allows.
        while len(self._notes) > 1:
            newest, stamps, _ = self._notes[0]
            limit = self._max_remembered * (1 if newest < now_ts else 2)
            crowded = self._remembered > limit
            if newest >= now_ts - self._overlap_ns and not crowded:
                return
            self._notes.popleft()
            self._remembered -= len(stamps)
            self._forgotten_ts = max(self._forgotten_ts, newest)


class OtherLedger:
    """Remembers definitions, statistics and the like by their very bytes.

    They are few, and their event times say little (a definition's may be weeks old), so a replay
    of them is asked for from the beginning and what is known is recognised.
    """

    def __init__(self, *, max_remembered: int = MAX_REMEMBERED_OTHERS) -> None:
        self.dropped = 0
        self._seen: dict[int, None] = {}
        self._max_remembered = max_remembered

    def accept(self, record: dbn.DBNRecord, *, replaying: bool) -> bool:
        """Return True for a record that is new, and remember it."""
        mark = hash(bytes(record))
        if replaying and mark in self._seen:
            self.dropped += 1
            return False
        self._seen[mark] = None
        if len(self._seen) > self._max_remembered:
            del self._seen[next(iter(self._seen))]
        return True
