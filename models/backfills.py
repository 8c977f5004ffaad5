"""How far the work on each hole has come: kept so that a kill at any point can be resumed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from models.base import transaction, upsert
from models.coverage import write_coverage
from models.gap_ledger import DISCREPANCIES, is_of_all
from models.money import BackfillRequestRow
from models.operations import ArchiveFileRow, CoverageRow, GapRow

UNFINISHED: Final = ("fetched", "merged")
"""States in which nothing has to be paid any more, only done."""
NOBODY_HAS_MORE: Final = "the exchange itself lost it: no record of that time has more orders"


def request_for(
    engine: Engine,
    shard: str,
    session_date: str,
    start_ns: int,
    end_ns: int,
    *,
    of_doubts: bool,
    estimated_records: int | None,
    now_ns: int,
) -> BackfillRequestRow:
    """Return the request for a hole, made when there is none."""
    with transaction(engine) as session:
        fresh = BackfillRequestRow(
            shard=shard,
            session_date=session_date,
            start_ns=start_ns,
            end_ns=end_ns,
            of_doubts=of_doubts,
            estimated_records=estimated_records,
            created_ns=now_ns,
            updated_ns=now_ns,
        )
        values = [fresh.model_dump(exclude={"id"})]
        key = ("shard", "start_ns", "end_ns", "of_doubts")
        upsert(session, BackfillRequestRow, values, key=key, update=False)
        return session.exec(
            select(BackfillRequestRow).where(
                BackfillRequestRow.shard == shard,
                BackfillRequestRow.start_ns == start_ns,
                BackfillRequestRow.end_ns == end_ns,
                col(BackfillRequestRow.of_doubts) == of_doubts,
            )
        ).one()


def find_requests(
    session: Session, shard: str, *, states: Sequence[str] = ()
) -> list[BackfillRequestRow]:
    """Return the requests of a shard, those in some states or all, in order of time."""
    query = select(BackfillRequestRow).where(BackfillRequestRow.shard == shard)
    if states:
        query = query.where(col(BackfillRequestRow.state).in_(states))
    return list(session.exec(query.order_by(col(BackfillRequestRow.start_ns))))


def change_request(
    engine: Engine,
    request_id: int,
    *,
    now_ns: int,
    **changes: Any,  # Any: a value of each column's type
) -> BackfillRequestRow:
    """Change columns of a request and return it."""
    with transaction(engine) as session:
        return _change(session, request_id, now_ns, changes)


def merge_request(
    engine: Engine,
    request_id: int,
    file: ArchiveFileRow,
    *,
    instrument_ids: Collection[int],
    now_ns: int,
) -> BackfillRequestRow:
    """Catalogue the segment of a hole, in one transaction and once, with what follows from it.

    A hole of all instruments is covered now. Of doubtful books, those are made good that the
    segment has orders of; the others have no more orders in any record than the archive has.

    Parameters
    ----------
    instrument_ids : collection of int
        Instruments of which the segment holds orders.
    """
    with transaction(engine) as session:
        request = session.get_one(BackfillRequestRow, request_id)
        if request.state == "fetched":
            upsert(session, ArchiveFileRow, [file.model_dump()])
            if request.of_doubts:
                _settle_doubts(session, request, instrument_ids, now_ns)
            else:
                write_coverage(session, [_coverage(request, file)])
                _settle_discrepancies(session, request, now_ns)
        return _change(
            session, request_id, now_ns, {"state": "merged", "added_records": file.records}
        )


def close_doubts(
    engine: Engine, request_id: int, *, received_records: int, now_ns: int
) -> BackfillRequestRow:
    """End a request for doubtful books of which nobody has more orders: they are lost."""
    with transaction(engine) as session:
        request = session.get_one(BackfillRequestRow, request_id)
        _settle_doubts(session, request, (), now_ns)
        changes = {"state": "done", "received_records": received_records, "error": None}
        return _change(session, request_id, now_ns, changes)


def give_up(engine: Engine, request_id: int, reason: str, *, now_ns: int) -> BackfillRequestRow:
    """Give a hole up: its request says why, its gaps are lost, both to be seen."""
    with transaction(engine) as session:
        request = _change(session, request_id, now_ns, {"state": "given-up", "error": reason})
        for gap in _gaps_of(session, request):
            gap.state, gap.updated_ns = "lost", now_ns
        return request


def _settle_discrepancies(session: Session, request: BackfillRequestRow, now_ns: int) -> None:
    for gap in _gaps_of(session, request):
        if gap.cause in DISCREPANCIES:
            gap.state, gap.updated_ns = _made_good(request), now_ns


def _made_good(request: BackfillRequestRow) -> str:
    return "replayed" if request.method == "replay" else "backfilled"


def _settle_doubts(
    session: Session, request: BackfillRequestRow, instrument_ids: Collection[int], now_ns: int
) -> None:
    for gap in _gaps_of(session, request):
        found = gap.instrument_id in instrument_ids
        gap.state = _made_good(request) if found else "lost"
        gap.updated_ns = now_ns
        if not found:
            gap.detail = f"{gap.detail}; {NOBODY_HAS_MORE}"


def _gaps_of(session: Session, request: BackfillRequestRow) -> list[GapRow]:
    found = session.exec(
        select(GapRow).where(
            GapRow.shard == request.shard,
            GapRow.state == "open",
            col(GapRow.start_ns) >= request.start_ns,
            col(GapRow.end_ns) <= request.end_ns,
        )
    )
    return [gap for gap in found if is_of_all(gap) != request.of_doubts]


def _coverage(request: BackfillRequestRow, file: ArchiveFileRow) -> CoverageRow:
    assert request.id is not None
    return CoverageRow(
        run_id=None,
        number=request.id,
        shard=request.shard,
        session_date=request.session_date,
        dbn_schema="mbo",
        origin="replay" if request.method == "replay" else "backfill",
        start_ns=request.start_ns,
        end_ns=request.end_ns,
        records=file.records,
    )


def _change(
    session: Session, request_id: int, now_ns: int, changes: dict[str, Any]
) -> BackfillRequestRow:
    request = session.get_one(BackfillRequestRow, request_id)
    for name, value in {**changes, "updated_ns": now_ns}.items():
        setattr(request, name, value)
    return request
