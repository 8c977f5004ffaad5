"""Which sessions the archive holds whole: what the nightly baselines are made of."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from models.operations import ArchiveFileRow
from runtime.session_parts import SessionFiles


@dataclasses.dataclass(frozen=True, slots=True)
class ArchivedSession:
    """One trading date of a shard; `missing` are files in the catalogue but not on the disk."""

    date: str
    files: tuple[Path, ...]
    missing: tuple[Path, ...]
    records: int
    checksums: dict[Path, str]

    def to_files(self, definitions: Sequence[Path] = ()) -> SessionFiles:
        """Return what the baselines read of it; its own files define its instruments."""
        return SessionFiles(self.date, self.files, tuple(definitions), self.checksums)


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
    held = {Path(row.path): row for row in rows}
    files = tuple(path for path in held if path.is_file())
    missing = tuple(path for path in held if path not in files)
    checksums = {path: str(row.sha256) for path, row in held.items() if row.sha256 is not None}
    records = sum(held[path].records for path in files)
    return ArchivedSession(date, files, missing, records, checksums)
