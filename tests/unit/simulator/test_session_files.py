"""Simulated sessions on disk: same options, same bytes; all of it or nothing."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path

import databento
import pytest

from ifd.errors import ConfigurationError, InputError
from ifd.replay import read_definitions, read_mbo
from simulator.market import MarketParams
from simulator.session_files import SessionPlan, write_sessions

PARAMS = MarketParams(records_per_second=60.0, episode_seconds=30.0)


def plan(**changes: object) -> SessionPlan:
    facts: dict[str, object] = {"days": 2, "seed": 7, "minutes": 2, "params": PARAMS}
    return SessionPlan(**(facts | changes))  # type: ignore[arg-type]


def read_store(path: Path) -> databento.DBNStore:
    # From bytes: opened by name, the store never closes its file.
    return databento.DBNStore.from_bytes(path.read_bytes())


def digests(directory: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
    }


def test_the_same_options_give_the_same_bytes(tmp_path: Path) -> None:
    write_sessions(tmp_path / "once", plan())
    write_sessions(tmp_path / "again", plan())
    write_sessions(tmp_path / "other", plan(seed=8))

    once, again, other = (digests(tmp_path / name) for name in ("once", "again", "other"))
    assert once == again
    assert once.keys() == other.keys()
    assert once["2026-10-05.mbo.dbn.zst"] != other["2026-10-05.mbo.dbn.zst"]


def test_a_session_does_not_depend_on_those_before_it(tmp_path: Path) -> None:
    write_sessions(tmp_path / "two", plan())
    write_sessions(tmp_path / "second", plan(days=1, start_date=dt.date(2026, 10, 6)))

    two, second = digests(tmp_path / "two"), digests(tmp_path / "second")
    assert two["2026-10-06.mbo.dbn.zst"] == second["2026-10-06.mbo.dbn.zst"]


def test_sessions_are_business_days_in_cash_hours(tmp_path: Path) -> None:
    friday = dt.date(2026, 10, 9)

    written = write_sessions(tmp_path / "out", plan(start_date=friday))

    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [
        "2026-10-09.mbo.dbn.zst",
        "2026-10-12.mbo.dbn.zst",
        "definitions.dbn.zst",
        "labels.json",
    ]
    frame = read_store(tmp_path / "out" / names[1]).to_df(tz="America/New_York")
    assert frame.index[0].strftime("%Y-%m-%d %H:%M:%S") == "2026-10-12 09:30:00"
    assert frame.index[-1].strftime("%H:%M") == "09:31"
    assert written.records == sum(
        len(array) for array in read_mbo(tmp_path / "out" / name for name in names[:2])
    )


def test_files_name_their_instruments_by_date(tmp_path: Path) -> None:
    write_sessions(tmp_path / "out", plan())

    instruments = read_definitions(tmp_path / "out" / "definitions.dbn.zst")
    frame = read_store(tmp_path / "out" / "2026-10-06.mbo.dbn.zst").to_df()

    assert {one.session_date for one in instruments} == {"2026-10-05", "2026-10-06"}
    named = dict(zip(frame["instrument_id"], frame["symbol"], strict=True))
    known = {one.instrument_id: one.raw_symbol for one in instruments}
    assert named == known


def test_labels_lie_in_their_sessions_and_name_listed_instruments(tmp_path: Path) -> None:
    written = write_sessions(tmp_path / "out", plan())

    labels = json.loads((tmp_path / "out" / "labels.json").read_text())
    listed = {
        one.instrument_id: one.raw_symbol
        for one in read_definitions(tmp_path / "out" / "definitions.dbn.zst")
    }
    assert len(labels) == written.episodes >= 4
    assert len({label["episode_id"] for label in labels}) == len(labels)
    for label in labels:
        assert label.keys() == {
            "episode_id", "kind", "institutional", "session_date", "legs", "start_ns", "end_ns",
            "lots",
        }  # fmt: skip
        assert label["institutional"] is True
        assert all(listed[leg["instrument_id"]] == leg["raw_symbol"] for leg in label["legs"])
        assert label["start_ns"] <= label["end_ns"]


def test_a_directory_in_use_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(InputError, match="--force"):
        write_sessions(tmp_path, plan())

    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_force_replaces_simulated_sessions_and_leaves_the_rest(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_sessions(out, plan())
    (out / "notes.txt").write_text("mine")

    write_sessions(out, plan(days=1, start_date=dt.date(2026, 10, 20)), force=True)

    assert sorted(path.name for path in out.iterdir()) == [
        "2026-10-20.mbo.dbn.zst",
        "definitions.dbn.zst",
        "labels.json",
        "notes.txt",
    ]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError])
def test_nothing_stays_of_a_simulation_that_was_interrupted(
    tmp_path: Path, interruption: type[BaseException]
) -> None:
    minutes = 0

    def stop_in_the_second_session() -> None:
        nonlocal minutes
        minutes += 1
        if minutes == 3:
            raise interruption

    with pytest.raises(interruption):
        write_sessions(tmp_path / "out", plan(), progress=stop_in_the_second_session)

    assert list(tmp_path.iterdir()) == []


def test_a_simulation_of_no_days_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        write_sessions(tmp_path / "out", plan(days=0))

    assert list(tmp_path.iterdir()) == []
