"""The purse in the database: what any number of processes commit together stays within the caps.

A reservation is one transaction behind one lock: the sum of the day and of the month is read, and
the row is written, before anybody else can do either. A process that dies in between leaves its
row, which goes on counting in full; so no death can free money that may have been spent.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, func, select

from ifd.clock import Clock
from ifd.errors import BudgetExceededError
from ifd.gateway.historical import HistoricalRequest
from ifd.units import utc_from_ns
from models.base import transaction
from models.money import CostEntryRow

_ADVISORY_LOCK: Final = 0x1FD_B0D6
"""Any number but those of the migrations and of the gaps: who reserves on PostgreSQL holds it."""


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

    def left(self, caps: Caps) -> int:
        """Return what may still be reserved, micro-dollars; never below 0."""
        return max(
            0,
            min(
                caps.daily_micro_dollars - self.day_micro_dollars,
                caps.monthly_micro_dollars - self.month_micro_dollars,
            ),
        )


class DatabasePurse:
    """Money for history under caps that hold for every process on this database.

    Parameters
    ----------
    kind : str
        `backfill` or `definitions`.
    requests : iterable of HistoricalRequest
        What is going to be paid for, so that the ledger can say so.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        kind: str,
        caps: Caps,
        clock: Clock,
        requests: Iterable[HistoricalRequest] = (),
    ) -> None:
        self._engine = engine
        self._kind = kind
        self._caps = caps
        self._clock = clock
        self._purse_id = uuid.uuid4().hex
        self._parts = {part.fingerprint(): part for each in requests for part in each.slices()}
        self.spent_micro_dollars = 0

    def reserve(self, fingerprint: str, micro_dollars: int) -> None:
        """Set money aside for one request.

        Raises
        ------
        BudgetExceededError
            If the day or the month has not so much left; nothing is set aside.
        """
        now_ns = self._clock.now_ns()
        with transaction(self._engine) as session:
            _take_turns(session)
            for orphan in _reserved(session, fingerprint):
                _abandon(orphan, orphan.quoted_micro_dollars, 0, now_ns)
            left = committed(session, self._kind, now_ns=now_ns).left(self._caps)
            if micro_dollars > left:
                raise BudgetExceededError(micro_dollars, left)
            entry = self._entry(fingerprint, "reserved", micro_dollars, now_ns)
            entry.purse_id = self._purse_id
            session.add(entry)

    def settle(self, fingerprint: str, micro_dollars: int, bytes_received: int) -> None:
        """Book what a request has really cost and free the rest of its reservation.

        Raises
        ------
        KeyError
            If this purse reserved nothing for it.
        """
        with transaction(self._engine) as session:
            mine = [
                entry
                for entry in _reserved(session, fingerprint)
                if entry.purse_id == self._purse_id
            ]
            if not mine:
                raise KeyError(fingerprint)
            entry = mine[0]
            entry.state = "settled"
            _book(entry, micro_dollars, bytes_received, self._clock.now_ns())
        self.spent_micro_dollars += micro_dollars

    def book_abandoned(self, fingerprint: str, micro_dollars: int, bytes_received: int) -> None:
        """Book what a process that was killed in mid-download had received.

        It takes the place of that process's reservation. One that was settled before the process
        died is in the ledger already.
        """
        now_ns = self._clock.now_ns()
        with transaction(self._engine) as session:
            _take_turns(session)
            orphans = _reserved(session, fingerprint)
            if orphans:
                for orphan in orphans:
                    _abandon(orphan, micro_dollars, bytes_received, now_ns)
            elif not _is_settled(session, fingerprint, bytes_received):
                entry = self._entry(fingerprint, "abandoned", micro_dollars, now_ns)
                _book(entry, micro_dollars, bytes_received, now_ns)
                session.add(entry)
        self.spent_micro_dollars += micro_dollars

    def _entry(self, fingerprint: str, state: str, micro_dollars: int, now_ns: int) -> CostEntryRow:
        entry = CostEntryRow(
            kind=self._kind,
            day=day_of(now_ns),
            state=state,
            fingerprint=fingerprint,
            quoted_micro_dollars=micro_dollars,
            committed_micro_dollars=micro_dollars,
            reserved_ns=now_ns,
        )
        part = self._parts.get(fingerprint)
        if part is not None:
            entry.symbols = ",".join(part.symbols)
            entry.dbn_schema = part.schema
            entry.start_ns, entry.end_ns = part.start_ns, part.end_ns
        return entry


def committed(session: Session, kind: str, *, now_ns: int) -> Committed:
    """Return what a kind of spending has committed in the UTC day and month of `now_ns`."""
    day = day_of(now_ns)
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


def _reserved(session: Session, fingerprint: str) -> list[CostEntryRow]:
    query = select(CostEntryRow).where(
        CostEntryRow.fingerprint == fingerprint, CostEntryRow.state == "reserved"
    )
    return list(session.exec(query))


def _is_settled(session: Session, fingerprint: str, bytes_received: int) -> bool:
    query = select(CostEntryRow.id).where(
        CostEntryRow.fingerprint == fingerprint,
        CostEntryRow.state == "settled",
        CostEntryRow.received_bytes == bytes_received,
    )
    return session.exec(query).first() is not None


def _abandon(entry: CostEntryRow, micro_dollars: int, bytes_received: int, now_ns: int) -> None:
    entry.state = "abandoned"
    _book(entry, micro_dollars, bytes_received, now_ns)


def _book(entry: CostEntryRow, micro_dollars: int, bytes_received: int, now_ns: int) -> None:
    entry.billed_micro_dollars = entry.committed_micro_dollars = micro_dollars
    entry.received_bytes = bytes_received
    entry.settled_ns = now_ns


def _take_turns(session: Session) -> None:
    """Let nobody else reserve until this transaction ends: two would each see the same rest."""
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    else:  # SQLite takes its one write lock for an update of nothing, too
        session.connection().execute(
            sa.update(CostEntryRow).where(col(CostEntryRow.id) == -1).values(state="reserved")
        )
