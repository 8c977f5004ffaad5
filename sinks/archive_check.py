"""Hold the catalogue against the files: what is gone, unknown, damaged, or left open by a dead run.

Only what a run that lives is writing is not looked at: it changes meanwhile.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.errors import InputError
from models.operations import ArchiveFileRow
from models.runs import living_runs
from sinks.archive_repair import examine, repair_segment, run_of
from sinks.catalogue import Catalogue, close_row
from sinks.segments import SUFFIX, SegmentFacts

Problem: TypeAlias = Literal[
    "missing", "unknown", "abandoned", "size", "checksum", "records", "times", "damaged"
]
Advance: TypeAlias = Callable[[Path, int], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be; `detail` is a sentence."""

    path: str
    problem: Problem
    detail: str
    fixed: bool = False


def archive_rows(
    engine: Engine, *, session_date: str | None = None, shard: str | None = None
) -> list[ArchiveFileRow]:
    """Return the rows of the catalogue in the order of sessions and of their beginning."""
    query = select(ArchiveFileRow)
    if session_date is not None:
        query = query.where(ArchiveFileRow.session_date == session_date)
    if shard is not None:
        query = query.where(ArchiveFileRow.shard == shard)
    order = (ArchiveFileRow.session_date, ArchiveFileRow.shard, ArchiveFileRow.created_ns)
    with Session(engine) as session:
        return list(session.exec(query.order_by(*(col(column) for column in order))))


def segments_on_disk(directory: Path, *, session_date: str | None = None) -> list[Path]:
    """Return the segments that lie in an archive, of one session or all, as absolute paths."""
    return sorted(directory.absolute().glob(f"{session_date or '*'}/*/*{SUFFIX}"))


def verify(
    engine: Engine,
    directory: Path,
    *,
    session_date: str | None = None,
    now_ns: int,
    advance: Advance = lambda _path, _records: None,
) -> Iterator[Finding]:
    """Give everything in which catalogue and files differ; every closed file is read whole.

    Parameters
    ----------
    session_date : str, optional
        Only this session.
    advance : callable
        Told how many more records of a file were read.
    """
    # In this order: a run that begins or ends meanwhile is taken for neither dead nor unknown.
    files = segments_on_disk(directory, session_date=session_date)
    with Session(engine) as session:
        living = living_runs(session, now_ns=now_ns)
    rows = archive_rows(engine, session_date=session_date)
    known = {Path(row.path).absolute() for row in rows}
    for row in rows:
        if not Path(row.path).is_file():
            yield Finding(row.path, "missing", "the catalogue has it, the disk does not")
        elif row.closed_ns is not None:
            yield from _compare(row, advance)
        elif row.run_id not in living:
            yield Finding(row.path, "abandoned", f"run {row.run_id} ended without closing it")
    for path in files:
        if path not in known and run_of(path) not in living:
            yield Finding(str(path), "unknown", "the disk has it, the catalogue does not")


def mend(engine: Engine, findings: list[Finding], *, now_ns: int) -> list[Finding]:
    """Close abandoned segments and catalogue unknown ones; return the findings, marked.

    Raises
    ------
    OSError
        If a file cannot be read or written.
    DatabaseError
        If the catalogue cannot be written.
    """
    rows = {row.path: row for row in archive_rows(engine)}
    catalogue = Catalogue(engine)
    mended = []
    for finding in findings:
        try:
            facts = _mended(finding, rows, now_ns)
        except InputError as error:
            mended.append(dataclasses.replace(finding, detail=str(error)))
            continue
        if facts is not None:
            catalogue.note(facts)
        mended.append(dataclasses.replace(finding, fixed=facts is not None))
    catalogue.finish()
    return mended


def _mended(finding: Finding, rows: dict[str, ArchiveFileRow], now_ns: int) -> SegmentFacts | None:
    if finding.problem == "abandoned":
        return close_row(rows[finding.path], now_ns=now_ns)
    return repair_segment(Path(finding.path)) if finding.problem == "unknown" else None


def _compare(row: ArchiveFileRow, advance: Advance) -> Iterator[Finding]:
    path = Path(row.path).absolute()
    size = path.stat().st_size
    if size != row.bytes:
        yield Finding(row.path, "size", f"it has {size:,} bytes, the catalogue says {row.bytes:,}")
    try:
        found = examine(
            path, closed_ns=row.closed_ns or 0, on_records=lambda count: advance(path, count)
        )
    except InputError as error:
        yield Finding(row.path, "damaged", str(error))
        return
    if size == row.bytes and found.sha256 != row.sha256:
        yield Finding(row.path, "checksum", f"its SHA-256 is {found.sha256}, not {row.sha256}")
    if found.records != row.records:
        yield Finding(
            row.path,
            "records",
            f"it holds {found.records:,} records, the catalogue says {row.records:,}",
        )
    if (found.first_ts, found.last_ts) != (row.first_ts, row.last_ts):
        yield Finding(
            row.path,
            "times",
            f"its orders are of {found.first_ts} to {found.last_ts}, the catalogue says "
            f"{row.first_ts} to {row.last_ts}",
        )
