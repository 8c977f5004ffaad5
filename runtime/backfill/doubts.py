"""Doubtful books: what the exchange flagged, or a book could not follow, is asked for once more.

Either somebody's record of that time holds orders which the archive lacks, or the exchange itself
has lost them and nobody will ever have them; a gap that nothing can close is said to be lost.
The doubts of a session are one piece of work: a bad channel raises thousands at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ifd.sessions import Session as MarketSession
from models.money import BackfillRequestRow
from models.operations import ArchiveFileRow, GapRow
from runtime.backfill.hole import Hole
from runtime.session_archive import received_between


def doubtful_holes(
    gaps: Sequence[GapRow],
    market: MarketSession,
    begun: Iterable[BackfillRequestRow],
    *,
    shard: str,
    now_ns: int,
) -> list[Hole]:
    """Return the doubts of a session as holes: those of requests that wait, and one of the rest.

    Parameters
    ----------
    gaps : sequence of GapRow
        Doubts of one instrument each that are open and have ended.
    begun : iterable of BackfillRequestRow
        Requests for doubts that wait; what lies in their time stays theirs, or a provider that
        fails would be asked anew with every further doubt, and never given up.
    """
    left, holes = list(gaps), []
    for span in [*((row.start_ns, row.end_ns) for row in begun), None]:
        inside = [gap for gap in left if span is None or _lies_in(gap, span)]
        left = [gap for gap in left if gap not in inside]
        if inside:
            start_ns, end_ns = span or _span_of(inside, market)
            holes.append(
                Hole(
                    shard=shard,
                    market=market,
                    start_ns=start_ns,
                    end_ns=end_ns,
                    estimated_records=None,
                    in_session=now_ns < market.close_ns,
                    of_doubts=True,
                    instrument_ids=_ids(inside),
                    symbols=tuple(sorted({gap.raw_symbol for gap in inside if gap.raw_symbol})),
                )
            )
    return holes


def held_records(hole: Hole, segments: Iterable[ArchiveFileRow], *, lap_ns: int) -> int:
    """Return how many orders of the doubtful instruments the archive holds of what is asked for."""
    wanted = sorted(hole.instrument_ids)
    span = hole.start_ns, hole.end_ns + lap_ns
    return sum(
        int(np.isin(records["instrument_id"], wanted).sum())
        for records in received_between(segments, *span)
    )


def _lies_in(gap: GapRow, span: tuple[int, int]) -> bool:
    return gap.start_ns >= span[0] and gap.end_ns is not None and gap.end_ns <= span[1]


def _span_of(gaps: Sequence[GapRow], market: MarketSession) -> tuple[int, int]:
    # A book that could not follow lacks an order of before: of any time since the open.
    unknown = any(gap.cause == "book" for gap in gaps)
    first_ns = min(gap.start_ns for gap in gaps)
    start_ns = min(first_ns, market.open_ns) if unknown else first_ns
    return start_ns, max(gap.end_ns for gap in gaps if gap.end_ns is not None)


def _ids(gaps: Iterable[GapRow]) -> frozenset[int]:
    return frozenset(gap.instrument_id for gap in gaps if gap.instrument_id is not None)
