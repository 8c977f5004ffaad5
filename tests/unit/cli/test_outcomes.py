"""`ifd evaluate --outcomes`: stored sessions, measured once and scored together."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from typer.testing import CliRunner, Result

from cli.main import app
from ifd.errors import InputError
from ifd.signals import Signal
from ifd.units import NANOS_PER_MINUTE
from models.alerts import store_signals
from models.base import make_engine, transaction
from models.database import upgrade
from models.signals import SignalRow
from simulator.market.chain import moment_ns
from tests.scripted import Script


@pytest.fixture
def engine(sqlite_url: str) -> Engine:
    upgrade(sqlite_url)
    return make_engine(sqlite_url)


@pytest.fixture
def day(
    engine: Engine, make_signal: Callable[..., Signal], tmp_path: Path
) -> Callable[[int], Path]:
    """Store a signal at ten o'clock of a day in October, whose option gains a point in a minute."""

    def store(number: int) -> Path:
        script = Script(dt.date(2026, 10, number))
        ten_ns = moment_ns(script.date, dt.time(10))
        for minute, mid in ((0, 10.0), (1, 11.0)):
            at_ns = ten_ns + minute * NANOS_PER_MINUTE - 1
            script.quote(script.option.instrument_id, at_ns, mid)
            script.quote(script.future.instrument_id, at_ns, 25_000.0)
        path = tmp_path / f"{number}.dbn.zst"
        script.archive(engine, path, (ten_ns, ten_ns + 2 * NANOS_PER_MINUTE))
        signal = make_signal(
            signal_id=f"{number:016}",
            session_date=script.date.isoformat(),
            ts_event=ten_ns,
            instrument_id=script.option.instrument_id,
            underlying=script.future.raw_symbol,
        )
        with transaction(engine) as session:
            store_signals(session, [SignalRow.from_signal(signal, source="live", committed_ns=1)])
        return path

    return store


def evaluate(sqlite_url: str, out: Path, *options: str) -> Result:
    given = ["evaluate", "--outcomes", "--database", sqlite_url, "--out", str(out), *options]
    return CliRunner().invoke(app, given)


def test_what_is_stored_is_measured_once_and_scored_together(
    sqlite_url: str, day: Callable[[int], Path], tmp_path: Path
) -> None:
    day(5)
    day(6)

    first = json.loads(evaluate(sqlite_url, tmp_path, "--json").stdout)
    again = json.loads(evaluate(sqlite_url, tmp_path, "--json").stdout)

    assert first["sessions"] == again["sessions"] == ["2026-10-05", "2026-10-06"]
    assert [each["session_date"] for each in first["measured"]] == first["sessions"]
    assert again["measured"] == []
    assert again["scores"] == first["scores"]
    score = first["scores"][0]
    assert (score["subject"], score["horizon_minutes"], score["signals"]) == ("option", 1, 2)
    assert (score["known"], score["move"], score["right"]) == (2, 1.0, 1.0)
    assert json.loads((tmp_path / "outcomes.json").read_text()) == again
    assert (tmp_path / "outcomes.png").read_bytes().startswith(b"\x89PNG")


def test_one_session_is_measured_anew_and_shown_alone(
    sqlite_url: str, day: Callable[[int], Path], tmp_path: Path
) -> None:
    day(5)
    day(6)
    evaluate(sqlite_url, tmp_path)

    shown = evaluate(sqlite_url, tmp_path, "--session", "2026-10-06")

    assert shown.exit_code == 0
    assert "1 sessions, 1 of them replayed now" in shown.stdout
    assert "+1.00" in shown.stdout


def test_a_session_whose_archive_was_moved_away_is_named(
    sqlite_url: str, day: Callable[[int], Path], tmp_path: Path
) -> None:
    day(5)
    gone = day(6)
    gone.unlink()

    found = json.loads(evaluate(sqlite_url, tmp_path, "--json").stdout)

    assert found["sessions"] == ["2026-10-05"]
    assert found["left_out"] == [
        f"the archive of nq on 2026-10-06 is not on this disk: {gone} is missing"
    ]


def test_without_signals_there_is_nothing_to_show(
    sqlite_url: str, engine: Engine, tmp_path: Path
) -> None:
    found = evaluate(sqlite_url, tmp_path)

    assert isinstance(found.exception, InputError)
    assert "no signal is stored" in str(found.exception)
    assert list(tmp_path.glob("outcomes.*")) == []


def test_a_day_that_is_no_session_is_said_to_be_none(
    sqlite_url: str, engine: Engine, make_signal: Callable[..., Signal], tmp_path: Path
) -> None:
    signal = make_signal(
        session_date="2026-10-04", ts_event=moment_ns(dt.date(2026, 10, 4), dt.time(10))
    )
    with transaction(engine) as session:
        store_signals(session, [SignalRow.from_signal(signal, source="live", committed_ns=1)])

    found = evaluate(sqlite_url, tmp_path, "--session", "2026-10-04")

    assert isinstance(found.exception, InputError)
    assert "2026-10-04 has no cash session" in str(found.exception)
