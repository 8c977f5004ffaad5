"""What is wrong with a day is found by a named check, and a clean day is left alone."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import databento_dbn as dbn
import numpy as np
import pytest
from sqlmodel import Session, select
from typer.testing import CliRunner

from cli.main import app
from config.settings import ROOT_DIR
from ifd.errors import NothingArchivedError
from ifd.records import ASK, BID, MboArray
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND, PRICE_SCALE
from models.base import transaction
from models.operations import HealthSampleRow, StreamRunRow
from models.quality import QualityResultRow
from models.signals import AlertOutboxRow, NoticeRow
from runtime.quality.recent import stream_batch
from runtime.quality.session import SessionBatches
from tests.quality_day import (
    DATE,
    END_NS,
    OPEN_NS,
    Definitions,
    Plant,
    QualityDay,
    clean_records,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

Clean = tuple[MboArray, Definitions]


@pytest.fixture(scope="module")
def clean() -> Clean:
    return clean_records()


@pytest.fixture
def untouched(clean: Clean, tmp_path: Path) -> QualityDay:
    return QualityDay(tmp_path, *clean)


def check(day: QualityDay, *suites: str) -> list[QualityResultRow]:
    """Make the checks of some suites, or all; those of the session and of its running stream."""
    # Here and below: collecting the tests must not load the library.
    from tasks.quality.validator import Validator

    now_ns = day.clock.now_ns()
    validator = Validator(
        day.settings.quality,
        validation_id="v",
        shard="nq",
        session_date=DATE,
        checked_ns=now_ns,
    )
    made = [
        stream_batch(day.engine, day.settings, run_of(day), now_ns=now_ns),
        *SessionBatches(day.settings, day.engine, DATE, clock=day.clock).make(),
    ]
    chosen = [batch for batch in made if not suites or batch.suite in suites]
    found = [row for batch in chosen for row in validator.validate(batch)]
    assert [row.error for row in found if row.error and row.severity != "info"] == []
    return found


def run_of(day: QualityDay) -> StreamRunRow:
    with Session(day.engine) as session:
        return session.get_one(StreamRunRow, day.run_id)


def failed(results: list[QualityResultRow], severity: str = "critical") -> set[str]:
    return {
        f"{row.suite}: {row.check_name}"
        for row in results
        if not row.success and row.severity == severity
    }


def duplicate_chunk(records: MboArray, definitions: Definitions) -> Clean:
    return np.concatenate([records[:20_000], records[15_000:]]), definitions


def shift_event_clock(records: MboArray, definitions: Definitions) -> Clean:
    shifted = records.copy()
    shifted["ts_event"][20_000:25_000] += 5 * NANOS_PER_SECOND
    return shifted, definitions


def shift_capture_clock(records: MboArray, definitions: Definitions) -> Clean:
    shifted = records.copy()
    shifted["ts_recv"] += 5 * NANOS_PER_SECOND
    return shifted, definitions


def lose_a_definition(records: MboArray, definitions: Definitions) -> Clean:
    return records, definitions[:-1]


def swap_sides_of_trades(records: MboArray, definitions: Definitions) -> Clean:
    swapped = records.copy()
    trades = records["action"] == ord("T")
    swapped["side"][trades] = other_side(records["side"][trades])
    return swapped, definitions


def swap_all_sides(records: MboArray, definitions: Definitions) -> Clean:
    swapped = records.copy()
    swapped["side"] = other_side(records["side"])
    return swapped, definitions


def other_side(sides: np.ndarray) -> np.ndarray:
    return np.where(np.isin(sides, (BID, ASK)), BID + ASK - sides, sides)


def zero_sizes(records: MboArray, definitions: Definitions) -> Clean:
    zeroed = records.copy()
    zeroed["size"][20_000:20_020] = 0
    return zeroed, definitions


def move_a_strike(records: MboArray, definitions: Definitions) -> Clean:
    option = definitions[10]
    octets = bytes(option)
    was = struct.pack("<q", option.strike_price)
    assert octets.count(was) == 1
    moved = octets.replace(was, struct.pack("<q", option.strike_price + 7 * PRICE_SCALE))
    decoder = dbn.DBNDecoder(has_metadata=False)
    decoder.write(moved)
    (message,) = decoder.decode()
    return records, [*definitions[:10], message, *definitions[11:]]


def silence_the_future(records: MboArray, definitions: Definitions) -> Clean:
    future = definitions[0].instrument_id
    late = records["ts_event"] > OPEN_NS + 4 * NANOS_PER_MINUTE
    return records[~(late & (records["instrument_id"] == future))], definitions


RECORD_FAULTS: dict[str, tuple[Plant, str]] = {
    "duplicated chunk": (duplicate_chunk, "orders: no_order_comes_twice"),
    "shifted clock of events": (shift_event_clock, "archive: capture_follows_event"),
    "shifted clock of captures": (shift_capture_clock, "archive: capture_is_prompt"),
    "missing definitions": (lose_a_definition, "orders: every_instrument_is_defined"),
    "swapped sides of trades": (swap_sides_of_trades, "orders: fills_rest_on_the_other_side"),
    "swapped sides of everything": (swap_all_sides, "archive: books_are_not_crossed"),
    "zeroed sizes": (zero_sizes, "orders: sizes_are_positive"),
    "a strike off grid": (move_a_strike, "instruments: strikes_lie_on_the_grid"),
    "stale future": (silence_the_future, "coverage: the_future_is_never_stale"),
}


def change(statement: str) -> Callable[[QualityDay], None]:
    def plant(day: QualityDay) -> None:
        assert day.execute(statement) == 1

    return plant


def of_one_row(table: str, setting: str) -> Callable[[QualityDay], None]:
    where = {"pressure_window": "buy_volume > 0 and window_end - window_start = 60000000000"}
    chosen = f"select rowid from {table} where {where.get(table, 'true')} limit 1"
    return change(f"update {table} set {setting} where rowid = ({chosen})")


def damage_a_file(day: QualityDay) -> None:
    (path,) = day.settings.archive.directory.rglob("*.dbn.zst")
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 0xFF
    path.write_bytes(octets)


def lose_a_file(day: QualityDay) -> None:
    (path,) = day.settings.archive.directory.rglob("*.dbn.zst")
    path.unlink()


def send_late(day: QualityDay) -> None:
    with transaction(day.engine) as session:
        for second in range(5):
            metrics = {"lag_ms": 4_000.0, "records_per_s": 100.0, "caught_up": True}
            session.add(
                HealthSampleRow(
                    ts_ns=END_NS - second, component="stream", run_id=day.run_id, metrics=metrics
                )
            )


def break_a_baseline(day: QualityDay) -> None:
    fingerprint = day.settings.engine_params().baseline_fingerprint()
    day.execute(
        "insert into baseline (key, metric, bucket, params_fingerprint, as_of, sessions, samples,"
        f" median, mad, quantiles, computed_ns) values ('all', 'total_volume', 1, '{fingerprint}',"
        f" '{DATE}', 5, 50, 1.0, -2.0, '[1.0, 2.0]', 1)"
    )


STORED_FAULTS: dict[str, tuple[Callable[[QualityDay], None], str]] = {
    "negative window volume": (
        of_one_row("pressure_window", "buy_volume = -5"),
        "windows: volumes_are_not_negative",
    ),
    "negative window volume, just now": (
        of_one_row("pressure_window", "cancels = -1"),
        "stream: recent_volumes_are_not_negative",
    ),
    "windows that do not match trades": (
        of_one_row("pressure_window", "buy_volume = buy_volume + 1"),
        "flow: windows_match_trades",
    ),
    "a window off its grid": (
        of_one_row("pressure_window", "window_end = window_end + 1"),
        "windows: windows_lie_on_their_grid",
    ),
    "bars that do not match trades": (
        of_one_row("bar", "volume = volume + 1"),
        "bars: bars_match_trades",
    ),
    "a bar whose high is its lowest": (
        of_one_row("bar", "high = low - 1"),
        "bars: bars_are_possible",
    ),
    "an impossible baseline": (break_a_baseline, "baselines: statistics_are_possible"),
    "a confidence of 140 %": (
        of_one_row("signal", "confidence = 1.4"),
        "signals: probabilities_are_shares",
    ),
    "a signal of an unlisted option": (
        of_one_row("signal", "instrument_id = 1"),
        "signals: signals_are_of_listed_options",
    ),
    "a damaged file": (damage_a_file, "archive: files_are_as_catalogued"),
    "a lost file": (lose_a_file, "archive: files_are_as_catalogued"),
    "a session that was mostly not received": (
        change(f"update coverage set end_ns = {OPEN_NS + NANOS_PER_MINUTE}"),
        "coverage: half_of_the_session_is_covered",
    ),
    "a feed that comes late": (send_late, "stream: clocks_agree"),
    "a stream that does not beat": (
        change(f"update stream_run set heartbeat_ns = {OPEN_NS}"),
        "stream: the_stream_is_alive",
    ),
    "stale future, just now": (
        lambda day: day.clock.advance_to(END_NS + 200 * NANOS_PER_SECOND),
        "stream: the_future_is_fresh",
    ),
}


def test_a_clean_day_raises_nothing(untouched: QualityDay) -> None:
    found = check(untouched)

    assert [row for row in found if not row.success and row.severity != "info"] == []
    assert {row.suite for row in found if row.severity == "info"} == {"baselines", "provider"}
    assert len(found) > 40


@pytest.mark.parametrize("name", RECORD_FAULTS)
def test_a_fault_in_the_records_is_found_by_its_check(
    name: str, clean: Clean, tmp_path: Path
) -> None:
    plant, expected = RECORD_FAULTS[name]

    found = check(QualityDay(tmp_path, *plant(*clean)), expected.partition(":")[0])

    assert expected in failed(found)


@pytest.mark.parametrize("name", STORED_FAULTS)
def test_a_fault_in_what_is_stored_is_found_by_its_check(name: str, untouched: QualityDay) -> None:
    plant, expected = STORED_FAULTS[name]
    plant(untouched)

    found = check(untouched, expected.partition(":")[0])

    assert expected in failed(found)


def test_the_page_has_every_fault_and_its_check() -> None:
    page = (ROOT_DIR / "docs" / "quality.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| ([^|`]+) \| `(\w+)` \| `(\w+)` \|$", page, flags=re.MULTILINE)

    planted = {**RECORD_FAULTS, **STORED_FAULTS}
    assert {fault: f"{suite}: {name}" for fault, suite, name in table} == {
        fault: expected for fault, (_plant, expected) in planted.items()
    }


def test_windows_stored_under_the_parameters_of_their_run_are_compared(
    untouched: QualityDay,
) -> None:
    # Somebody has changed the profile since.
    of_run = run_of(untouched).params_fingerprint
    assert untouched.execute(f"update pressure_window set params_fingerprint = '{of_run}'") > 300

    found = check(untouched, "flow", "windows")

    assert failed(found) == set()
    assert min(row.elements or 0 for row in found) > 40


def test_the_command_shows_what_failed_holds_alerts_and_writes_data_docs(
    untouched: QualityDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IFD_ARCHIVE__DIRECTORY", str(untouched.settings.archive.directory))
    monkeypatch.setenv(
        "IFD_QUALITY__DOCS_DIRECTORY", str(untouched.settings.quality.docs_directory)
    )
    monkeypatch.setenv("IFD_FEED__PARENTS", json.dumps(untouched.settings.feed.parents))
    monkeypatch.setenv("IFD_SESSION__HOURS", "always")
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "http://127.0.0.1:9/nobody-reads-it")
    change("update bar set volume = volume + 1 where rowid = 1")(untouched)
    arguments = ["quality", "--json", "--database", untouched.settings.database_url]

    done = CliRunner().invoke(app, arguments)

    report = json.loads(done.stdout)
    assert done.exit_code == 1, done.stdout
    wrong = [row for row in report["results"] if not row["success"] and row["severity"] != "info"]
    assert [row["check_name"] for row in wrong] == ["bars_match_trades"]
    assert "volume" in wrong[0]["observed"]
    assert report["held_for"] == ["bars_match_trades"]
    (docs,) = untouched.settings.quality.docs_directory.glob(f"{DATE}-nq-*/index.html")
    assert "bars" in docs.read_text(encoding="utf-8")
    with Session(untouched.engine) as session:
        notices = session.exec(select(NoticeRow)).all()
        owed = session.exec(select(AlertOutboxRow).where(AlertOutboxRow.kind == "notice")).all()
    assert [notice.title for notice in notices] == [f"Quality: alerts of nq {DATE} are held"]
    assert [one.channel for one in owed] == ["webhook"]


def test_a_session_that_was_never_archived_is_not_checked(untouched: QualityDay) -> None:
    never = SessionBatches(
        untouched.settings, untouched.engine, "2020-01-06", clock=untouched.clock
    )

    with pytest.raises(NothingArchivedError, match="nothing of shard nq, 2020-01-06"):
        next(iter(never.make()))


def test_old_data_docs_are_deleted_and_young_ones_stay(tmp_path: Path) -> None:
    from tasks.quality.validator import prune_docs

    day_seconds = 86_400
    for name, age_days in (("2026-09-01-nq-163000", 31), ("2026-10-04-nq-163000", 1), ("mine", 90)):
        (tmp_path / name).mkdir()
        written = END_NS / NANOS_PER_SECOND - age_days * day_seconds
        os.utime(tmp_path / name, (written, written))

    assert prune_docs(tmp_path, now_ns=END_NS, keep_days=30) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"2026-10-04-nq-163000", "mine"}
