"""`ifd book`, `ifd replay` and `ifd baselines` over files, as a person uses them."""

from __future__ import annotations

import csv
import datetime as dt
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from cli import baselines, books
from ifd.errors import (
    ConfigurationError,
    CorruptFileError,
    DatabaseError,
    EnvironmentProblemError,
    InputError,
    UnsupportedDataError,
)
from ifd.signals import Signal
from simulator.market import MarketParams
from simulator.session_files import SessionPlan, write_sessions

BBO_HEADER = "ts_recv,instrument_id,bid_px,bid_sz,bid_ct,ask_px,ask_sz,ask_ct"
SUMMARY = {
    "instrument_id",
    "records",
    "events",
    "orders",
    "bid_levels",
    "ask_levels",
    "best_bid",
    "best_ask",
    "unknown_cancels",
    "unknown_modifies",
    "unknown_fills",
    "crossed_events",
    "buy_volume",
    "sell_volume",
    "unsided_volume",
    "complete",
}

app = typer.Typer()
app.command()(books.book)
app.command()(books.replay)
app.add_typer(baselines.app, name="baselines")


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four short simulated days, with a sweep a minute."""
    directory = tmp_path_factory.mktemp("simulated") / "days"
    plan = SessionPlan(
        days=4,
        seed=21,
        start_date=dt.date(2026, 10, 5),
        minutes=3,
        params=MarketParams(episode_seconds=45.0),
    )
    write_sessions(directory, plan)
    return directory


@pytest.fixture
def run(sqlite_url: str) -> Callable[..., Result]:
    def run(*arguments: object) -> Result:
        words = [str(word) for word in arguments]
        return CliRunner().invoke(app, [*words, "--database", sqlite_url], catch_exceptions=False)

    return run


@pytest.fixture
def days(sessions: Path) -> list[Path]:
    return sorted(sessions.glob("*.mbo.dbn.zst"))


@pytest.fixture
def definitions(sessions: Path) -> Path:
    return sessions / "definitions.dbn.zst"


def jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_book_gives_each_instruments_state_as_json(
    run: Callable[..., Result], days: list[Path]
) -> None:
    found = json.loads(run("book", days[0], "--json").stdout)

    assert len(found) > 40
    for one in found:
        assert set(one) == SUMMARY
        assert one["complete"]
        assert one["unknown_cancels"] == one["unknown_modifies"] == one["unknown_fills"] == 0
        assert len(one["best_bid"]) == len(one["best_ask"]) == 3
        assert one["best_bid"][0] < one["best_ask"][0]


def test_book_writes_one_row_of_best_prices_at_each_end_of_event(
    run: Callable[..., Result], days: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "bbo.csv"

    found = json.loads(run("book", days[0], "--bbo", out, "--json").stdout)

    lines = out.read_text().splitlines()
    assert lines[0] == BBO_HEADER
    assert len(lines) - 1 == sum(one["events"] for one in found)
    rows = list(csv.DictReader(lines))
    last = {int(row["instrument_id"]): row for row in rows}
    for one in found:
        row = last[one["instrument_id"]]
        assert [int(row[name]) for name in ("bid_px", "bid_sz", "bid_ct")] == one["best_bid"]
    # The first event of a session is the clear: both sides are empty.
    assert lines[1].endswith(",,,,,,")


def test_book_shows_a_table_to_a_person(run: Callable[..., Result], days: list[Path]) -> None:
    shown = run("book", days[0]).stdout

    assert "best bid" in shown
    assert "complete" in shown


@pytest.mark.parametrize("keep", [40, 5_000, 20_000])
def test_a_file_that_is_cut_short_leaves_no_half_written_output(
    run: Callable[..., Result], days: list[Path], definitions: Path, tmp_path: Path, keep: int
) -> None:
    broken = tmp_path / "broken.mbo.dbn.zst"
    broken.write_bytes(days[0].read_bytes()[:keep])
    out = tmp_path / "out"
    out.mkdir()

    with pytest.raises(CorruptFileError):
        run("book", broken, "--bbo", out / "bbo.csv")
    with pytest.raises(CorruptFileError):
        run("replay", broken, "--definitions", definitions, "--signals", out / "signals.jsonl")

    assert list(out.iterdir()) == []


def test_an_earlier_result_stays_when_a_run_fails(
    run: Callable[..., Result], days: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "bbo.csv"
    out.write_text("kept")

    with pytest.raises(InputError):
        run("book", days[0], tmp_path / "absent.dbn", "--bbo", out)

    assert out.read_text() == "kept"


def test_a_place_that_cannot_be_written_is_one_sentence(
    run: Callable[..., Result], days: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentProblemError, match="cannot be written"):
        run("book", days[0], "--bbo", tmp_path / "no such folder" / "bbo.csv")


def test_replay_finds_the_planted_sweeps(
    run: Callable[..., Result],
    sessions: Path,
    days: list[Path],
    definitions: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "signals.jsonl"

    result = run("replay", *days, "--definitions", definitions, "--signals", out, "--json")

    found = json.loads(result.stdout)
    signals = jsonl(out)
    assert found["signals"] == len(signals)
    assert found["records_per_second"] > 0
    assert found["peak_memory_bytes"] > 10**7
    assert (found["late_records"], found["undefined_records"], found["baselines"]) == (0, 0, 0)
    names = set(Signal.__dataclass_fields__)
    assert all(set(signal) == names for signal in signals)
    planted = {
        (leg["instrument_id"], leg["side"])
        for episode in json.loads((sessions / "labels.json").read_text())
        for leg in episode["legs"]
    }
    sure = {(s["instrument_id"], s["side"]) for s in signals if s["confidence"] >= 0.8}
    assert sure
    assert sure <= planted


def test_replay_gives_the_same_bytes_again(
    run: Callable[..., Result], days: list[Path], definitions: Path, tmp_path: Path
) -> None:
    for name in ("one.jsonl", "two.jsonl"):
        run("replay", days[0], "--definitions", definitions, "--signals", tmp_path / name)

    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


def test_replay_never_makes_a_database(
    run: Callable[..., Result], days: list[Path], definitions: Path, tmp_path: Path
) -> None:
    shown = run("replay", days[0], "--definitions", definitions, "--signals", tmp_path / "s.jsonl")

    assert not (tmp_path / "ifd.db").exists()
    assert "records/s" in shown.stdout
    assert "judged by its prior" in shown.stdout


def test_replay_without_definitions_in_the_file_says_so(
    run: Callable[..., Result], days: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedDataError, match="definition"):
        run("replay", days[0], "--definitions", days[0], "--signals", tmp_path / "s.jsonl")


def test_an_unknown_profile_is_one_sentence(
    run: Callable[..., Result], days: list[Path], definitions: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="no profile 'boldest'"):
        run("book", days[0], "--profile", "boldest")
    with pytest.raises(ConfigurationError, match="no profile 'boldest'"):
        run(
            *("replay", days[0], "--definitions", definitions),
            *("--signals", tmp_path / "s.jsonl", "--profile", "boldest"),
        )


def test_baselines_are_rebuilt_shown_and_used(
    run: Callable[..., Result], days: list[Path], definitions: Path, tmp_path: Path
) -> None:
    *past, today = days
    out = tmp_path / "signals.jsonl"

    made = json.loads(
        run("baselines", "rebuild", *past, "--definitions", definitions, "--json").stdout
    )
    assert made["sessions"] == ["2026-10-05", "2026-10-06", "2026-10-07"]
    assert made["rows"] > 100

    shown = run("baselines", "show", "all").stdout
    assert "signed_volume" in shown
    assert "09:30" in shown
    run("replay", today, "--definitions", definitions, "--signals", out)
    judged = [signal for signal in jsonl(out) if signal["baseline_zscore"] is not None]
    assert judged
    assert all(0.5 < signal["percentile_rank"] <= 1.0 for signal in judged)


def test_baselines_of_a_session_are_not_used_on_that_session(
    run: Callable[..., Result], days: list[Path], definitions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "signals.jsonl"
    run("baselines", "rebuild", *days, "--definitions", definitions)

    run("replay", days[-1], "--definitions", definitions, "--signals", out)

    assert all(signal["baseline_zscore"] is None for signal in jsonl(out))


def test_rebuilding_again_in_any_order_gives_the_same_rows(
    run: Callable[..., Result], days: list[Path], definitions: Path, tmp_path: Path
) -> None:
    def rows() -> list[Any]:
        with sqlite3.connect(tmp_path / "ifd.db") as database:
            columns = "key, metric, bucket, as_of, sessions, samples, median, mad, quantiles"
            found = database.execute(f"select {columns} from baseline order by 1, 2, 3").fetchall()
        database.close()
        return found

    run("baselines", "rebuild", *days, "--definitions", definitions)
    first = rows()
    run("baselines", "rebuild", *reversed(days), "--definitions", definitions)

    assert rows() == first


def test_a_rebuild_that_fails_keeps_what_was_there(
    run: Callable[..., Result], days: list[Path], definitions: Path, tmp_path: Path
) -> None:
    run("baselines", "rebuild", *days, "--definitions", definitions)
    before = run("baselines", "show", "all", "--json").stdout
    broken = tmp_path / "broken.mbo.dbn.zst"
    broken.write_bytes(days[0].read_bytes()[:20_000])

    with pytest.raises(CorruptFileError):
        run("baselines", "rebuild", broken, "--definitions", definitions)

    assert run("baselines", "show", "all", "--json").stdout == before


def test_showing_what_was_never_made_says_how_to_make_it(
    run: Callable[..., Result], days: list[Path], definitions: Path
) -> None:
    with pytest.raises(DatabaseError, match="ifd"):
        run("baselines", "show", "all")
    run("baselines", "rebuild", days[0], "--definitions", definitions)
    with pytest.raises(InputError, match="ifd baselines rebuild"):
        run("baselines", "show", "NQZ6 C99999")


def test_every_command_has_help_with_an_example() -> None:
    for words in (["book"], ["replay"], ["baselines", "rebuild"], ["baselines", "show"]):
        shown = CliRunner().invoke(app, [*words, "--help"])
        assert shown.exit_code == 0
        assert "Example: ifd" in shown.stdout
