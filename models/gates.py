"""The gate of a session: closed while a batch of it lies in quarantine; then its alerts are held.

    pending ──gate closed──► held, still pending ──gate opens in time──► delivered
                                     └───────── too old to act on ─────► expired, with the reason

Who delivers alerts asks here before each, in one small query, and imports nothing that checks.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from models.base import transaction
from models.operations import StreamRunRow
from models.quality import QuarantineRow
from models.signals import AlertOutboxRow, SignalRow

EXPIRED: Final = "expired"
"""State of an alert that was held until nobody could act on it any more."""


@dataclasses.dataclass(frozen=True, slots=True)
class ClosedGate:
    """A session whose alerts are held, since when, and the checks that failed."""

    shard: str
    session_date: str
    since_ns: int
    checks: tuple[str, ...]


def closed_gates(session: Session) -> list[ClosedGate]:
    """Return the sessions whose alerts are held, mostly none."""
    rows = session.exec(
        select(QuarantineRow)
        .where(col(QuarantineRow.active_batch).is_not(None))
        .order_by(col(QuarantineRow.id))
    ).all()
    by_session: dict[tuple[str, str], list[QuarantineRow]] = {}
    for row in rows:
        by_session.setdefault((row.shard, row.session_date), []).append(row)
    return [
        ClosedGate(
            shard,
            date,
            min(row.since_ns for row in held),
            tuple(dict.fromkeys(check for row in held for check in row.checks)),
        )
        for (shard, date), held in by_session.items()
    ]


def held_alerts(gates: Iterable[ClosedGate]) -> sa.ColumnElement[bool] | None:
    """Return the condition that an alert is held by one of `gates`; None when there is none.

    Notices are never held, and an alert that may have gone out already is looked up as always. A
    signal of no run belongs to a shard that nobody knows: it is held with any of its date.
    """
    sessions = [(gate.shard, gate.session_date) for gate in gates]
    if not sessions:
        return None
    of_gate = sa.or_(
        *(
            sa.and_(
                col(SignalRow.session_date) == date,
                sa.or_(col(StreamRunRow.shard) == shard, col(SignalRow.run_id).is_(None)),
            )
            for shard, date in sessions
        )
    )
    signals = (
        sa.select(col(SignalRow.signal_id))
        .outerjoin(StreamRunRow, col(StreamRunRow.id) == col(SignalRow.run_id))
        .where(of_gate)
    )
    return sa.and_(
        col(AlertOutboxRow.state) == "pending",
        col(AlertOutboxRow.signal_id).is_not(None),
        col(AlertOutboxRow.signal_id).in_(signals),
    )


def may_go(session: Session) -> sa.ColumnElement[bool]:
    """Return the condition that an alert is not held now."""
    held = held_alerts(closed_gates(session))
    return sa.true() if held is None else sa.not_(held)


def expire_held(engine: Engine, *, now_ns: int, max_held_ns: int) -> int:
    """Give up alerts that were held longer than `max_held_ns`; return how many.

    Their signals stay in their table and on every screen.
    """
    with transaction(engine) as session:
        return sum(
            _expire_of(session, gate, now_ns - max_held_ns) for gate in closed_gates(session)
        )


def _expire_of(session: Session, gate: ClosedGate, created_before_ns: int) -> int:
    held = held_alerts([gate])
    assert held is not None
    done = session.connection().execute(
        sa.update(AlertOutboxRow)
        .where(held, col(AlertOutboxRow.created_ns) <= created_before_ns)
        .values(
            state=EXPIRED,
            error=f"held until it was too old to act on: {', '.join(gate.checks)} had failed",
        )
    )
    return done.rowcount


def held_counts(session: Session, shard: str, session_date: str) -> Counter[str]:
    """Return how many alerts of a session wait, and how many expired, by state."""
    rows = session.connection().execute(
        sa.select(col(AlertOutboxRow.state), sa.func.count())
        .join(SignalRow, col(SignalRow.signal_id) == col(AlertOutboxRow.signal_id))
        .outerjoin(StreamRunRow, col(StreamRunRow.id) == col(SignalRow.run_id))
        .where(
            col(SignalRow.session_date) == session_date,
            sa.or_(col(StreamRunRow.shard) == shard, col(SignalRow.run_id).is_(None)),
            col(AlertOutboxRow.state).in_(("pending", EXPIRED)),
        )
        .group_by(col(AlertOutboxRow.state))
    )
    return Counter({str(state): int(count) for state, count in rows})


def quarantined(
    session: Session, shard: str, dates: Collection[str], *, suites: Collection[str]
) -> dict[str, list[str]]:
    """Return the failed checks of each of these session dates of which a batch lies in quarantine.

    Parameters
    ----------
    suites : collection of str
        Only batches of these.
    """
    rows = session.exec(
        select(QuarantineRow)
        .where(QuarantineRow.shard == shard, col(QuarantineRow.active_batch).is_not(None))
        .where(col(QuarantineRow.suite).in_(suites))
        .where(col(QuarantineRow.session_date).in_(dates))
        .order_by(col(QuarantineRow.session_date), col(QuarantineRow.id))
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.session_date, []).extend(row.checks)
    return found
