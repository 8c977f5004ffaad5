"""The ledger of one shard's gaps in a stretch of time, held against its coverage and its runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from sqlmodel import Session, col, select

from ifd.coverage import Interval, intersect, normalise, subtract, union
from ifd.sessions import Session as MarketSession
from models.gap_causes import INFERRED, infer_cause, is_alive, lived_until
from models.operations import CoverageRow, GapRow, StreamRunRow

MISSING_STATES: Final = ("open", "lost")
DOUBTS: Final = frozenset({"flag", "book"})
"""Causes of gaps in what did come: that it came does not settle them."""
DISCREPANCIES: Final = frozenset({"archive", "count"})
"""Causes of gaps in what coverage claims: only what was fetched for them settles them."""


class GapLedger:
    """Runs, coverage and gaps of one shard in one stretch of time, inside one transaction."""

    def __init__(
        self, session: Session, shard: str, start_ns: int, end_ns: int, now_ns: int
    ) -> None:
        self._session = session
        self._shard = shard
        self._now_ns = now_ns
        self._runs = {run.id: run for run in _runs(session, shard, start_ns, end_ns)}
        self._coverage = read_coverage(session, shard, start_ns, end_ns, "mbo")
        self.gaps = _gaps(session, shard, start_ns, end_ns)

    def covered(self, *origins: str, but_run: int | None = None) -> list[Interval]:
        """Return what was received, of these origins or any; not by `but_run` as it happened."""
        return normalise(
            (row.start_ns, self._reaches(row))
            for row in self._coverage
            if (not origins or row.origin in origins)
            and (but_run is None or row.run_id != but_run or row.origin != "live")
        )

    def explained(self) -> list[Interval]:
        """Return the time that has its gap already, missing or made good."""
        return normalise((gap.start_ns, self._end(gap)) for gap in self.gaps if is_of_all(gap))

    def settle(self, gap: GapRow) -> bool:
        """Mark the parts of a gap that were received after all; return True when there are any."""
        if gap.state not in MISSING_STATES or gap.cause in DISCREPANCIES:
            return False
        if gap.end_ns is None:
            if self._goes_on(gap):
                return False
            gap.end_ns, gap.updated_ns = self._end(gap), self._now_ns
        whole = [(gap.start_ns, gap.end_ns)]
        replayed = intersect(whole, self._replaying(gap))
        backfilled = intersect(subtract(whole, replayed), self.covered("backfill"))
        if not replayed and not backfilled:
            return False
        rest = subtract(whole, union(replayed, backfilled))
        parts = [
            *((start, end, "replayed") for start, end in replayed),
            *((start, end, "backfilled") for start, end in backfilled),
            *((start, end, gap.state) for start, end in rest),
        ]
        self._split(gap, sorted(parts))
        return True

    def note(self, market: MarketSession, span: Interval) -> bool:
        """Record missing market hours; return True when that extended the gap before them."""
        before = next((gap for gap in self.gaps if self._adjoins(gap, market, span)), None)
        start_ns = span[0] if before is None else before.start_ns
        cause = infer_cause(
            (start_ns, span[1]), market, list(self._runs.values()), now_ns=self._now_ns
        )
        if before is not None:
            before.end_ns, before.updated_ns = span[1], self._now_ns
            before.missing_ns = before.estimated_records = None
            before.cause, before.detail, before.run_id = cause.word, cause.detail, cause.run_id
            return True
        gap = GapRow(
            run_id=cause.run_id,
            shard=self._shard,
            session_date=market.date,
            start_ns=start_ns,
            end_ns=span[1],
            cause=cause.word,
            detail=cause.detail,
            state="open",
            detected_ns=self._now_ns,
        )
        self._add(gap)
        return False

    def measure(self) -> None:
        """Fill in how long gaps are, and how many records they may have had."""
        for gap in self.gaps:
            if gap.end_ns is not None and gap.missing_ns is None:
                gap.missing_ns = gap.end_ns - gap.start_ns
            if gap.estimated_records is None and gap.missing_ns and is_of_all(gap):
                gap.estimated_records = self._estimate(gap, gap.start_ns + gap.missing_ns)

    def _replaying(self, gap: GapRow) -> list[Interval]:
        if not is_of_all(gap):
            return self.covered("replay")
        # A run's own stretches may touch the gaps it met: it says itself when one was replayed.
        own = None if gap.cause in INFERRED else gap.run_id
        return self.covered("live", "replay", but_run=own)

    def _reaches(self, row: CoverageRow) -> int:
        run = self._runs.get(row.run_id)
        growing = row.is_open and run is not None and is_alive(run, now_ns=self._now_ns)
        return max(row.end_ns, self._now_ns) if growing else row.end_ns

    def _goes_on(self, gap: GapRow) -> bool:
        run = self._runs.get(gap.run_id)
        return run is None or is_alive(run, now_ns=self._now_ns)

    def _end(self, gap: GapRow) -> int:
        if gap.end_ns is not None:
            return gap.end_ns
        if self._goes_on(gap):
            return max(gap.start_ns, self._now_ns)
        return max(gap.start_ns, lived_until(self._runs[gap.run_id], now_ns=self._now_ns))

    def _adjoins(self, gap: GapRow, market: MarketSession, span: Interval) -> bool:
        return (
            gap.state == "open"
            and gap.cause in INFERRED
            and gap.instrument_id is None
            and gap.session_date == market.date
            and gap.end_ns == span[0]
        )

    def _split(self, gap: GapRow, parts: Sequence[tuple[int, int, str]]) -> None:
        facts = gap.model_dump(exclude={"id"})
        for number, (start_ns, end_ns, state) in enumerate(parts):
            part = gap if number == 0 else GapRow(**facts)
            part.start_ns, part.end_ns, part.state = start_ns, end_ns, state
            part.missing_ns, part.estimated_records = end_ns - start_ns, None
            part.updated_ns = self._now_ns
            if number:
                self._add(part)

    def _add(self, gap: GapRow) -> None:
        self._session.add(gap)
        self.gaps.append(gap)

    def _estimate(self, gap: GapRow, end_ns: int) -> int | None:
        stretches = [
            row
            for row in self._coverage
            if row.session_date == gap.session_date and row.end_ns > row.start_ns
        ]
        before = [row for row in stretches if row.end_ns <= gap.start_ns]
        after = [row for row in stretches if row.start_ns >= end_ns]
        beside = [
            *sorted(before, key=lambda row: row.end_ns)[-1:],
            *sorted(after, key=lambda row: row.start_ns)[:1],
        ]
        if not beside:
            return None
        received_ns = sum(row.end_ns - row.start_ns for row in beside)
        return sum(row.records for row in beside) * (end_ns - gap.start_ns) // received_ns


def is_of_all(gap: GapRow) -> bool:
    """Return True when a gap says that nothing of any instrument came."""
    return gap.instrument_id is None and gap.cause not in DOUBTS


def read_coverage(
    session: Session, shard: str, start_ns: int, end_ns: int, dbn_schema: str
) -> list[CoverageRow]:
    """Return the stretches that reach into a time, or may, in the order they begin."""
    query = select(CoverageRow).where(
        CoverageRow.shard == shard,
        CoverageRow.dbn_schema == dbn_schema,
        col(CoverageRow.start_ns) < end_ns,
        # A stretch that still grows may reach further than was written down.
        sa.or_(col(CoverageRow.end_ns) > start_ns, col(CoverageRow.is_open)),
    )
    return list(session.exec(query.order_by(col(CoverageRow.start_ns))))


def _gaps(session: Session, shard: str, start_ns: int, end_ns: int) -> list[GapRow]:
    query = select(GapRow).where(
        GapRow.shard == shard,
        col(GapRow.start_ns) < end_ns,
        sa.or_(col(GapRow.end_ns).is_(None), col(GapRow.end_ns) > start_ns),
    )
    return list(session.exec(query.order_by(col(GapRow.start_ns))))


def _runs(session: Session, shard: str, start_ns: int, end_ns: int) -> list[StreamRunRow]:
    lived = sa.func.coalesce(col(StreamRunRow.ended_ns), col(StreamRunRow.heartbeat_ns))
    query = select(StreamRunRow).where(
        StreamRunRow.shard == shard, col(StreamRunRow.started_ns) < end_ns, lived > start_ns
    )
    return list(session.exec(query.order_by(col(StreamRunRow.started_ns))))
