"""How far the work on each hole has come: kept so that a kill at any point can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from models.base import transaction, upsert
from models.coverage import write_coverage
from models.gap_ledger import is_of_all
from models.money import BackfillRequestRow
from models.operations import ArchiveFileRow, CoverageRow, GapRow

UNFINISHED: Final = ("fetched", "merged")
"""States in which nothing has to be paid any more, only done."""


def request_for(
    engine: Engine,
    shard: str,
    session_date: str,
    start_ns: int,
    end_ns: int,
    *,
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
            estimated_records=estimated_records,
            created_ns=now_ns,
            updated_ns=now_ns,
        )
        values = [fresh.model_dump(exclude={"id"})]
        upsert(
            session, BackfillRequestRow, values, key=("shard", "start_ns", "end_ns"), update=False
        )
        return session.exec(
            select(BackfillRequestRow).where(
                BackfillRequestRow.shard == shard,
                BackfillRequestRow.start_ns == start_ns,
                BackfillRequestRow.end_ns == end_ns,
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
    engine: Engine, request_id: int, file: ArchiveFileRow, *, now_ns: int
) -> BackfillRequestRow:
    """Catalogue the segment of a hole and cover its time, in one transaction and once."""
    with transaction(engine) as session:
        request = session.get_one(BackfillRequestRow, request_id)
        if request.state == "fetched":
            upsert(session, ArchiveFileRow, [file.model_dump()])
            write_coverage(session, [_coverage(request, file)])
        return _change(
            session, request_id, now_ns, {"state": "merged", "added_records": file.records}
        )


def give_up(engine: Engine, request_id: int, reason: str, *, now_ns: int) -> BackfillRequestRow:
    """Give a hole up: its request says why, its gaps are lost, both to be seen."""
    with transaction(engine) as session:
        request = _change(session, request_id, now_ns, {"state": "given-up", "error": reason})
        gaps = session.exec(
            select(GapRow).where(
                GapRow.shard == request.shard,
                GapRow.state == "open",
                col(GapRow.start_ns) >= request.start_ns,
                col(GapRow.end_ns) <= request.end_ns,
            )
        )
        for gap in gaps:
            if is_of_all(gap):
                gap.state, gap.updated_ns = "lost", now_ns
        return request


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
