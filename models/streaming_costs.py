"""What the live feed costs, booked in the ledger: each day once, however often and by whom.

Whoever books holds the lock of `models.caps.take_turns`; so what is read before is still so when
it is written.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from sqlmodel import Session, col, func, select

from models.caps import day_of
from models.money import CostEntryRow
from models.operations import StreamRunRow

STREAMING: Final = "streaming"
SUBSCRIPTION: Final = "subscription"
GIB: Final = 2**30


def newest_share(session: Session) -> str | None:
    """Return the newest trading date whose share of the subscription is booked, or None."""
    return session.exec(
        select(func.max(CostEntryRow.day)).where(
            CostEntryRow.kind == STREAMING, CostEntryRow.fingerprint == SUBSCRIPTION
        )
    ).one()


def book_share(session: Session, date: str, micro_dollars: int, *, now_ns: int) -> bool:
    """Book a trading date's share of the subscription; return False when it is booked already."""
    if _entry(session, SUBSCRIPTION, date) is not None:
        return False
    session.add(_made(SUBSCRIPTION, date, micro_dollars, now_ns))
    return True


def book_usage(
    session: Session,
    run: StreamRunRow,
    prices: Mapping[str, int],
    *,
    symbols: str,
    now_ns: int,
) -> int:
    """Book what a run has received and nobody booked yet; return what that costs.

    It is booked on the UTC day in which the run ended, or else on this one.

    Parameters
    ----------
    prices : mapping of str to int
        Micro-dollars a GiB, by schema.
    symbols : str
        What the run asked for, for the ledger.
    """
    return sum(
        _book_schema(session, run, schema, prices[schema], symbols=symbols, now_ns=now_ns)
        for schema in run.bytes_by_schema
        if schema in prices
    )


def book_replay(
    session: Session,
    received_bytes: Mapping[str, int],
    prices: Mapping[str, int],
    *,
    symbols: str,
    span: tuple[int, int],
    now_ns: int,
) -> None:
    """Book what the live gateway has sent again of a hole, `span`; each call is another replay."""
    for schema, received in received_bytes.items():
        if not received or schema not in prices:
            continue
        fingerprint = f"replay-{uuid.uuid4().hex}"
        cost = -(-received * prices[schema] // GIB)
        entry = _made(fingerprint, day_of(now_ns), cost, now_ns)
        entry.dbn_schema, entry.symbols, entry.received_bytes = schema, symbols, received
        entry.start_ns, entry.end_ns = span
        session.add(entry)


def _book_schema(
    session: Session, run: StreamRunRow, schema: str, price: int, *, symbols: str, now_ns: int
) -> int:
    day = day_of(run.ended_ns or now_ns)
    fingerprint = f"run-{run.id}-{schema}"
    booked = _booked_bytes(session, fingerprint)
    fresh = run.bytes_by_schema[schema] - sum(booked.values())
    if fresh <= 0:
        return 0
    entry = _entry(session, fingerprint, day) or _made(fingerprint, day, 0, now_ns)
    before = entry.committed_micro_dollars
    entry.received_bytes = booked[day] + fresh
    cost = -(-entry.received_bytes * price // GIB)
    entry.quoted_micro_dollars = entry.committed_micro_dollars = entry.billed_micro_dollars = cost
    entry.dbn_schema, entry.symbols = schema, symbols
    entry.start_ns, entry.end_ns = run.started_ns, run.ended_ns or now_ns
    entry.settled_ns = now_ns
    session.add(entry)
    return cost - before


def _booked_bytes(session: Session, fingerprint: str) -> defaultdict[str, int]:
    rows = session.exec(
        select(CostEntryRow.day, CostEntryRow.received_bytes).where(
            CostEntryRow.kind == STREAMING, CostEntryRow.fingerprint == fingerprint
        )
    )
    return defaultdict(int, dict(rows.all()))


def _entry(session: Session, fingerprint: str, day: str) -> CostEntryRow | None:
    return session.exec(
        select(CostEntryRow).where(
            CostEntryRow.kind == STREAMING,
            CostEntryRow.fingerprint == fingerprint,
            col(CostEntryRow.day) == day,
        )
    ).first()


def _made(fingerprint: str, day: str, micro_dollars: int, now_ns: int) -> CostEntryRow:
    return CostEntryRow(
        kind=STREAMING,
        day=day,
        state="settled",
        fingerprint=fingerprint,
        quoted_micro_dollars=micro_dollars,
        billed_micro_dollars=micro_dollars,
        committed_micro_dollars=micro_dollars,
        reserved_ns=now_ns,
        settled_ns=now_ns,
    )
