"""Caps, what counts against them, and the one lock behind which money is counted and booked."""

from __future__ import annotations

import dataclasses
from typing import Final

import sqlalchemy as sa
from sqlmodel import Session, col, func, select

from ifd.units import utc_from_ns
from models.money import CostEntryRow

_ADVISORY_LOCK: Final = 0x1FD_B0D6
"""Any number but those of the migrations and of the gaps: who books on PostgreSQL holds it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Caps:
    """What one kind of spending may commit in a UTC day and in a calendar month, micro-dollars."""

    daily_micro_dollars: int
    monthly_micro_dollars: int


@dataclasses.dataclass(frozen=True, slots=True)
class Committed:
    """What one kind of spending has committed: spent, or set aside."""

    day_micro_dollars: int
    month_micro_dollars: int

    def plus(self, micro_dollars: int) -> Committed:
        """Return what is committed with so much more, of today."""
        return Committed(
            self.day_micro_dollars + micro_dollars, self.month_micro_dollars + micro_dollars
        )

    def left(self, caps: Caps) -> int:
        """Return what may still be reserved, micro-dollars; never below 0."""
        return max(
            0,
            min(
                caps.daily_micro_dollars - self.day_micro_dollars,
                caps.monthly_micro_dollars - self.month_micro_dollars,
            ),
        )


def committed(session: Session, kind: str, *, now_ns: int) -> Committed:
    """Return what a kind of spending has committed in the UTC day and month of `now_ns`."""
    return committed_on(session, kind, day_of(now_ns))


def committed_on(session: Session, kind: str, day: str) -> Committed:
    """Return what a kind of spending has committed in a UTC day, `YYYY-MM-DD`, and its month."""
    amount = col(CostEntryRow.committed_micro_dollars)
    query = select(
        func.coalesce(func.sum(sa.case((col(CostEntryRow.day) == day, amount), else_=0)), 0),
        func.coalesce(func.sum(amount), 0),
    ).where(
        CostEntryRow.kind == kind,
        col(CostEntryRow.day) >= f"{day[:7]}-01",
        col(CostEntryRow.day) <= f"{day[:7]}-31",
    )
    today, month = session.exec(query).one()
    return Committed(int(today), int(month))


def day_of(ns: int) -> str:
    """Return the UTC day of a moment, `YYYY-MM-DD`."""
    return f"{utc_from_ns(ns):%Y-%m-%d}"


def take_turns(session: Session) -> None:
    """Let nobody else book until this transaction ends: two would each see the same rest."""
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    else:  # SQLite takes its one write lock for an update of nothing, too
        session.connection().execute(
            sa.update(CostEntryRow).where(col(CostEntryRow.id) == -1).values(state="reserved")
        )
