"""The catalogue's rows say what the files hold, also after a kill and without a database."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, SQLModel, col, select

from ifd.clock import ManualClock
from ifd.errors import DatabaseError
from ifd.records import MboArray
from models.base import make_engine, transaction
from models.operations import ArchiveFileRow, StreamRunRow
from sinks.archive import ArchiveWriter
from sinks.catalogue import Catalogue, close_abandoned
from sinks.segments import SegmentFacts

RUN = 1
Make = Callable[..., MboArray]


@pytest.fixture
def engine(sqlite_url: str, ten_oclock_ns: int) -> Iterator[Engine]:
    made = make_engine(sqlite_url)
    SQLModel.metadata.create_all(made)
    with transaction(made) as session:
        session.add_all(
            StreamRunRow(
                id=number,
                shard="nq",
                source="simulated",
                profile="default",
                params_fingerprint="0" * 16,
                session_date="2026-11-26",
                status="streaming",
                started_ns=ten_oclock_ns,
                heartbeat_ns=ten_oclock_ns,
            )
            for number in (RUN, RUN + 1)
        )
    yield made
    made.dispose()


@pytest.fixture
def catalogue(engine: Engine) -> Catalogue:
    return Catalogue(engine)


@pytest.fixture
def archive(tmp_path: Path, catalogue: Catalogue, ten_oclock_ns: int) -> ArchiveWriter:
    """An archive of run 1 that flushes when told to and reports to the catalogue."""
    return ArchiveWriter(
        tmp_path,
        run_id=RUN,
        shard="nq",
        clock=ManualClock(ten_oclock_ns),
        flush_seconds=1_000.0,
        on_segment=catalogue.note,
    )


def rows(engine: Engine) -> list[ArchiveFileRow]:
    with Session(engine) as session:
        return list(session.exec(select(ArchiveFileRow).order_by(col(ArchiveFileRow.path))))


def close_after_kill(engine: Engine, directory: Path, **changes: object) -> list[Path]:
    given: dict[str, object] = {"shard": "nq", "run_id": RUN + 1, "clock": ManualClock(5)}
    return close_abandoned(engine, directory, **given | changes)  # type: ignore[arg-type]


def test_a_segment_has_a_row_from_its_beginning_to_its_end(
    archive: ArchiveWriter, engine: Engine, orders: Make
) -> None:
    archive.append(orders(100))
    archive.flush()
    [begun] = rows(engine)
    archive.close()

    [row] = rows(engine)
    data = Path(row.path).read_bytes()
    assert (begun.path, begun.closed_ns, begun.sha256) == (row.path, None, None)
    assert (row.run_id, row.records, row.bytes) == (RUN, 100, len(data))
    assert row.sha256 == hashlib.sha256(data).hexdigest()


def test_a_database_that_is_away_is_told_when_it_is_back(
    archive: ArchiveWriter, catalogue: Catalogue, engine: Engine, orders: Make
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("alter table archive_file rename to hidden"))

    archive.append(orders(5))
    archive.close()
    with pytest.raises(DatabaseError, match="files are whole"):
        catalogue.finish()
    with engine.begin() as connection:
        connection.execute(sa.text("alter table hidden rename to archive_file"))
    catalogue.finish()

    [row] = rows(engine)
    assert (row.records, row.closed_ns is None) == (5, False)


def test_a_file_of_a_run_that_this_database_does_not_know_belongs_to_none(
    catalogue: Catalogue, engine: Engine
) -> None:
    facts = SegmentFacts("a", 77, "nq", "2026-11-26", None, None, 0, 0, None, 1, None)

    catalogue.note(facts)
    catalogue.note(dataclasses.replace(facts, path="b", run_id=RUN))

    assert [row.run_id for row in rows(engine)] == [None, RUN]


def test_what_a_killed_run_left_is_closed_when_the_next_begins(
    archive: ArchiveWriter, engine: Engine, orders: Make, tmp_path: Path
) -> None:
    archive.append(orders(50))
    archive.flush()
    [row] = rows(engine)
    whole = Path(row.path).stat().st_size
    with Path(row.path).open("ab") as file:
        file.write(Path(row.path).read_bytes()[:40])  # killed within a write

    assert close_after_kill(engine, tmp_path, run_id=RUN) == []
    assert close_after_kill(engine, tmp_path, shard="es") == []
    assert close_after_kill(engine, tmp_path) == [Path(row.path)]
    assert close_after_kill(engine, tmp_path) == []

    [row] = rows(engine)
    assert (row.bytes, row.records, row.closed_ns) == (whole, 50, 5)
    assert row.sha256 == hashlib.sha256(Path(row.path).read_bytes()).hexdigest()
    archive.close()


def test_a_segment_that_never_got_its_row_gets_it_when_the_next_run_begins(
    archive: ArchiveWriter, engine: Engine, orders: Make, tmp_path: Path, ten_oclock_ns: int
) -> None:
    archive.append(orders(50))
    archive.close()
    with transaction(engine) as session:
        session.connection().execute(sa.delete(ArchiveFileRow))

    [path] = close_after_kill(engine, tmp_path)

    [row] = rows(engine)
    assert (row.path, row.run_id, row.session_date) == (str(path), RUN, "2026-11-26")
    assert (row.records, row.first_ts, row.last_ts) == (50, ten_oclock_ns, ten_oclock_ns + 49)
    assert (row.created_ns, row.closed_ns) == (ten_oclock_ns, path.stat().st_mtime_ns)


def test_the_row_of_a_file_that_is_gone_is_closed_without_a_checksum(
    archive: ArchiveWriter, engine: Engine, orders: Make, tmp_path: Path
) -> None:
    archive.append(orders(50))
    archive.flush()
    Path(rows(engine)[0].path).unlink()

    close_after_kill(engine, tmp_path)

    [row] = rows(engine)
    assert (row.closed_ns, row.sha256, row.records) == (5, None, 0)
    archive.close()


def test_a_row_whose_file_is_no_segment_stays_open(
    archive: ArchiveWriter, engine: Engine, orders: Make, tmp_path: Path
) -> None:
    archive.append(orders(50))
    archive.flush()
    Path(rows(engine)[0].path).write_text("written over by hand")

    assert close_after_kill(engine, tmp_path) == []

    assert rows(engine)[0].closed_ns is None
    archive.close()
