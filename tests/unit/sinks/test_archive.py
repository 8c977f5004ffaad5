"""The archive holds what was accepted, reads as a live capture, and survives a kill."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import databento
import databento_dbn as dbn
import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, SQLModel, select

from ifd.clock import ManualClock
from ifd.errors import CorruptFileError, DatabaseError
from ifd.records import MBO_DTYPE, RTYPE_MBO, MboArray
from ifd.replay import read_chunks, read_metadata
from ifd.units import NANOS_PER_SECOND
from models.base import make_engine, transaction
from models.operations import ArchiveFileRow, StreamRunRow
from sinks.archive import ArchiveWriter
from sinks.archive_repair import close_abandoned
from sinks.segments import Segment

TEN_OCLOCK_NS = 1_795_705_200 * NANOS_PER_SECOND  # Thursday 2026-11-26, 15:00 UTC, 10:00 New York
HOUR_NS = 3_600 * NANOS_PER_SECOND
RUN = 1


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    made = make_engine(sqlite_url)
    SQLModel.metadata.create_all(made)
    with transaction(made) as session:
        session.add_all([stream_run(RUN), stream_run(RUN + 1)])
    yield made
    made.dispose()


def stream_run(number: int) -> StreamRunRow:
    return StreamRunRow(
        id=number,
        shard="nq",
        source="simulated",
        profile="default",
        params_fingerprint="0" * 16,
        session_date="2026-11-26",
        status="streaming",
        started_ns=TEN_OCLOCK_NS,
        heartbeat_ns=TEN_OCLOCK_NS,
    )


def writer(directory: Path, engine: Engine, **options: Any) -> ArchiveWriter:
    """An archive that flushes when told to, at ten o'clock for ever."""
    given: dict[str, Any] = {"flush_seconds": 1_000.0, "clock": ManualClock(TEN_OCLOCK_NS)}
    return ArchiveWriter(directory, engine, run_id=RUN, shard="nq", **given | options)


def orders(count: int, *, ts_recv: int = TEN_OCLOCK_NS, first_id: int = 1) -> MboArray:
    records = np.zeros(count, MBO_DTYPE)
    records["length"] = MBO_DTYPE.itemsize // 4
    records["rtype"] = RTYPE_MBO
    records["order_id"] = np.arange(first_id, first_id + count)
    records["ts_recv"] = ts_recv + np.arange(count)
    records["action"] = ord("A")
    records["side"] = ord("B")
    return records


def mapping(number: int = 1) -> dbn.SymbolMappingMsg:
    return dbn.SymbolMappingMsg(
        publisher_id=0,
        instrument_id=number,
        ts_event=TEN_OCLOCK_NS,
        stype_in=dbn.SType.PARENT,
        stype_in_symbol="NQ.OPT",
        stype_out=dbn.SType.RAW_SYMBOL,
        stype_out_symbol=f"NQZ6 C{number}",
        start_ts=0,
        end_ts=0,
    )


def rows(engine: Engine) -> list[ArchiveFileRow]:
    with Session(engine) as session:
        return list(session.exec(select(ArchiveFileRow).order_by(ArchiveFileRow.path)))


def order_ids(path: Path | str) -> list[int]:
    arrays = [chunk for chunk in read_chunks(path) if isinstance(chunk, np.ndarray)]
    return [int(number) for array in arrays for number in array["order_id"]]


def test_a_segment_holds_every_record_in_the_order_of_the_wire(
    tmp_path: Path, engine: Engine
) -> None:
    archive = writer(tmp_path, engine)
    chunks = [mapping(), orders(3), mapping(2), orders(20_000, first_id=4)]

    for chunk in chunks:
        archive.append(chunk)
    archive.close()

    [row] = rows(engine)
    read = list(read_chunks(row.path))
    assert isinstance(read[0], dbn.SymbolMappingMsg)
    assert isinstance(read[2], dbn.SymbolMappingMsg)
    assert order_ids(row.path) == list(range(1, 20_004))


# Their reader leaves its file to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_providers_own_reader_reads_it_as_a_live_capture(
    tmp_path: Path, engine: Engine
) -> None:
    archive = writer(tmp_path, engine)
    archive.append(mapping())
    archive.append(orders(5))
    archive.flush()
    archive.append(orders(5, first_id=6))
    archive.close()

    [row] = rows(engine)
    store = databento.DBNStore.from_file(row.path)
    assert [type(record).__name__ for record in store] == ["SymbolMappingMsg"] + ["MBOMsg"] * 10
    assert (store.dataset, store.schema) == ("GLBX.MDP3", None)
    assert read_metadata(row.path).start == TEN_OCLOCK_NS


