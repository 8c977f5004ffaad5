"""Looking at the archive and at gaps from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from ifd.clock import ManualClock, SystemClock
from ifd.errors import InputError
from ifd.records import MBO_DTYPE, RTYPE_MBO, MboArray
from ifd.units import NANOS_PER_SECOND
from models.base import make_engine, transaction
from models.coverage import write_coverage
from models.database import upgrade
from models.operations import ArchiveFileRow, CoverageRow, StreamRunRow
from sinks.archive import ArchiveWriter
from sinks.catalogue import Catalogue

TEN_OCLOCK_NS = 1_795_532_400 * NANOS_PER_SECOND  # Tuesday 2026-11-24, 10:00 New York
HOUR_NS = 3_600 * NANOS_PER_SECOND
Run = Callable[..., Result]


@pytest.fixture
def run(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("IFD_ARCHIVE__DIRECTORY", str(tmp_path / "archive"))
    upgrade(sqlite_url)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(
            app, [*arguments, "--database", sqlite_url], catch_exceptions=False
        )

    return run


def orders(count: int, *, ts_recv: int) -> MboArray:
    records = np.zeros(count, MBO_DTYPE)
    records["length"] = MBO_DTYPE.itemsize // 4
    records["rtype"] = RTYPE_MBO
    records["ts_recv"] = ts_recv + np.arange(count)
    return records


@pytest.fixture
def files(run: Run, sqlite_url: str, tmp_path: Path) -> list[Path]:
    """A drained run's archive of two hours: 100 and 7 orders."""
    engine = make_engine(sqlite_url)
    store_run(sqlite_url)
    catalogue = Catalogue(engine)
    archive = ArchiveWriter(
        tmp_path / "archive",
        run_id=1,
        shard="nq",
        clock=ManualClock(TEN_OCLOCK_NS),
        on_segment=catalogue.note,
    )
    archive.append(orders(100, ts_recv=TEN_OCLOCK_NS))
    archive.append(orders(7, ts_recv=TEN_OCLOCK_NS + HOUR_NS))
    archive.close()
    catalogue.finish()
    engine.dispose()
    return sorted((tmp_path / "archive").rglob("*.dbn.zst"))


def store_run(url: str, **facts: Any) -> None:
    usual: dict[str, Any] = {
        "shard": "nq",
        "source": "live",
        "profile": "default",
        "params_fingerprint": "f",
        "session_date": "2026-11-24",
        "status": "drained",
        "started_ns": TEN_OCLOCK_NS,
        "heartbeat_ns": TEN_OCLOCK_NS + HOUR_NS,
        "ended_ns": TEN_OCLOCK_NS + HOUR_NS,
    }
    store(url, StreamRunRow(**usual | facts))


def store(url: str, *rows: Any) -> None:
    engine = make_engine(url)
    with transaction(engine) as session:
        session.add_all(rows)
    engine.dispose()


def change_row(url: str, path: Path, **values: Any) -> None:
    engine = make_engine(url)
    with transaction(engine) as session:
        row = session.get_one(ArchiveFileRow, str(path))
        for name, value in values.items():
            setattr(row, name, value)
    engine.dispose()


def problems(result: Result) -> list[tuple[str, str, bool]]:
    found = json.loads(result.stdout)
    assert found["wrong"] == sum(not finding["fixed"] for finding in found["findings"])
    assert result.exit_code == (1 if found["wrong"] else 0)
    return [
        (Path(finding["path"]).name, finding["problem"], finding["fixed"])
        for finding in found["findings"]
    ]


def test_files_are_listed_with_what_they_hold(run: Run, files: list[Path]) -> None:
    lines = run("archive", "list").stdout.splitlines()
    rows = json.loads(run("archive", "list", "--session", "2026-11-24", "--json").stdout)

    assert [line.split()[2] for line in lines[3:5]] == [path.name for path in files]
    assert "100" in lines[3]
    assert "2026-11-24 10:00:00.000" in lines[3]
    assert [(row["path"], row["records"]) for row in rows] == [
        (str(files[0]), 100),
        (str(files[1]), 7),
    ]
    assert "nothing is archived" in run("archive", "list", "--session", "2026-11-25").stdout
    assert json.loads(run("archive", "list", "--shard", "es", "--json").stdout) == []


@pytest.mark.usefixtures("files")
def test_an_archive_as_catalogued_verifies(run: Run) -> None:
    result = run("archive", "verify")

    assert result.stdout == "2 files: all as catalogued\n"
    assert result.exit_code == 0


def test_whatever_is_wrong_is_found_by_its_name(
    run: Run, files: list[Path], sqlite_url: str
) -> None:
    first, second = files
    change_row(sqlite_url, first, records=99, last_ts=5)
    second.unlink()
    strange = first.with_name("77-120000.dbn.zst")
    strange.write_bytes(first.read_bytes())

    assert problems(run("archive", "verify", "--json")) == [
        (first.name, "records", False),
        (first.name, "times", False),
        (second.name, "missing", False),
        (strange.name, "unknown", False),
    ]
    assert problems(run("archive", "verify", "--session", "2026-11-25", "--json")) == []


