"""Coverage and gaps in tables: what was received, and the ledger of what was not.

The feed records the gaps it notices. `reconcile_gaps` holds market hours against everything that
any run received, adds what nobody could notice (a late start, a crash, a stream that never ran) and
settles what came later. A row is never deleted: one that was filled in part is split.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.coverage import Interval, find_gaps, intersect, normalise, union
from ifd.sessions import Session as MarketSession
from models.base import transaction, upsert
from models.gap_ledger import MISSING_STATES, GapLedger, is_of_all, read_coverage
from models.operations import CoverageRow, GapRow

_ADVISORY_LOCK: Final = 0x1FD_6A95
"""Any number but that of the migrations: who reconciles on PostgreSQL holds it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reconciled:
    """How many gap rows were added, extended to the present, and settled in whole or in part."""

    added: int
    extended: int
    settled: int


def write_coverage(session: Session, rows: Sequence[CoverageRow]) -> None:
    """Store stretches; one that is stored already, by run and number, is written anew."""
    values = [row.model_dump(exclude={"id"}) for row in rows]
    upsert(session, CoverageRow, values, key=("run_id", "number"))


def coverage_intervals(
    session: Session, shard: str, start_ns: int, end_ns: int, *, dbn_schema: str = "mbo"
) -> list[Interval]:
    """Return what was received within `start_ns <= ts < end_ns`, by whatever run, in order."""
    rows = read_coverage(session, shard, start_ns, end_ns, dbn_schema)
    return intersect(((row.start_ns, row.end_ns) for row in rows), [(start_ns, end_ns)])


def gaps_of(
    session: Session, shard: str, dates: Iterable[str], *, state: str | None = None
) -> list[GapRow]:
    """Return the gaps of some session dates in order of time, all or those of one state."""
    query = select(GapRow).where(
        GapRow.shard == shard, col(GapRow.session_date).in_(sorted(set(dates)))
    )
    if state is not None:
        query = query.where(GapRow.state == state)
    return list(session.exec(query.order_by(col(GapRow.start_ns), col(GapRow.id))))


def missing_intervals(gaps: Iterable[GapRow], *, now_ns: int) -> list[Interval]:
    """Return the time in which every instrument is missing; a gap that goes on reaches to now."""
    return normalise(
        (gap.start_ns, now_ns if gap.end_ns is None else gap.end_ns)
        for gap in gaps
        if gap.state in MISSING_STATES and is_of_all(gap)
    )


def reconcile_gaps(
    engine: Engine, shard: str, sessions: Iterable[MarketSession], *, now_ns: int
) -> Reconciled:
    """Bring the gaps of a shard to what market hours and coverage say; a second call adds nothing.

    Afterwards every moment of the sessions until now is covered or lies in a gap. The open stretch
    of a living run counts as covered until now: what it has yet to write down is not missing.

    Parameters
    ----------
    sessions : iterable of ifd.sessions.Session
        Those to look at; what is to come of them is not missing.
    now_ns : int
        The present, ns UTC.
    """
    begun = sorted((s for s in sessions if s.open_ns < now_ns), key=lambda s: s.open_ns)
    if not begun:
        return Reconciled(0, 0, 0)
    with transaction(engine) as session:
        _take_turns(session)
        until_ns = min(max(s.close_ns for s in begun), now_ns)
        ledger = GapLedger(session, shard, begun[0].open_ns, until_ns, now_ns)
        settled = sum([ledger.settle(gap) for gap in list(ledger.gaps)])
        spans = find_gaps(begun, union(ledger.covered(), ledger.explained()), until_ns=now_ns)
        market = {s.date: s for s in begun}
        extended = sum(
            [ledger.note(market[span.session_date], (span.start_ns, span.end_ns)) for span in spans]
        )
        ledger.measure()
        return Reconciled(len(spans) - extended, extended, settled)


def note_discrepancies(engine: Engine, gaps: Sequence[GapRow]) -> list[GapRow]:
    """Store gaps in what coverage claims, those that are not known yet, and return these."""
    if not gaps:
        return []
    fresh = []
    with transaction(engine) as session:
        _take_turns(session)
        for gap in gaps:
            same = select(GapRow.id).where(
                GapRow.shard == gap.shard,
                GapRow.cause == gap.cause,
                GapRow.start_ns == gap.start_ns,
                GapRow.end_ns == gap.end_ns,
            )
            if session.exec(same).first() is None:
                session.add(gap)
                fresh.append(gap)
    return fresh


def _take_turns(session: Session) -> None:
    """Let nobody else reconcile until this transaction ends: two would each add the same row."""
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    else:  # SQLite takes its one write lock for an update of nothing, too
        session.connection().execute(
            sa.update(GapRow).where(col(GapRow.id) == -1).values(state="open")
        )
