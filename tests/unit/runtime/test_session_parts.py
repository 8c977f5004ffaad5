"""Sessions computed one by one give the baselines of all of them read in one go."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from ifd.clock import ManualClock
from ifd.params import BaselineParams, EngineParams, WindowParams
from models.market import BaselineRow
from runtime.baselines import merge, rebuild
from runtime.session_parts import (
    SessionFiles,
    by_session,
    compute_part,
    instruments_of,
    part_instruments,
    part_windows,
    windows_of,
)
from simulator.session_files import SessionPlan, write_sessions

CLOCK = ManualClock(1)
PARAMS = EngineParams()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "sessions"
    write_sessions(directory, SessionPlan(days=3, seed=5, minutes=2))
    return directory


@pytest.fixture
def sessions(made: Path) -> list[SessionFiles]:
    return by_session(made.glob("*.mbo.dbn.zst"), [made / "definitions.dbn.zst"])


def stored(engine: Engine) -> list[dict[str, object]]:
    with Session(engine) as session:
        rows = [row.model_dump(exclude={"id"}) for row in session.exec(select(BaselineRow))]
    return sorted(rows, key=lambda row: (row["key"], row["metric"], row["bucket"]))


def test_files_are_grouped_by_the_date_they_begin_on(sessions: list[SessionFiles]) -> None:
    assert [session.date for session in sessions] == ["2026-10-05", "2026-10-06", "2026-10-07"]
    assert [len(session.files) for session in sessions] == [1, 1, 1]


def test_what_is_kept_is_what_was_computed(sessions: list[SessionFiles], tmp_path: Path) -> None:
    session = sessions[0]
    instruments = instruments_of(session)

    part = compute_part(session, PARAMS, tmp_path)

    windows = list(windows_of(session, instruments, PARAMS))
    assert windows
    assert list(part_windows(part)) == windows
    assert list(part_instruments(part)) == instruments
    assert (part.windows, part.known) == (len(windows), False)
    assert part.records > len(windows)


def test_parts_in_any_order_give_the_baselines_of_one_rebuild(
    sessions: list[SessionFiles], made: Path, engine: Engine, tmp_path: Path
) -> None:
    whole = rebuild(
        list(made.glob("*.mbo.dbn.zst")),
        [made / "definitions.dbn.zst"],
        engine,
        PARAMS,
        clock=CLOCK,
    )
    expected = stored(engine)

    parts = [compute_part(session, PARAMS, tmp_path) for session in reversed(sessions)]
    merged = merge(parts, engine, PARAMS, clock=CLOCK)

    assert merged == whole
    assert expected
    assert stored(engine) == expected


def test_a_session_that_is_known_is_not_read_again(
    sessions: list[SessionFiles], tmp_path: Path
) -> None:
    first = compute_part(sessions[0], PARAMS, tmp_path)
    read: list[Path] = []

    again = compute_part(
        sessions[0], PARAMS, tmp_path, on_records=lambda path, _number: read.append(path)
    )

    assert again == dataclasses.replace(first, known=True)
    assert read == []


def test_what_the_windows_depend_on_names_them(
    sessions: list[SessionFiles], tmp_path: Path
) -> None:
    session = sessions[0]
    first = compute_part(session, PARAMS, tmp_path)
    longer = EngineParams(windows=WindowParams(length_ns=10_000_000_000))
    fewer = EngineParams(baseline=BaselineParams(sessions=5))
    other = dataclasses.replace(session, checksums={session.files[0]: "0" * 64})

    assert compute_part(session, longer, tmp_path).path != first.path
    assert compute_part(other, PARAMS, tmp_path).path != first.path
    assert compute_part(session, fewer, tmp_path).known


def test_a_computation_that_was_killed_leaves_nothing_that_counts(
    sessions: list[SessionFiles], tmp_path: Path
) -> None:
    part = compute_part(sessions[0], PARAMS, tmp_path)
    windows = part.path / "windows.parquet"
    windows.rename(part.path / f"windows.parquet.{os.getpid()}.partial")

    assert not compute_part(sessions[0], PARAMS, tmp_path).known
    assert windows.is_file()


def test_a_session_that_defines_nothing_has_no_window(made: Path, tmp_path: Path) -> None:
    (file,) = made.glob("2026-10-05.mbo.dbn.zst")

    part = compute_part(SessionFiles("2026-10-05", (file,)), PARAMS, tmp_path)

    assert part.records > 0
    assert part.windows == 0
