"""The archive holds what was accepted, reads as a live capture, and survives a kill."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import databento
import databento_dbn as dbn
import numpy as np
import pytest

from ifd.clock import ManualClock
from ifd.errors import CorruptFileError
from ifd.records import MBO_DTYPE, MboArray
from ifd.replay import read_chunks, read_mbo, read_metadata
from ifd.units import NANOS_PER_SECOND
from sinks import archive as archive_module
from sinks.archive import FRAME_BYTES, OUTSTANDING_BYTES, ArchiveWriter
from sinks.archive_repair import repair_directory
from sinks.segments import Segment, SegmentFacts, Tally, cut_to_whole_frames

HOUR_NS = 3_600 * NANOS_PER_SECOND
RUN = 1
Make = Callable[..., MboArray]
Name = Callable[..., dbn.SymbolMappingMsg]
Open = Callable[..., ArchiveWriter]


@pytest.fixture
def archive_of(tmp_path: Path, ten_oclock_ns: int, reports: list[SegmentFacts]) -> Open:
    """Make an archive that flushes when told to, at ten o'clock for ever."""

    def make(**options: Any) -> ArchiveWriter:
        given: dict[str, Any] = {
            "flush_seconds": 1_000.0,
            "clock": ManualClock(ten_oclock_ns),
            "on_segment": reports.append,
        }
        return ArchiveWriter(tmp_path, run_id=RUN, shard="nq", **given | options)

    return make


def order_ids(path: Path | str) -> list[int]:
    return [int(number) for array in read_mbo([path]) for number in array["order_id"]]


def closed(reports: list[SegmentFacts]) -> list[SegmentFacts]:
    return [facts for facts in reports if facts.closed_ns is not None]


def test_a_segment_holds_every_record_in_the_order_of_the_wire(
    archive_of: Open, reports: list[SegmentFacts], orders: Make, mapping: Name
) -> None:
    archive = archive_of()

    for chunk in [mapping(), orders(3), mapping(2), orders(70_000, first_id=4)]:
        archive.append(chunk)
    archive.close()

    [facts] = closed(reports)
    read = list(read_chunks(facts.path))
    assert isinstance(read[0], dbn.SymbolMappingMsg)
    assert isinstance(read[2], dbn.SymbolMappingMsg)
    assert order_ids(facts.path) == list(range(1, 70_004))


def test_a_buffer_that_is_overwritten_after_the_call_was_copied(
    archive_of: Open, reports: list[SegmentFacts], orders: Make
) -> None:
    archive = archive_of()
    buffer = bytearray(orders(10).tobytes())

    archive.append(np.frombuffer(buffer, MBO_DTYPE))
    buffer[:] = orders(10, first_id=900).tobytes()
    archive.append(np.frombuffer(buffer, MBO_DTYPE))
    buffer[:] = bytes(len(buffer))
    archive.close()

    assert order_ids(closed(reports)[0].path) == [*range(1, 11), *range(900, 910)]


# Their reader leaves its file to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_providers_own_reader_reads_it_as_a_live_capture(
    archive_of: Open,
    reports: list[SegmentFacts],
    orders: Make,
    mapping: Name,
    ten_oclock_ns: int,
) -> None:
    archive = archive_of()
    archive.append(mapping())
    archive.append(orders(5))
    archive.flush()
    archive.append(orders(5, first_id=6))
    archive.close()

    [facts] = closed(reports)
    store = databento.DBNStore.from_file(facts.path)
    assert [type(record).__name__ for record in store] == ["SymbolMappingMsg"] + ["MBOMsg"] * 10
    assert (store.dataset, store.schema) == ("GLBX.MDP3", None)
    assert read_metadata(facts.path).start == ten_oclock_ns


def test_it_is_reported_when_it_is_begun_and_again_when_it_is_closed(
    archive_of: Open,
    reports: list[SegmentFacts],
    orders: Make,
    mapping: Name,
    ten_oclock_ns: int,
    tmp_path: Path,
) -> None:
    archive = archive_of()
    archive.append(mapping())
    archive.append(orders(100))
    archive.flush()
    archive.close()

    begun, ended = reports
    data = Path(ended.path).read_bytes()
    assert Path(ended.path) == tmp_path / "2026-11-26" / "nq" / "1-150000.dbn.zst"
    assert (begun.path, begun.records, begun.closed_ns, begun.sha256) == (ended.path, 0, None, None)
    assert ended == SegmentFacts(
        path=begun.path,
        run_id=RUN,
        shard="nq",
        session_date="2026-11-26",
        first_ts=ten_oclock_ns,
        last_ts=ten_oclock_ns + 99,
        records=101,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        created_ns=ten_oclock_ns,
        closed_ns=ten_oclock_ns,
    )


