"""Every entry of the ledger, with what its hole let expect before anybody was asked for a quote."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from config.settings import Settings
from models.money import BackfillRequestRow, CostEntryRow
from runtime.backfill.hole import overlap_ns


@dataclasses.dataclass(frozen=True, slots=True)
class LedgerLine:
    """One entry; `estimated_records` is that of the whole hole it was bought for, None without."""

    entry: CostEntryRow
    estimated_records: int | None


def ledger(
    settings: Settings, engine: Engine, *, first_day: str, last_day: str
) -> list[LedgerLine]:
    """Return what was booked on some days, the oldest first."""
    with Session(engine, expire_on_commit=False) as session:
        entries = session.exec(
            select(CostEntryRow)
            .where(col(CostEntryRow.day) >= first_day, col(CostEntryRow.day) <= last_day)
            .order_by(col(CostEntryRow.day), col(CostEntryRow.id))
        ).all()
        holes = session.exec(select(BackfillRequestRow)).all()
    lap_ns = overlap_ns(settings)
    return [LedgerLine(entry, _estimate(entry, holes, lap_ns)) for entry in entries]


def _estimate(entry: CostEntryRow, holes: Sequence[BackfillRequestRow], lap_ns: int) -> int | None:
    if entry.kind != "backfill" or entry.start_ns is None or entry.end_ns is None:
        return None
    found = [
        hole.estimated_records
        for hole in holes
        if hole.start_ns - lap_ns < entry.end_ns and entry.start_ns < hole.end_ns + lap_ns
    ]
    return found[0] if len(found) == 1 else None
