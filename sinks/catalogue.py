"""The catalogue: a row of `archive_file` for every segment, kept as true as the file.

The archive does not wait for the database, so the catalogue may lag behind the disk; a run that
begins brings it up to date with what it finds there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.clock import Clock
from ifd.errors import DatabaseError, InputError
from models.base import transaction, upsert
from models.operations import ArchiveFileRow, StreamRunRow
from sinks.archive_repair import repair_directory, repair_segment
from sinks.segments import SegmentFacts

log = structlog.get_logger("archive")


class Catalogue:
    """Writes rows; while the database is away they wait for the next one, and for the end."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._unsaved: dict[str, SegmentFacts] = {}

    def note(self, facts: SegmentFacts) -> None:
        """Store what a segment holds; the newest word on a path counts."""
        self._unsaved[facts.path] = facts
        try:
            self._write()
        except sa.exc.OperationalError as error:
            log.warning("archive catalogue waits for the database", error=str(error.orig))

    def finish(self) -> None:
        """Store what waits.

        Raises
        ------
        DatabaseError
            If the database is still away; nothing is forgotten, another call tries again.
        """
        try:
            self._write()
        except sa.exc.OperationalError as error:
            raise DatabaseError(
                f"the archive's files are whole, but the database took no note of them "
                f"({error.orig}): see that it is reachable and has room"
            ) from error

    def _write(self) -> None:
        if self._unsaved:
            with transaction(self._engine) as session:
                upsert(session, ArchiveFileRow, _rows(session, list(self._unsaved.values())))
            self._unsaved.clear()


def close_abandoned(
    engine: Engine, directory: Path, *, shard: str, run_id: int, clock: Clock
) -> list[Path]:
    """Close what earlier runs of `shard` left open, on disk or in the catalogue; return which.

    To be called by a run that holds the shard, so that no other run is still writing. The row of
    a file that is gone is closed with nothing in it and without a checksum; a file without a row
    gets one.

    Parameters
    ----------
    directory : Path
        Root of the archive.
    run_id : int
        The run that is beginning; its own segments are left alone.

    Raises
    ------
    OSError
        If a file cannot be read or written.
    DatabaseError
        If the catalogue cannot be written.
    """
    with Session(engine) as session:
        rows = session.exec(select(ArchiveFileRow).where(ArchiveFileRow.shard == shard)).all()
    known = {Path(row.path).absolute() for row in rows}
    catalogue = Catalogue(engine)
    done = []
    for row in rows:
        if row.closed_ns is None and row.run_id != run_id:
            try:
                catalogue.note(close_row(row, now_ns=clock.now_ns()))
            except InputError as error:
                log.warning("no segment of the archive", path=row.path, error=str(error))
            else:
                done.append(Path(row.path))
    for folder in sorted(directory.glob(f"*/{shard}")):
        for facts in repair_directory(
            directory, shard, folder.parent.name, closed=known, writing_run=run_id
        ):
            catalogue.note(facts)
            done.append(Path(facts.path))
    catalogue.finish()
    return done


def close_row(row: ArchiveFileRow, *, now_ns: int) -> SegmentFacts:
    """Return what a row that nobody closed should say, after mending its file.

    Raises
    ------
    OSError
        If the file cannot be read or written.
    InputError
        If it is no segment; it is left as it is.
    """
    path = Path(row.path)
    usual: dict[str, Any] = {
        "run_id": row.run_id,
        "shard": row.shard,
        "session_date": row.session_date,
        "created_ns": row.created_ns,
        "closed_ns": now_ns,
    }
    if path.is_file():
        return dataclasses.replace(repair_segment(path), **usual)
    log.warning("abandoned segment is gone", path=row.path)
    return SegmentFacts(
        path=row.path, first_ts=None, last_ts=None, records=0, bytes=0, sha256=None, **usual
    )


def _rows(session: Session, facts: Sequence[SegmentFacts]) -> list[dict[str, Any]]:
    # A file found on the disk may name a run of another database.
    wanted = {item.run_id for item in facts if item.run_id is not None}
    runs = set(
        session.exec(select(StreamRunRow.id).where(col(StreamRunRow.id).in_(sorted(wanted))))
    )
    rows = [dataclasses.asdict(item) for item in facts]
    return [row | {"run_id": row["run_id"] if row["run_id"] in runs else None} for row in rows]