def test_a_growing_segment_is_reported_with_what_is_on_the_disk(
    archive_of: Open,
    reports: list[SegmentFacts],
    orders: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive_module, "REPORT_SECONDS", 0.0)
    archive = archive_of()

    archive.append(orders(7))
    archive.flush()
    archive.append(orders(5, first_id=8))
    archive.flush_if_due()  # it is not due: five orders are in memory alone

    assert [(facts.records, facts.closed_ns) for facts in reports] == [(0, None), (7, None)]
    assert reports[-1].bytes == Path(reports[-1].path).stat().st_size
    archive.close()


def test_an_hour_is_a_segment_and_the_evening_belongs_to_the_next_date(
    archive_of: Open,
    reports: list[SegmentFacts],
    orders: Make,
    ten_oclock_ns: int,
    tmp_path: Path,
) -> None:
    archive = archive_of()

    for hour in (0, 1, 8):
        archive.append(orders(2, ts_recv=ten_oclock_ns + hour * HOUR_NS, first_id=hour * 10))
    archive.close()

    found = closed(reports)
    assert [Path(facts.path).relative_to(tmp_path).as_posix() for facts in found] == [
        "2026-11-26/nq/1-150000.dbn.zst",
        "2026-11-26/nq/1-160000.dbn.zst",
        "2026-11-27/nq/1-230000.dbn.zst",
    ]
    assert [order_ids(facts.path) for facts in found] == [[0, 1], [10, 11], [80, 81]]


def test_a_late_order_stays_in_the_hour_that_is_open(
    archive_of: Open, reports: list[SegmentFacts], orders: Make, ten_oclock_ns: int
) -> None:
    archive = archive_of()
    archive.append(orders(1))
    archive.append(orders(1, ts_recv=ten_oclock_ns - 1, first_id=2))
    archive.close()

    [facts] = closed(reports)
    assert order_ids(facts.path) == [1, 2]


def test_names_that_come_first_lie_with_the_orders_they_name(
    archive_of: Open,
    reports: list[SegmentFacts],
    orders: Make,
    mapping: Name,
    ten_oclock_ns: int,
) -> None:
    """A recorded day is served again: the clock is years after the market."""
    archive = archive_of(clock=ManualClock(ten_oclock_ns + 9_000 * HOUR_NS))

    archive.append(mapping())
    archive.append(orders(1))
    archive.close()

    [facts] = closed(reports)
    assert (facts.session_date, facts.records) == ("2026-11-26", 2)


def test_a_quiet_feed_is_flushed_under_the_clocks_date(
    archive_of: Open, reports: list[SegmentFacts], mapping: Name
) -> None:
    archive = archive_of(flush_seconds=0.0)

    archive.append(mapping())
    archive.flush()

    [facts] = reports
    assert facts.session_date == "2026-11-26"
    assert len(list(read_chunks(facts.path))) == 1
    archive.close()


def test_a_second_segment_of_the_same_moment_gets_a_number(
    archive_of: Open, reports: list[SegmentFacts], orders: Make
) -> None:
    for _ in range(2):
        archive = archive_of()
        archive.append(orders(1))
        archive.close()

    names = [Path(facts.path).name for facts in closed(reports)]
    assert names == ["1-150000.dbn.zst", "1-150000-2.dbn.zst"]


def test_nothing_received_leaves_no_file(
    archive_of: Open, reports: list[SegmentFacts], tmp_path: Path
) -> None:
    archive_of().close()

    assert reports == []
    assert list(tmp_path.rglob("*")) == []


