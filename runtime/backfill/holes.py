"""What is missing, and what is worth filling first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy.engine import Engine
from sqlmodel import Session

from config.settings import Settings
from ifd.coverage import normalise
from ifd.units import NANOS_PER_SECOND
from models.backfills import find_requests
from models.gap_ledger import is_of_all
from models.operations import GapRow
from runtime.backfill.activity import Activity
from runtime.backfill.doubts import doubtful_holes
from runtime.backfill.hole import Hole
from runtime.gap_scan import SessionGaps, scan_gaps


def find_holes(
    settings: Settings,
    engine: Engine,
    *,
    shard: str,
    now_ns: int,
    date: str | None = None,
    days: int = 1,
) -> list[Hole]:
    """Reconcile the gaps of some sessions and return the holes to fill, the most urgent first.

    In session first, then the larger, then the more recent. Larger is what lacks more records: as
    many as earlier sessions had at that time of day, in those instruments, so that a busy time or
    a busy instrument comes before a quiet one; as many as the neighbouring coverage lets expect
    when there is no earlier session. What has not ended long enough ago, is given up, or is of
    another market (the local exchange's before it was started) is no hole.

    Raises
    ------
    InputError, ConfigurationError
        As `runtime.gap_scan.scan_gaps`.
    """
    found = scan_gaps(settings, engine, shard=shard, now_ns=now_ns, date=date, days=days)
    return holes_of(found, settings, engine, shard=shard, now_ns=now_ns)


def holes_of(
    sessions: Iterable[SessionGaps],
    settings: Settings,
    engine: Engine,
    *,
    shard: str,
    now_ns: int,
) -> list[Hole]:
    """Return the holes of sessions that were scanned, as `find_holes` does."""
    settled_ns = now_ns - int(settings.backfill.settle_seconds * NANOS_PER_SECOND)
    known_ns = settings.feed.resume_runs_after_ns
    holes: list[Hole] = []
    for session in sessions:
        missing = [
            hole
            for hole in _holes_of(session, engine, shard, settled_ns, now_ns)
            if hole.start_ns >= known_ns
        ]
        if missing:
            activity = Activity(settings, engine, session.market, now_ns=now_ns)
            holes += [_measured(hole, activity) for hole in missing]
    return sorted(holes, key=_urgency)


def _holes_of(
    session: SessionGaps, engine: Engine, shard: str, settled_ns: int, now_ns: int
) -> Iterator[Hole]:
    gaps = [gap for gap in session.gaps if gap.state == "open" and _has_ended(gap, settled_ns)]
    of_all = [gap for gap in gaps if is_of_all(gap)]
    spans = normalise((gap.start_ns, gap.end_ns) for gap in of_all if gap.end_ns is not None)
    for start_ns, end_ns in spans:
        yield Hole(
            shard=shard,
            market=session.market,
            start_ns=start_ns,
            end_ns=end_ns,
            estimated_records=_estimate(of_all, start_ns, end_ns),
            in_session=now_ns < session.market.close_ns,
        )
    doubts = [gap for gap in gaps if not is_of_all(gap)]
    if doubts:
        with Session(engine) as database:
            waiting = find_requests(database, shard, states=("waiting",))
        begun = [
            row for row in waiting if row.of_doubts and row.session_date == session.market.date
        ]
        yield from doubtful_holes(doubts, session.market, begun, shard=shard, now_ns=now_ns)


def _has_ended(gap: GapRow, settled_ns: int) -> bool:
    return gap.end_ns is not None and gap.end_ns <= settled_ns


def _estimate(gaps: Sequence[GapRow], start_ns: int, end_ns: int) -> int | None:
    inside: Iterable[GapRow] = (gap for gap in gaps if start_ns <= gap.start_ns < end_ns)
    known = [gap.estimated_records for gap in inside if gap.estimated_records is not None]
    return sum(known) if known else None


def _measured(hole: Hole, activity: Activity) -> Hole:
    usual = activity.expected(hole.start_ns, hole.end_ns, symbols=hole.symbols)
    return dataclasses.replace(hole, usual_records=usual)


def _urgency(hole: Hole) -> tuple[bool, int, int, int]:
    size = hole.estimated_records if hole.usual_records is None else hole.usual_records
    return (not hole.in_session, -(size or 0), hole.start_ns - hole.end_ns, -hole.start_ns)