def test_a_flipped_bit_and_a_cut_are_damage(run: Run, files: list[Path]) -> None:
    first, second = files
    data = bytearray(first.read_bytes())
    data[-6] ^= 1
    first.write_bytes(data)
    second.write_bytes(second.read_bytes()[:-3])

    result = run("archive", "verify")

    assert result.exit_code == 1
    assert f"damaged    {first}: " in result.stdout
    assert f"size       {second}: it has " in result.stdout
    assert f"damaged    {second}: " in result.stdout
    assert result.stdout.endswith("2 files: 3 wrong\n")


def test_a_file_written_anew_has_another_checksum(run: Run, files: list[Path]) -> None:
    first = files[0]
    data = bytearray(first.read_bytes())
    data[4] |= 0x08  # a bit of the frame's header that no reader looks at, or refuses
    first.write_bytes(data)

    found = problems(run("archive", "verify", "--json"))

    assert {name for name, _, _ in found} == {first.name}
    assert {problem for _, problem, _ in found} <= {"checksum", "damaged"}


def test_fixing_closes_what_a_dead_run_left_and_catalogues_what_is_unknown(
    run: Run, files: list[Path], sqlite_url: str
) -> None:
    first, second = files
    change_row(sqlite_url, first, closed_ns=None, sha256=None, records=0)
    first.write_bytes(first.read_bytes() + first.read_bytes()[:20])
    unknown = first.with_name("77-120000.dbn.zst")
    unknown.write_bytes(second.read_bytes())
    notes = first.with_name("notes.dbn.zst")
    notes.write_text("by hand")

    assert problems(run("archive", "verify", "--fix", "--json")) == [
        (first.name, "abandoned", True),
        (unknown.name, "unknown", True),
        (notes.name, "unknown", False),
    ]
    assert problems(run("archive", "verify", "--json")) == [(notes.name, "unknown", False)]
    rows = json.loads(run("archive", "list", "--json").stdout)
    assert {Path(row["path"]).name: row["records"] for row in rows} == {
        first.name: 100,
        second.name: 7,
        unknown.name: 7,
    }


def test_what_a_living_run_writes_is_left_alone(
    run: Run, files: list[Path], sqlite_url: str
) -> None:
    store_run(sqlite_url, active_shard="nq", heartbeat_ns=SystemClock().now_ns(), ended_ns=None)
    growing = files[0].with_name("2-150000.dbn.zst")
    growing.write_bytes(files[0].read_bytes()[:-9])

    assert problems(run("archive", "verify", "--fix", "--json")) == []
    assert growing.stat().st_size == files[0].stat().st_size - 9


@pytest.mark.usefixtures("files")
def test_gaps_of_a_session_are_told_with_their_cause_and_share(run: Run, sqlite_url: str) -> None:
    """A run from 10:00 to 11:00 in a session from 09:30 to 16:00."""
    engine = make_engine(sqlite_url)
    with transaction(engine) as session:
        stretch = CoverageRow(
            run_id=1,
            number=1,
            shard="nq",
            session_date="2026-11-24",
            dbn_schema="mbo",
            start_ns=TEN_OCLOCK_NS,
            end_ns=TEN_OCLOCK_NS + HOUR_NS,
            records=3_600,
        )
        write_coverage(session, [stretch])
    engine.dispose()

    words = run("gaps", "--session", "2026-11-24")
    [report] = json.loads(run("gaps", "--session", "2026-11-24", "--json").stdout)
    [filtered] = json.loads(
        run("gaps", "--session", "2026-11-24", "--state", "lost", "--json").stdout
    )

    assert words.exit_code == 0
    lines = words.stdout.splitlines()
    assert lines[0] == "2026-11-24, cash session: 15.38 % covered, 2 gaps"
    assert [line.split()[1] for line in lines[4:6]] == ["09:30:00.000", "11:00:00.000"]
    assert "5:00:00" in lines[5]
    assert [
        (
            gap["cause"],
            gap["state"],
            gap["missing_ns"] // NANOS_PER_SECOND,
            gap["estimated_records"],
        )
        for gap in report["gaps"]
    ] == [("late-start", "open", 1_800, 1_800), ("not-running", "open", 18_000, 18_000)]
    assert report["covered_share"] == pytest.approx(1 / 6.5)
    assert (filtered["gaps"], filtered["covered_share"]) == ([], report["covered_share"])


def test_sessions_before_the_first_run_are_nobodys_gap(run: Run, sqlite_url: str) -> None:
    assert run("gaps", "--days", "3").stdout == "no stream of shard nq has run in that time\n"

    now_ns = SystemClock().now_ns()
    store_run(sqlite_url, started_ns=now_ns, heartbeat_ns=now_ns, ended_ns=now_ns)

    found = json.loads(run("gaps", "--days", "3", "--json").stdout)
    assert all(session["close_ns"] > now_ns for session in found)


@pytest.mark.parametrize(
    ("date", "words"),
    [
        ("2026-11-26", "has no cash session"),  # Thanksgiving
        ("2027-06-01", "has not begun"),
    ],
)
def test_a_date_without_market_hours_is_refused(run: Run, date: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        run("gaps", "--session", date)


@pytest.mark.parametrize("command", [["gaps"], ["archive", "list"], ["archive", "verify"]])
def test_a_date_that_is_none_is_used_wrongly(run: Run, command: list[str]) -> None:
    assert run(*command, "--session", "yesterday").exit_code == 2
