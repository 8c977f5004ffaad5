"""`ifd quality show` and `release`: what was found before, as people and programs read it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from cli.main import app
from models.base import make_engine
from models.database import upgrade
from models.validations import store_validation
from tests.checks import failed_check

NOW_NS = 1_791_207_000_000_000_000


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    upgrade(sqlite_url)
    made = make_engine(sqlite_url)
    yield made
    made.dispose()


def store(engine: Engine, **changes: object) -> None:
    facts: dict[str, object] = {
        "checked_ns": NOW_NS,
        "session_date": "2026-10-05",
        "batch": "1-133000.dbn.zst",
        "elements": 45,
        "unexpected": 2,
        "observed": "instrument_id 7",
    }
    store_validation(engine, [failed_check(**(facts | changes))], now_ns=NOW_NS, channel=None)


def invoke(url: str, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["quality", *arguments, "--database", url])
    return done.exit_code, done.stdout


def test_a_failed_check_is_shown_first_and_is_a_failure(engine: Engine, sqlite_url: str) -> None:
    store(engine, suite="bars", check_name="bars_match_trades", success=True)
    store(engine)

    code, told = invoke(sqlite_url, "show")

    assert code == 1
    assert told.index("sizes_are_positive") < told.index("bars_match_trades")
    assert "nq, session 2026-10-05, checked 2026-10-05 09:30:00.000: 1 failed" in told
    assert "alerts are held since 2026-10-05 09:30:00.000: sizes_are_positive" in told


def test_a_session_that_is_well_is_none(engine: Engine, sqlite_url: str) -> None:
    store(engine, success=True)

    code, told = invoke(sqlite_url, "show")

    assert code == 0
    assert "all passed" in told


def test_what_was_not_made_is_shown_as_such(engine: Engine, sqlite_url: str) -> None:
    store(engine, severity="info", suite="provider", error="not made: no historical source")

    code, told = invoke(sqlite_url, "show")

    assert code == 0
    assert "not made" in told


def test_programs_read_results_and_what_is_held(engine: Engine, sqlite_url: str) -> None:
    store(engine)

    code, told = invoke(sqlite_url, "show", "--json")

    report = json.loads(told)
    assert code == 1
    assert (report["shard"], report["session_date"]) == ("nq", "2026-10-05")
    assert (report["held_since_ns"], report["held_for"]) == (NOW_NS, ["sizes_are_positive"])
    assert [row["check_name"] for row in report["results"]] == ["sizes_are_positive"]


def test_an_operator_lets_a_session_go(engine: Engine, sqlite_url: str) -> None:
    store(engine)

    code, told = invoke(
        sqlite_url, "release", "--session", "2026-10-05", "--reason", "a known print"
    )

    assert code == 0
    assert told == "released orders, 1-133000.dbn.zst: sizes_are_positive\n"
    assert json.loads(invoke(sqlite_url, "show", "--json")[1])["held_since_ns"] is None


def test_nothing_checked_yet_is_said(engine: Engine, sqlite_url: str) -> None:
    assert invoke(sqlite_url, "show") == (
        0,
        "no session of shard nq was checked yet: ifd quality run\n",
    )