def test_its_row_tells_what_the_closed_file_holds(tmp_path: Path, engine: Engine) -> None:
    archive = writer(tmp_path, engine)
    archive.append(mapping())
    archive.append(orders(100))

    [opened] = rows(engine)
    archive.close()

    [row] = rows(engine)
    data = Path(row.path).read_bytes()
    assert (opened.path, opened.closed_ns, opened.sha256) == (row.path, None, None)
    assert Path(row.path) == tmp_path / "2026-11-26" / "nq" / "1-150000.dbn.zst"
    assert (row.run_id, row.shard, row.session_date) == (RUN, "nq", "2026-11-26")
    assert (row.records, row.first_ts, row.last_ts) == (101, TEN_OCLOCK_NS, TEN_OCLOCK_NS + 99)
    assert (row.bytes, row.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (row.created_ns, row.closed_ns) == (TEN_OCLOCK_NS, TEN_OCLOCK_NS)


def test_an_hour_is_a_segment_and_the_evening_belongs_to_the_next_date(
    tmp_path: Path, engine: Engine
) -> None:
    archive = writer(tmp_path, engine)

    for hour in (0, 1, 8):
        archive.append(orders(2, ts_recv=TEN_OCLOCK_NS + hour * HOUR_NS, first_id=hour * 10))
    archive.close()

    found = rows(engine)
    assert [Path(row.path).relative_to(tmp_path).as_posix() for row in found] == [
        "2026-11-26/nq/1-150000.dbn.zst",
        "2026-11-26/nq/1-160000.dbn.zst",
        "2026-11-27/nq/1-230000.dbn.zst",
    ]
    assert [order_ids(row.path) for row in found] == [[0, 1], [10, 11], [80, 81]]
    assert all(row.closed_ns is not None for row in found)


def test_a_late_order_stays_in_the_hour_that_is_open(tmp_path: Path, engine: Engine) -> None:
    archive = writer(tmp_path, engine)
    archive.append(orders(1))
    archive.append(orders(1, ts_recv=TEN_OCLOCK_NS - 1, first_id=2))
    archive.close()

    [row] = rows(engine)
    assert order_ids(row.path) == [1, 2]


def test_names_that_come_first_lie_with_the_orders_they_name(
    tmp_path: Path, engine: Engine
) -> None:
    """A recorded day is served again: the clock is years after the market."""
    archive = writer(tmp_path, engine, clock=ManualClock(TEN_OCLOCK_NS + 9_000 * HOUR_NS))

    archive.append(mapping())
    archive.append(orders(1))
    archive.close()

    [row] = rows(engine)
    assert (row.session_date, row.records) == ("2026-11-26", 2)


def test_a_quiet_feed_is_flushed_under_the_clocks_date(tmp_path: Path, engine: Engine) -> None:
    archive = writer(tmp_path, engine, flush_seconds=0.0)

    archive.append(mapping())

    [row] = rows(engine)
    assert row.session_date == "2026-11-26"
    assert len(list(read_chunks(row.path))) == 1
    archive.close()


def test_a_second_segment_of_the_same_moment_gets_a_number(tmp_path: Path, engine: Engine) -> None:
    for _ in range(2):
        archive = writer(tmp_path, engine)
        archive.append(orders(1))
        archive.close()

    names = [Path(row.path).name for row in rows(engine)]
    assert sorted(names) == ["1-150000-2.dbn.zst", "1-150000.dbn.zst"]


def test_nothing_received_leaves_no_file(tmp_path: Path, engine: Engine) -> None:
    archive = writer(tmp_path, engine)

    archive.close()

    assert rows(engine) == []
    assert not list(tmp_path.rglob("*.zst"))


def test_a_full_disk_is_told_and_the_file_stays_whole(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = writer(tmp_path, engine)
    archive.append(orders(10))
    archive.flush()
    [row] = rows(engine)
    with monkeypatch.context() as patch:
        patch.setattr("sinks.segments._write", _half_then_full)
        archive.append(orders(10, first_id=11))
        with pytest.raises(OSError, match="No space"):
            archive.flush()
    assert order_ids(row.path) == list(range(1, 11))

    archive.close()

    assert order_ids(row.path) == list(range(1, 21))
    assert rows(engine)[0].sha256 == hashlib.sha256(Path(row.path).read_bytes()).hexdigest()


def _half_then_full(file: Any, data: bytes) -> None:
    file.write(data[: len(data) // 2])
    raise OSError(28, "No space left on device")


def test_a_database_that_is_away_does_not_stop_the_archive(tmp_path: Path, engine: Engine) -> None:
    archive = writer(tmp_path, engine)
    with engine.begin() as connection:
        connection.execute(sa.text("alter table archive_file rename to hidden"))

    archive.append(orders(5))
    archive.flush()
    with pytest.raises(DatabaseError, match="files are whole"):
        archive.close()
    with engine.begin() as connection:
        connection.execute(sa.text("alter table hidden rename to archive_file"))
    archive.close()

    [row] = rows(engine)
    assert order_ids(row.path) == [1, 2, 3, 4, 5]
    assert row.closed_ns is not None


VICTIM = """
from pathlib import Path
import numpy as np
from ifd.clock import SystemClock
from ifd.records import MBO_DTYPE
from models.base import make_engine
from sinks.archive import ArchiveWriter

archive = ArchiveWriter(
    Path({directory!r}),
    make_engine({url!r}),
    run_id=1,
    shard="nq",
    clock=SystemClock(),
    flush_seconds=0.05,
)
batch = np.frombuffer(bytes.fromhex({orders!r}), MBO_DTYPE).copy()
while True:
    archive.append(batch.copy())
    print(batch["order_id"][-1], flush=True)
    batch["order_id"] += len(batch)
"""


@pytest.mark.parametrize("lines", [1, 40, 333])
def test_a_killed_writer_leaves_a_file_that_reads(
    tmp_path: Path, engine: Engine, sqlite_url: str, lines: int
) -> None:
    """Killed in full flight: what reads is a beginning without holes, and all but the newest."""
    script = VICTIM.format(
        url=sqlite_url, directory=str(tmp_path / "archive"), orders=orders(500).tobytes().hex()
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    ) as victim:
        assert victim.stdout is not None
        for _ in range(lines):
            appended = int(victim.stdout.readline())
        os.kill(victim.pid, signal.SIGKILL)
        appended = max([appended, *(int(line) for line in victim.stdout if line.endswith("\n"))])

    [row] = rows(engine)
    before = _readable(row.path)
    closed = close_abandoned(engine, shard="nq", run_id=RUN + 1, clock=ManualClock(5))

    [after] = rows(engine)
    assert closed == [Path(row.path)]
    assert order_ids(row.path) == before == list(range(1, len(before) + 1))
    # A frame is cut every 256 KiB, some ten appends, however long a flush interval is.
    assert len(before) >= appended - 5_000
    assert (after.records, after.closed_ns) == (len(before), 5)
    assert after.sha256 == hashlib.sha256(Path(row.path).read_bytes()).hexdigest()


def _readable(path: str) -> list[int]:
    found: list[int] = []
    try:
        for chunk in read_chunks(path):
            assert isinstance(chunk, np.ndarray)
            found += chunk["order_id"].tolist()
    except CorruptFileError:
        return found  # killed inside a write: the last frame is not whole
    return found


def test_an_unfinished_frame_is_cut_off_when_the_run_after_begins(
    tmp_path: Path, engine: Engine
) -> None:
    archive = writer(tmp_path, engine)
    archive.append(orders(50))
    archive.flush()
    [row] = rows(engine)
    whole = Path(row.path).stat().st_size
    frame = Path(row.path).read_bytes()[-60:]
    with Path(row.path).open("ab") as file:
        file.write(b"\x28\xb5\x2f\xfd" + frame[:30])

    assert close_abandoned(engine, shard="nq", run_id=RUN, clock=ManualClock(5)) == []
    assert close_abandoned(engine, shard="es", run_id=RUN + 1, clock=ManualClock(5)) == []
    assert len(close_abandoned(engine, shard="nq", run_id=RUN + 1, clock=ManualClock(5))) == 1

    [row] = rows(engine)
    assert (row.bytes, row.records, row.first_ts) == (whole, 50, TEN_OCLOCK_NS)
    assert order_ids(row.path) == list(range(1, 51))
    archive.close()


def test_the_row_of_a_file_that_is_gone_is_closed_without_a_checksum(
    tmp_path: Path, engine: Engine
) -> None:
    archive = writer(tmp_path, engine)
    archive.append(orders(50))
    Path(rows(engine)[0].path).unlink()

    close_abandoned(engine, shard="nq", run_id=RUN + 1, clock=ManualClock(5))

    [row] = rows(engine)
    assert (row.closed_ns, row.sha256, row.records) == (5, None, 0)
    archive.close()


def test_a_segment_knows_its_own_checksum(tmp_path: Path) -> None:
    segment = Segment(tmp_path, "nq", RUN, TEN_OCLOCK_NS)
    segment.write(b"first")
    segment.write(b"second")
    segment.close()

    assert segment.sha256 == hashlib.sha256(segment.path.read_bytes()).hexdigest()
