"""What was received and what is missing, as half-open intervals of nanoseconds.

A gap is market hours that no stretch of coverage holds, and nothing else: an option may be quiet
for an hour, and `sequence` jumps in every filtered stream. Coverage grows with the gateway's
heartbeats as well as with records, so that silence with a heartbeat is not a gap.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterable
from typing import TypeAlias

from ifd.sessions import Session

Interval: TypeAlias = tuple[int, int]
"""Begin and end, ns UTC; the end is not in it. One that does not begin before its end is empty."""


@dataclasses.dataclass(frozen=True, slots=True)
class MissingSpan:
    """A time of one session in which nothing was received: `start_ns <= ts < end_ns`."""

    session_date: str
    start_ns: int
    end_ns: int


def normalise(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the same time as few intervals in order, none empty, none touching another.

    Examples
    --------
    >>> normalise([(5, 7), (1, 3), (3, 4), (9, 9)])
    [(1, 4), (5, 7)]
    """
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def union(*sets: Iterable[Interval]) -> list[Interval]:
    """Return the time that lies in any of the sets."""
    return normalise(interval for intervals in sets for interval in intervals)


def intersect(left: Iterable[Interval], right: Iterable[Interval]) -> list[Interval]:
    """Return the time that lies in both sets.

    Examples
    --------
    >>> intersect([(0, 5), (8, 9)], [(3, 10)])
    [(3, 5), (8, 9)]
    """
    # Each side is free of overlaps, so time that two intervals hold is held by one of each.
    both: list[Interval] = []
    reached: int | None = None
    for start, end in heapq.merge(normalise(left), normalise(right)):
        if reached is not None and start < reached:
            both.append((start, min(end, reached)))
        reached = end if reached is None else max(reached, end)
    return normalise(both)


def subtract(whole: Iterable[Interval], taken: Iterable[Interval]) -> list[Interval]:
    """Return the time of `whole` that does not lie in `taken`.

    Examples
    --------
    >>> subtract([(0, 10)], [(2, 3), (8, 12)])
    [(0, 2), (3, 8)]
    """
    wanted = normalise(whole)
    if not wanted:
        return []
    gaps: list[Interval] = []
    reached = wanted[0][0]
    for start, end in normalise(taken):
        gaps.append((reached, start))
        reached = max(reached, end)
    gaps.append((reached, wanted[-1][1]))
    return intersect(wanted, gaps)


def duration_ns(intervals: Iterable[Interval]) -> int:
    """Return how long the time is that lies in any of the intervals."""
    return sum(end - start for start, end in normalise(intervals))


def find_gaps(
    sessions: Iterable[Session], covered: Iterable[Interval], *, until_ns: int
) -> list[MissingSpan]:
    """Return what market hours have and coverage lacks, in order, one span within one session.

    Parameters
    ----------
    sessions : iterable of Session
        Those to look at, in any order.
    covered : iterable of Interval
        What was received, in any order, overlapping or not.
    until_ns : int
        The present: what is to come is not missing.
    """
    received = normalise(covered)
    return [
        MissingSpan(session.date, start, end)
        for session in sorted(sessions, key=lambda session: session.open_ns)
        for start, end in subtract([(session.open_ns, min(session.close_ns, until_ns))], received)
    ]
