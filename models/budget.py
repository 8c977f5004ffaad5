"""The purse in the database: what any number of processes commit together stays within the caps.

A reservation is one transaction behind one lock: the sum of the day and of the month is read, and
the row is written, before anybody else can do either. A process that dies in between leaves its
row, which goes on counting in full; so no death can free money that may have been spent.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Final

from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.clock import Clock
from ifd.errors import BudgetExceededError
from ifd.gateway.historical import HistoricalRequest
from models.alarms import tell_alarms
from models.base import transaction
from models.caps import Caps, Committed, committed, day_of, take_turns
from models.money import CostEntryRow

THEN: Final = "At 100 % nothing more is bought until it is over."
"""What a used-up cap of a purse means."""


class DatabasePurse:
    """Money for history under caps that hold for every process on this database.

    Parameters
    ----------
    kind : str
        `backfill`, `history` or `definitions`.
    requests : iterable of HistoricalRequest
        What is going to be paid for, so that the ledger can say so.
    at_most_micro_dollars : int, optional
        What this purse alone may spend.
    channel : str, optional
        Where the alarms of the budget are owed; None keeps them in their table.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        kind: str,
        caps: Caps,
        clock: Clock,
        requests: Iterable[HistoricalRequest] = (),
        at_most_micro_dollars: int | None = None,
        channel: str | None = None,
    ) -> None:
        self._engine = engine
        self._kind = kind
        self._caps = caps
        self._clock = clock
        self._purse_id = uuid.uuid4().hex
        self._parts = {part.fingerprint(): part for each in requests for part in each.slices()}
        self._at_most = at_most_micro_dollars
        self._channel = channel
        self._set_aside: dict[str, int] = {}
        self.spent_micro_dollars = 0

    def reserve(self, fingerprint: str, micro_dollars: int) -> None:
        """Set money aside for one request.

        Raises
        ------
        BudgetExceededError
            If the day or the month has not so much left; nothing is set aside.
        """
        self._require_own(micro_dollars)
        now_ns = self._clock.now_ns()
        with transaction(self._engine) as session:
            take_turns(session)
            used = committed(session, self._kind, now_ns=now_ns)
            left = used.left(self._caps)
            refused = micro_dollars > left
            if not refused:
                for orphan in self._reserved(session, fingerprint):
                    _abandon(orphan, orphan.quoted_micro_dollars, 0, now_ns)
                entry = self._entry(fingerprint, "reserved", micro_dollars, now_ns)
                entry.purse_id = self._purse_id
                session.add(entry)
                used = used.plus(micro_dollars)
            # Also of a refusal: whoever waits for the money should know that there is none.
            self._tell(session, used, now_ns, refused=micro_dollars if refused else 0)
        if refused:
            raise BudgetExceededError(micro_dollars, left)
        self._set_aside[fingerprint] = micro_dollars

    def settle(self, fingerprint: str, micro_dollars: int, bytes_received: int) -> None:
        """Book what a request has really cost and free the rest of its reservation.

        Raises
        ------
        KeyError
            If this purse reserved nothing for it.
        """
        with transaction(self._engine) as session:
            mine = session.exec(
                select(CostEntryRow).where(
                    CostEntryRow.purse_id == self._purse_id,
                    CostEntryRow.fingerprint == fingerprint,
                    # Another fetch of the same may have taken this process for dead.
                    col(CostEntryRow.state) != "settled",
                )
            ).first()
            if mine is None:
                raise KeyError(fingerprint)
            mine.state = "settled"
            _book(mine, micro_dollars, bytes_received, self._clock.now_ns())
        self._set_aside.pop(fingerprint, None)
        self.spent_micro_dollars += micro_dollars

    def book_abandoned(self, fingerprint: str, micro_dollars: int, bytes_received: int) -> None:
        """Book what a process that was killed in mid-download had received.

        It takes the place of that process's reservation. One that was settled before the process
        died is in the ledger already.
        """
        now_ns = self._clock.now_ns()
        with transaction(self._engine) as session:
            take_turns(session)
            orphans = self._reserved(session, fingerprint)
            if orphans:
                for orphan in orphans:
                    _abandon(orphan, micro_dollars, bytes_received, now_ns)
            elif not self._is_settled(session, fingerprint, bytes_received):
                entry = self._entry(fingerprint, "abandoned", micro_dollars, now_ns)
                _book(entry, micro_dollars, bytes_received, now_ns)
                session.add(entry)
            self._tell(session, committed(session, self._kind, now_ns=now_ns), now_ns)
        self.spent_micro_dollars += micro_dollars

    def _require_own(self, micro_dollars: int) -> None:
        if self._at_most is None:
            return
        left = self._at_most - self.spent_micro_dollars - sum(self._set_aside.values())
        if micro_dollars > left:
            raise BudgetExceededError(micro_dollars, max(left, 0))

    def _tell(self, session: Session, used: Committed, now_ns: int, *, refused: int = 0) -> None:
        tell_alarms(
            session,
            self._kind,
            used,
            self._caps,
            day=day_of(now_ns),
            now_ns=now_ns,
            channel=self._channel,
            then=THEN,
            refused_micro_dollars=refused,
        )

    def _reserved(self, session: Session, fingerprint: str) -> list[CostEntryRow]:
        query = select(CostEntryRow).where(
            CostEntryRow.kind == self._kind,
            CostEntryRow.fingerprint == fingerprint,
            CostEntryRow.state == "reserved",
        )
        return list(session.exec(query))

    def _is_settled(self, session: Session, fingerprint: str, bytes_received: int) -> bool:
        query = select(CostEntryRow.id).where(
            CostEntryRow.kind == self._kind,
            CostEntryRow.fingerprint == fingerprint,
            CostEntryRow.state == "settled",
            CostEntryRow.received_bytes == bytes_received,
        )
        return session.exec(query).first() is not None

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


def _abandon(entry: CostEntryRow, micro_dollars: int, bytes_received: int, now_ns: int) -> None:
    entry.state = "abandoned"
    _book(entry, micro_dollars, bytes_received, now_ns)


def _book(entry: CostEntryRow, micro_dollars: int, bytes_received: int, now_ns: int) -> None:
    entry.billed_micro_dollars = entry.committed_micro_dollars = micro_dollars
    entry.received_bytes = bytes_received
    entry.settled_ns = now_ns
