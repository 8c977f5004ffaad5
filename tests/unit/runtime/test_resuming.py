"""What a run takes over from the one before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from models.base import make_engine, transaction
from models.database import upgrade
from models.operations import ArchiveFileRow, CoverageRow, StreamRunRow
from runtime.resuming import close_stretches, files_to_resume

DATE = "2026-11-25"


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    upgrade(sqlite_url)
    engine = make_engine(sqlite_url)
    with transaction(engine) as session:
        for started_ns in (10, 20, 30):
            session.add(
                StreamRunRow(
                    shard="nq",
                    source="live",
                    profile="default",
                    params_fingerprint="0" * 16,
                    session_date=DATE,
                    status="failed",
                    started_ns=started_ns,
                    heartbeat_ns=started_ns,
                )
            )
    yield engine
    engine.dispose()


def segment(path: Path, run_id: int, first_ts: int, last_ts: int) -> ArchiveFileRow:
    path.touch()
    return ArchiveFileRow(
        path=str(path),
        run_id=run_id,
        shard="nq",
        session_date=DATE,
        first_ts=first_ts,
        last_ts=last_ts,
        records=5,
        sha256="0" * 64,
        created_ns=first_ts,
        closed_ns=last_ts,
    )


def stretch(run_id: int, end_ns: int) -> CoverageRow:
    return CoverageRow(
        run_id=run_id,
        number=1,
        shard="nq",
        session_date=DATE,
        dbn_schema="mbo",
        start_ns=100,
        end_ns=end_ns,
        records=1,
        is_open=True,
    )


def test_coverage_of_dead_runs_says_what_their_archive_holds(
    engine: Engine, tmp_path: Path
) -> None:
    """Run 1 told until 150 and archived until 180; run 2 never told; run 3 is beginning."""
    with transaction(engine) as session:
        session.add_all([segment(tmp_path / "a", 1, 100, 180), stretch(1, 150), stretch(3, 400)])
        session.add_all([segment(tmp_path / f"b{n}", 2, 200 + n, 250 + n) for n in (0, 50)])

    for _ in range(2):
        close_stretches(engine, "nq", run_id=3)

    with Session(engine) as session:
        rows = session.exec(select(CoverageRow).order_by(CoverageRow.run_id)).all()
    assert [(row.run_id, row.start_ns, row.end_ns, row.is_open) for row in rows] == [
        (1, 100, 180, False),
        (2, 200, 300, False),
        (3, 100, 400, True),
    ]


def test_what_a_dead_run_told_and_never_wrote_is_not_covered(
    engine: Engine, tmp_path: Path
) -> None:
    with transaction(engine) as session:
        session.add_all([segment(tmp_path / "a", 1, 100, 180), stretch(1, 250), stretch(2, 150)])

    close_stretches(engine, "nq", run_id=3)

    with Session(engine) as session:
        rows = session.exec(select(CoverageRow).order_by(CoverageRow.run_id)).all()
    assert [(row.run_id, row.end_ns) for row in rows] == [(1, 180), (2, 100)]


def test_a_run_goes_on_from_all_files_of_its_session_in_their_order(
    engine: Engine, tmp_path: Path
) -> None:
    with transaction(engine) as session:
        session.add_all(
            [segment(tmp_path / "b", 2, 300, 400), segment(tmp_path / "a", 1, 100, 200)]
        )

    def files(*, not_before_ns: int = 0, runs_after_ns: int = 0) -> list[str]:
        found = files_to_resume(
            engine, "nq", DATE, not_before_ns=not_before_ns, runs_after_ns=runs_after_ns
        )
        return [path.name for path in found]

    assert files() == ["a", "b"]
    assert files(runs_after_ns=15) == ["b"]
    assert files(not_before_ns=401) == []
    (tmp_path / "a").unlink()
    assert files() == []
