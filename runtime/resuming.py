"""What a run takes over from the one before it: the files it goes on from, and its open ends."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import Engine
from sqlmodel import Session, col, func, select

from models.base import transaction
from models.operations import ArchiveFileRow, CoverageRow, StreamRunRow


def files_to_resume(
    engine: Engine, shard: str, session_date: str, *, not_before_ns: int, runs_after_ns: int
) -> list[Path]:
    """Return this session's closed segments in order, or none when a new beginning is better.

    Parameters
    ----------
    not_before_ns : int
        The newest record must not be older: a long outage is not replayed from the gateway.
    runs_after_ns : int
        Earlier runs are not continued: theirs was another market (the local exchange's).
    """
    with Session(engine) as session:
        rows = session.exec(
            select(ArchiveFileRow)
            .join(StreamRunRow, col(ArchiveFileRow.run_id) == col(StreamRunRow.id))
            .where(
                ArchiveFileRow.shard == shard,
                ArchiveFileRow.session_date == session_date,
                col(ArchiveFileRow.sha256).is_not(None),
                StreamRunRow.started_ns >= runs_after_ns,
            )
            .order_by(col(ArchiveFileRow.run_id), col(ArchiveFileRow.created_ns))
        ).all()
    files = [Path(row.path) for row in rows]
    newest = max((row.last_ts for row in rows if row.last_ts is not None), default=None)
    if newest is None or newest < not_before_ns or not all(path.is_file() for path in files):
        return []
    return files


def close_stretches(engine: Engine, shard: str, *, run_id: int) -> None:
    """Let the coverage of dead runs of `shard` say what their archive holds.

    A killed run has told of its coverage a second or so before its last record or behind it, or
    never: what it had received and the archive had not written yet is missing. To be called by a
    run that holds the shard, once its archive is mended.
    """
    with transaction(engine) as session:
        rows = session.exec(
            select(CoverageRow).where(
                CoverageRow.shard == shard,
                col(CoverageRow.is_open).is_(True),
                CoverageRow.run_id != run_id,
            )
        )
        for row in rows:
            last = session.exec(
                select(func.max(ArchiveFileRow.last_ts)).where(ArchiveFileRow.run_id == row.run_id)
            ).one()
            row.end_ns = max(row.start_ns, last or 0)
            row.is_open = False
            session.add(row)
        session.flush()
        session.add_all(_untold_stretches(session, shard, run_id))


def _untold_stretches(session: Session, shard: str, run_id: int) -> list[CoverageRow]:
    """Return a stretch for each dead run that has an archive and never told of its coverage."""
    told = select(CoverageRow.run_id).where(col(CoverageRow.run_id).is_not(None))
    files = session.exec(
        select(ArchiveFileRow).where(
            ArchiveFileRow.shard == shard,
            ArchiveFileRow.run_id != run_id,
            col(ArchiveFileRow.run_id).not_in(told),
        )
    ).all()
    by_run: dict[int, CoverageRow] = {}
    for file in files:
        if file.run_id is None or file.first_ts is None or file.last_ts is None:
            continue
        stretch = by_run.setdefault(
            file.run_id,
            CoverageRow(
                run_id=file.run_id,
                number=1,
                shard=shard,
                session_date=file.session_date,
                dbn_schema="mbo",
                start_ns=file.first_ts,
                end_ns=file.last_ts,
                records=0,
            ),
        )
        stretch.start_ns = min(stretch.start_ns, file.first_ts)
        stretch.end_ns = max(stretch.end_ns, file.last_ts)
        stretch.records += file.records
    return list(by_run.values())
