"""Which sessions the archive holds whole: what the nightly baselines are made of."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.replay import read_definitions
from models.operations import ArchiveFileRow


@dataclasses.dataclass(frozen=True, slots=True)
class ArchivedSession:
    """One trading date of a shard; `missing` are files in the catalogue but not on the disk."""

    date: str
    files: tuple[Path, ...]
    missing: tuple[Path, ...]
    records: int


def archived_sessions(engine: Engine, shard: str, *, newest: int) -> list[ArchivedSession]:
    """Return the newest sessions of which no file is still being written, oldest first."""
    with Session(engine) as session:
        rows = session.exec(
            select(ArchiveFileRow)
            .where(ArchiveFileRow.shard == shard)
            .order_by(col(ArchiveFileRow.session_date), col(ArchiveFileRow.created_ns))
        ).all()
        by_date: defaultdict[str, list[ArchiveFileRow]] = defaultdict(list)
        for row in rows:
            by_date[row.session_date].append(row)
        closed = {date: files for date, files in by_date.items() if all(f.closed_ns for f in files)}
        return [_session(date, closed[date]) for date in sorted(closed)[-newest:]]


def _session(date: str, rows: Iterable[ArchiveFileRow]) -> ArchivedSession:
    held = {Path(row.path): row.records for row in rows}
    files = tuple(path for path in held if path.is_file())
    missing = tuple(path for path in held if path not in files)
    return ArchivedSession(date, files, missing, sum(held[path] for path in files))


def defining(files: Iterable[Path]) -> list[Path]:
    """Return the files that define instruments.

    A recording of a live session carries its definitions where the connection was made, so a later
    segment of the same session may hold none.
    """
    return [path for path in files if read_definitions(path)]