def test_a_full_disk_is_told_at_the_next_call_and_nothing_is_lost(
    archive_of: Open,
    reports: list[SegmentFacts],
    orders: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = archive_of()
    archive.append(orders(10))
    archive.flush()
    with monkeypatch.context() as patch:
        patch.setattr("sinks.segments._write", _half_then_full)
        archive.append(orders(10, first_id=11))
        with pytest.raises(OSError, match="No space"):
            archive.flush()
        with pytest.raises(OSError, match="No space"):
            archive.flush()
        assert _once_settled(lambda: order_ids(reports[0].path)) == list(range(1, 11))

    # Room again. The call that is told of the last failure did nothing; its caller may repeat it.
    _insist(lambda: archive.append(orders(10, first_id=21)))
    _insist(archive.close)

    [facts] = closed(reports)
    assert order_ids(facts.path) == list(range(1, 31))
    assert facts.sha256 == hashlib.sha256(Path(facts.path).read_bytes()).hexdigest()


def _insist(call: Callable[[], None]) -> None:
    try:
        call()
    except OSError:
        call()


def _once_settled(read: Callable[[], list[int]]) -> list[int]:
    """Read while the writing thread may be trying again: half a frame lies there for a moment."""
    deadline = time.monotonic() + 5.0
    while True:
        try:
            return read()
        except CorruptFileError:
            assert time.monotonic() < deadline
            time.sleep(0.001)


def _half_then_full(file: Any, data: bytes) -> None:
    file.write(data[: len(data) // 2])
    raise OSError(28, "No space left on device")


def test_the_caller_is_not_held_until_much_is_outstanding(
    archive_of: Open,
    reports: list[SegmentFacts],
    orders: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk that hangs: appending goes on to the bound, then waits instead of taking more."""
    disk = threading.Event()
    write = Segment.write
    monkeypatch.setattr(Segment, "write", lambda *given: disk.wait() and write(*given))
    archive = archive_of()
    frame = orders(FRAME_BYTES // MBO_DTYPE.itemsize + 1)
    fitting = OUTSTANDING_BYTES // frame.nbytes + 1

    for _ in range(fitting):
        archive.append(frame)
    one_more = threading.Thread(target=archive.append, args=(frame,))
    one_more.start()
    one_more.join(0.1)
    held = one_more.is_alive()
    disk.set()
    one_more.join(10)
    archive.close()

    assert held
    assert closed(reports)[0].records == (fitting + 1) * len(frame)


VICTIM = """
import os
import sys
import time
from pathlib import Path
import numpy as np
from ifd.clock import SystemClock
from ifd.records import MBO_DTYPE
from sinks.archive import ArchiveWriter

directory, order, runs = Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), int(sys.argv[3])
for run in range(1, runs + 1):  # forked, killed, and followed by the next
    pid = os.fork()
    if pid == 0:
        archive = ArchiveWriter(
            directory, run_id=run, shard="nq", clock=SystemClock(), flush_seconds=0.02,
            on_segment=lambda facts: None,
        )
        batch = np.repeat(np.frombuffer(order, MBO_DTYPE), 5_000)
        batch["order_id"] = np.arange(1, len(batch) + 1)
        print("pid", os.getpid(), flush=True)
        while True:
            archive.append(batch)
            if batch["order_id"][0] % 3 == 0:
                archive.flush()
                print("flushed", batch["order_id"][-1], flush=True)
            batch["order_id"] += len(batch)
            time.sleep(0.004)
    os.waitpid(pid, 0)
    print("\\ngone", flush=True)
"""
KILLS = 15


def test_a_writer_killed_at_any_moment_leaves_a_beginning_without_holes(
    tmp_path: Path, orders: Make
) -> None:
    """What reads after the repair is a prefix of what was appended, and all that was flushed."""
    chance = random.Random(26)
    command = [sys.executable, "-c", VICTIM, str(tmp_path), orders(1).tobytes().hex(), str(KILLS)]
    flushed = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victims:
        assert victims.stdout is not None
        for _ in range(KILLS):
            pid = int(victims.stdout.readline().split()[1])
            timer = threading.Timer(chance.uniform(0.0, 0.2), os.kill, (pid, signal.SIGKILL))
            timer.start()
            lines = list(iter(victims.stdout.readline, "gone\n"))
            # The last line may have been cut by the kill: it then claims less than was flushed.
            told = [line.split() for line in lines if line.startswith("flushed ")]
            flushed.append(max((int(words[1]) for words in told if len(words) == 2), default=0))

    found = {facts.run_id: facts for facts in repair_directory(tmp_path, "nq", "2026-11-26")}

    assert not list(tmp_path.rglob("*.part"))
    assert sum(flushed) > 0
    for run, expected in enumerate(flushed, start=1):
        if run not in found:
            assert expected == 0
            continue
        kept = np.concatenate([np.empty(0, MBO_DTYPE), *read_mbo([found[run].path])])
        assert np.array_equal(kept["order_id"], np.arange(1, len(kept) + 1))
        assert np.array_equal(_official(found[run].path)["order_id"].ravel(), kept["order_id"])
        assert found[run].records == len(kept) >= expected


def test_what_was_appended_is_on_the_disk_a_flush_interval_later(
    archive_of: Open, reports: list[SegmentFacts], orders: Make, tmp_path: Path
) -> None:
    archive = archive_of(flush_seconds=0.05)
    archive.append(orders(5))

    deadline = time.monotonic() + 10
    while not any(tmp_path.rglob("*.zst")) or order_ids(next(tmp_path.rglob("*.zst"))) == []:
        assert time.monotonic() < deadline
        archive.flush_if_due()
        time.sleep(0.005)

    assert order_ids(reports[0].path) == [1, 2, 3, 4, 5]
    archive.close()


def _official(path: str) -> np.ndarray[Any, Any]:
    return databento.DBNStore.from_bytes(Path(path).read_bytes()).to_ndarray(schema="mbo")


def test_an_unfinished_frame_is_cut_off(
    archive_of: Open, reports: list[SegmentFacts], orders: Make, tmp_path: Path, ten_oclock_ns: int
) -> None:
    archive = archive_of()
    archive.append(orders(50))
    archive.close()
    path = Path(reports[-1].path)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])  # a frame begins as the first one does, and breaks off
    os.utime(path, ns=(1, 5))

    [facts] = repair_directory(tmp_path, "nq", "2026-11-26")

    assert path.read_bytes() == whole
    assert (facts.records, facts.first_ts, facts.closed_ns) == (50, ten_oclock_ns, 5)
    assert facts.sha256 == reports[-1].sha256


def test_the_segments_being_written_and_those_known_to_be_closed_are_not_read(
    archive_of: Open, reports: list[SegmentFacts], orders: Make, tmp_path: Path
) -> None:
    archive = archive_of()
    archive.append(orders(5))
    archive.close()
    path = Path(reports[-1].path)

    assert repair_directory(tmp_path, "nq", "2026-11-26", writing_run=RUN) == []
    assert repair_directory(tmp_path, "nq", "2026-11-26", closed=[path]) == []
    assert repair_directory(tmp_path, "es", "2026-11-26") == []
    assert repair_directory(tmp_path, "nq", "2026-11-26", writing_run=RUN + 1) == [
        # The clock of the archive stood still, that of the disk did not.
        dataclasses.replace(reports[-1], closed_ns=path.stat().st_mtime_ns)
    ]


def test_damage_is_kept_beside_the_segment(
    archive_of: Open, reports: list[SegmentFacts], orders: Make, tmp_path: Path
) -> None:
    archive = archive_of()
    archive.append(orders(50))
    archive.flush()
    whole = Path(reports[0].path).stat().st_size
    archive.append(orders(50, first_id=51))
    archive.close()
    path = Path(reports[0].path)
    data = bytearray(path.read_bytes())
    data[whole + 30] ^= 0xFF
    path.write_bytes(data)

    [facts] = repair_directory(tmp_path, "nq", "2026-11-26")

    assert (facts.records, facts.bytes) == (50, whole)
    assert path.with_name(f"{path.name}.damaged").read_bytes() == data[whole:]


def test_what_was_never_a_segment_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "2026-11-26" / "nq"
    folder.mkdir(parents=True)
    (folder / "notes.dbn.zst").write_text("written by hand")
    (folder / ".3-150000.part").touch()

    assert repair_directory(tmp_path, "nq", "2026-11-26") == []

    assert [path.name for path in folder.iterdir()] == ["notes.dbn.zst"]
    with pytest.raises(CorruptFileError, match="does not begin"):
        cut_to_whole_frames(folder / "notes.dbn.zst")


def test_a_segment_knows_its_own_checksum(tmp_path: Path, ten_oclock_ns: int) -> None:
    segment = Segment(tmp_path, "nq", RUN, ten_oclock_ns, dataset="GLBX.MDP3", created_ns=1)
    segment.write(b"first", Tally(1))
    segment.write(b"second", Tally(1))
    segment.close(2)

    assert segment.facts.sha256 == hashlib.sha256(segment.path.read_bytes()).hexdigest()


def test_archiving_needs_no_database_calendar_or_compiler() -> None:
    """A process that only reads the socket and archives stays small."""
    unwanted = {"sqlalchemy", "sqlmodel", "pandas_market_calendars", "numba", "pandas"}
    code = "import sys, sinks.archive, sinks.archive_repair; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert unwanted.isdisjoint(done.stdout.split())
