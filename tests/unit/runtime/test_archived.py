"""Which sessions of the archive the nightly baselines rest on."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import databento_dbn as dbn
import pytest
import zstandard
from sqlalchemy.engine import Engine

from ifd.replay import read_mbo
from models.base import transaction
from models.operations import ArchiveFileRow
from models.validations import store_validation
from runtime.archived import archived_sessions, unfit_sessions
from runtime.session_parts import SessionFiles, instruments_of
from simulator.session_files import SessionPlan, write_sessions
from tests.checks import failed_check


def catalogue(engine: Engine, directory: Path, name: str, date: str, **values: object) -> Path:
    path = directory / name
    path.touch()
    usual = {
        "path": str(path),
        "shard": "nq",
        "session_date": date,
        "records": 10,
        "created_ns": 1,
        "closed_ns": 2,
    }
    with transaction(engine) as session:
        session.add(ArchiveFileRow(**(usual | values)))
    return path


def test_the_newest_whole_sessions_are_chosen_oldest_first(engine: Engine, tmp_path: Path) -> None:
    for date in ("2026-11-18", "2026-11-19", "2026-11-20"):
        catalogue(engine, tmp_path, f"{date}.dbn.zst", date)

    found = archived_sessions(engine, "nq", newest=2)

    assert [session.date for session in found] == ["2026-11-19", "2026-11-20"]
    assert [session.files for session in found] == [
        (tmp_path / "2026-11-19.dbn.zst",),
        (tmp_path / "2026-11-20.dbn.zst",),
    ]


def test_a_session_that_is_still_written_is_left_out(engine: Engine, tmp_path: Path) -> None:
    catalogue(engine, tmp_path, "a", "2026-11-20")
    catalogue(engine, tmp_path, "b", "2026-11-20", closed_ns=None)

    assert archived_sessions(engine, "nq", newest=20) == []


def test_other_shards_are_left_out(engine: Engine, tmp_path: Path) -> None:
    catalogue(engine, tmp_path, "es", "2026-11-20", shard="es")

    assert archived_sessions(engine, "nq", newest=20) == []


def test_a_session_whose_records_failed_a_check_is_left_out_and_named(
    engine: Engine, tmp_path: Path
) -> None:
    catalogue(engine, tmp_path, "a", "2026-11-19")
    catalogue(engine, tmp_path, "b", "2026-11-20")
    failed = failed_check(session_date="2026-11-20", batch="b")
    store_validation(engine, [failed], now_ns=1, channel=None)

    assert [found.date for found in archived_sessions(engine, "nq", newest=2)] == ["2026-11-19"]
    assert unfit_sessions(engine, "nq") == {"2026-11-20": ["sizes_are_positive"]}


def test_segments_come_in_the_order_they_were_begun(engine: Engine, tmp_path: Path) -> None:
    late = catalogue(engine, tmp_path, "a", "2026-11-20", created_ns=30)
    early = catalogue(engine, tmp_path, "b", "2026-11-20", created_ns=20)

    (session,) = archived_sessions(engine, "nq", newest=20)

    assert session.files == (early, late)
    assert session.records == 20


def test_a_file_that_was_deleted_is_named(engine: Engine, tmp_path: Path) -> None:
    kept = catalogue(engine, tmp_path, "a", "2026-11-20")
    gone = catalogue(engine, tmp_path, "b", "2026-11-20")
    gone.unlink()

    (session,) = archived_sessions(engine, "nq", newest=20)

    assert session.files == (kept,)
    assert session.missing == (gone,)
    assert session.records == 10


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two segments of a live session: the first with definitions, the second without."""
    directory = tmp_path_factory.mktemp("recording")
    day = dt.date(2026, 10, 5)
    write_sessions(directory / "day", SessionPlan(days=1, seed=3, minutes=1, start_date=day))
    definitions = records_of(directory / "day" / "definitions.dbn.zst")
    orders = records_of(directory / "day" / "2026-10-05.mbo.dbn.zst")
    header = dbn.Metadata(
        dataset="GLBX.MDP3",
        start=0,
        stype_in=None,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=None,
    ).encode()
    first, second = directory / "first.dbn.zst", directory / "second.dbn.zst"
    first.write_bytes(zstandard.compress(header + definitions + orders))
    second.write_bytes(zstandard.compress(header + orders))
    return first, second


def records_of(path: Path) -> bytes:
    decoder = dbn.DBNDecoder()
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
        decoder.write(reader.read())
    _, *records = decoder.decode()
    return b"".join(bytes(record) for record in records)


def test_a_recording_defines_its_own_instruments(recording: tuple[Path, Path]) -> None:
    first, second = recording

    both = SessionFiles("2026-10-05", (first, second))

    assert instruments_of(both) == instruments_of(SessionFiles("2026-10-05", (first,)))
    assert instruments_of(both)
    assert instruments_of(SessionFiles("2026-10-05", (second,))) == []
    assert sum(map(len, read_mbo([second]))) == sum(map(len, read_mbo([first]))) > 0
