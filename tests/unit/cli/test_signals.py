"""Reading signals and bringing a database up to date, from the command line."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli import database, signals
from ifd.clock import ManualClock
from ifd.errors import DatabaseError, InputError, NewerDatabaseError
from ifd.params import EngineParams
from ifd.signals import Side, Signal
from ifd.windows import WINDOW_COLUMNS
from models import alerts
from models.base import make_engine, transaction
from models.database import upgrade
from models.market import BaselineRow, PressureWindowRow
from models.migrations import head
from models.signals import SignalRow
from sinks.tables import store_params

SECOND_NS = 10**9
CONTRACT_KEYS = {
    "signal_id",
    "ts_event",
    "instrument_id",
    "raw_symbol",
    "underlying",
    "expiration",
    "strike",
    "right",
    "side",
    "pattern",
    "confidence",
    "tier",
    "action",
    "pressure_ratio",
    "baseline_zscore",
    "percentile_rank",
    "market_making_probability",
    "coordination",
    "volume",
    "window_start",
    "window_end",
    "risk_score",
    "position_size_multiplier",
    "why",
    "profile",
    "model_version",
}


@pytest.fixture
def run(sqlite_url: str) -> Callable[..., Result]:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(
            signals.app, [*arguments, "--database", sqlite_url], catch_exceptions=False
        )

    return run


@pytest.fixture
def stored(sqlite_url: str, make_signal: Callable[..., Signal]) -> list[Signal]:
    """Three signals of two sessions, the middle one a seller of little confidence."""
    made = [
        make_signal(signal_id="aaaa000000000001"),
        make_signal(
            signal_id="aaaa000000000002",
            ts_event=make_signal().ts_event + 60 * SECOND_NS,
            side=Side.SELL,
            confidence=0.62,
            baseline_zscore=None,
            percentile_rank=None,
        ),
        make_signal(
            signal_id="bbbb000000000003",
            ts_event=make_signal().ts_event + 86_400 * SECOND_NS,
            session_date="2025-11-25",
        ),
    ]
    upgrade(sqlite_url)
    engine = make_engine(sqlite_url)
    with transaction(engine) as session:
        for signal in reversed(made):
            row = SignalRow.from_signal(signal, source="simulated", committed_ns=1)
            alerts.store_signals(session, [row])
    engine.dispose()
    return made


def test_signals_are_listed_newest_first(run: Callable[..., Result], stored: list[Signal]) -> None:
    lines = run("list").stdout.splitlines()

    assert [line.split()[-1] for line in lines[1:]] == [s.signal_id for s in reversed(stored)]
    assert lines[0].startswith("time (ET)")
    assert "2025-11-24 11:00:00.123  NQZ5 17100C 28-Nov  BUY" in lines[3]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--session", "2025-11-24"], ["2", "1"]),
        (["--min-confidence", "0.8"], ["3", "1"]),
        (["--side", "sell"], ["2"]),
        (["--limit", "1"], ["3"]),
        (["--session", "2025-11-25", "--side", "SELL"], []),
    ],
)
def test_a_list_can_be_narrowed(
    run: Callable[..., Result], options: list[str], expected: list[str]
) -> None:
    found = json.loads(run("list", "--json", *options).stdout)

    assert [signal["signal_id"][-1] for signal in found] == expected


@pytest.mark.usefixtures("stored")
def test_nothing_found_is_said(run: Callable[..., Result]) -> None:
    said = run("list", "--session", "2020-01-01").stdout

    assert said.startswith("no such signal is stored")


def test_a_listed_signal_keeps_the_contract(
    run: Callable[..., Result], stored: list[Signal]
) -> None:
    (found,) = json.loads(run("list", "--json", "--limit", "1").stdout)

    assert found == stored[2].to_json()
    assert set(found) >= CONTRACT_KEYS


@pytest.mark.parametrize(
    "wrong", [["--session", "yesterday"], ["--min-confidence", "1.5"], ["--side", "HOLD"]]
)
def test_a_wrong_filter_is_a_usage_error(run: Callable[..., Result], wrong: list[str]) -> None:
    result = run("list", *wrong)

    assert result.exit_code == 2
    assert wrong[0] in result.output


@pytest.mark.usefixtures("stored")
def test_the_beginning_of_an_id_is_enough(run: Callable[..., Result]) -> None:
    shown = run("show", "bb").stdout

    assert "signal_id                  bbbb000000000003" in shown
    assert "why  swept <4> levels" in shown
    assert json.loads(run("show", "bb", "--json").stdout)["source"] == "simulated"


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("name", "reason"), [("aa", "more than one"), ("%", "there is no"), ("", "there is no")]
)
def test_an_id_that_names_no_single_signal_is_refused(
    run: Callable[..., Result], name: str, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        run("show", name)


def test_a_signal_is_explained_from_what_is_stored(
    run: Callable[..., Result], sqlite_url: str, make_signal: Callable[..., Signal]
) -> None:
    upgrade(sqlite_url)
    engine = make_engine(sqlite_url)
    params = EngineParams()
    signal = make_signal(params_fingerprint=store_params(engine, params, clock=ManualClock(1)))
    window = {name: 3 for name in WINDOW_COLUMNS if name not in ("start", "end")}
    with transaction(engine) as session:
        row = SignalRow.from_signal(signal, source="simulated", committed_ns=1, late=True)
        alerts.queue_alerts(session, alerts.store_signals(session, [row]), "#alerts", now_ns=1)
        session.add(
            PressureWindowRow(
                **window | {"buy_volume": 332, "mid_open": None, "mid_close": 52_250_000_000},
                instrument_id=signal.instrument_id,
                window_start=signal.window_start,
                window_end=signal.window_end,
                params_fingerprint=signal.params_fingerprint,
                session_date=signal.session_date,
                raw_symbol=signal.raw_symbol,
            )
        )
        session.add(
            BaselineRow(
                key=signal.raw_symbol,
                metric="signed_volume",
                bucket=21,  # 10:30 to 11:00 in New York
                params_fingerprint=params.baseline_fingerprint(),
                as_of="2025-11-21",
                sessions=20,
                samples=600,
                median=4.0,
                mad=2.5,
                quantiles=[],
                computed_ns=1,
            )
        )
    engine.dispose()

    said = run("explain", signal.signal_id).stdout
    given = json.loads(run("explain", signal.signal_id, "--json").stdout)

    for words in (
        "BUY NQZ5 17100C 28-Nov · 95 % (EXTREME) · STRONG BUY · sweep",
        "SIMULATED market, no real order behind it · found late, while catching up",
        "  • 312 lots bought & 20 sold in 60 s",
        "  volume  0.6",
        "  bought 332 lots in 3 trades",
        "mid none → 52.25",
        "  z +6.40, stronger than 99.8 % of the past",
        "QN4X5 C17100  signed_volume  2025-11-21  20",
        "  detection.min_volume               20",
        "  #alerts: pending, attempts 0",
    ):
        assert words in said
    assert given["window"]["buy_volume"] == 332
    assert given["baselines"][0]["median"] == 4.0
    assert given["params"]["detection"]["min_volume"] == 20
    assert given["alerts"][0]["state"] == "pending"


@pytest.mark.usefixtures("stored")
def test_what_is_not_stored_is_admitted(run: Callable[..., Result]) -> None:
    said = run("explain", "aaaa000000000002").stdout

    assert "its closed window is not stored" in said
    assert "none yet when it was found" in said
    assert "are not stored" in said
    assert "none was owed" in said


def test_an_export_holds_whole_signals_in_order(
    run: Callable[..., Result], stored: list[Signal], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"

    result = run("export", str(out))

    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        signal.to_json() for signal in stored
    ]
    assert result.stdout == f"3 signals written to {out}\n"
    assert [path.name for path in tmp_path.glob("*out*")] == ["out.jsonl"]


def test_a_spreadsheet_gets_one_row_a_signal(
    run: Callable[..., Result], stored: list[Signal], tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"

    given = json.loads(run("export", str(out), "--side", "BUY", "--json").stdout)

    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert given == {"file": str(out), "signals": 2}
    assert [row["signal_id"] for row in rows] == [stored[0].signal_id, stored[2].signal_id]
    assert rows[0]["ts_event"] == str(stored[0].ts_event)
    assert json.loads(rows[0]["why"]) == list(stored[0].why)


@pytest.mark.usefixtures("stored")
def test_an_export_to_nowhere_leaves_nothing(run: Callable[..., Result], tmp_path: Path) -> None:
    from ifd.errors import EnvironmentProblemError

    with pytest.raises(EnvironmentProblemError, match="cannot be written: No such file"):
        run("export", str(tmp_path / "absent" / "out.jsonl"))
    assert run("export", str(tmp_path / "out.xlsx")).exit_code == 2
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    "command", [["list"], ["show", "a"], ["explain", "a"], ["export", "out.jsonl"]]
)
def test_reading_never_creates_a_database(
    run: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(DatabaseError, match="there is no database"):
        run(*command)
    assert list(tmp_path.iterdir()) == []


def test_an_upgrade_says_from_where_to_where(sqlite_url: str) -> None:
    def upgrade_by_hand(*options: str) -> str:
        return (
            CliRunner().invoke(database.app, ["upgrade", "--database", sqlite_url, *options]).stdout
        )

    assert upgrade_by_hand() == f"{sqlite_url} was migrated from revision none to {head()}\n"
    assert upgrade_by_hand() == f"{sqlite_url} is current, at revision {head()}\n"
    assert json.loads(upgrade_by_hand("--json")) == {
        "database": sqlite_url,
        "before": head(),
        "after": head(),
    }


def test_a_newer_database_is_not_read(run: Callable[..., Result], sqlite_url: str) -> None:
    upgrade(sqlite_url)
    engine = make_engine(sqlite_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()

    with pytest.raises(NewerDatabaseError, match="update this checkout"):
        run("list")
