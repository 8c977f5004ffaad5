"""`ifd costs` as a person runs it, and as a program reads it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from ifd.clock import ManualClock
from ifd.errors import DatabaseError, InputError
from ifd.units import ns_from_datetime
from models.base import make_engine, transaction
from models.database import upgrade
from models.money import BackfillRequestRow, CostEntryRow

NOON_NS = ns_from_datetime(dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC))
MINUTE_NS = 60 * 10**9
Run = Callable[..., Result]


@pytest.fixture
def run(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command at noon of Wednesday 2026-11-25."""
    monkeypatch.setattr("ifd.clock.SystemClock", lambda: ManualClock(NOON_NS))
    monkeypatch.setenv("IFD_COSTS__SUBSCRIPTION_MONTHLY", "199")
    return lambda *arguments: CliRunner().invoke(
        app, ["costs", *arguments, "--database", sqlite_url]
    )


@pytest.fixture
def spent(sqlite_url: str) -> None:
    """A hole that was filled for 40 cents, and definitions of a day before."""
    upgrade(sqlite_url)
    engine = make_engine(sqlite_url)
    bought = {
        "state": "settled",
        "symbols": "NQ.OPT",
        "dbn_schema": "mbo",
        "start_ns": NOON_NS,
        "end_ns": NOON_NS + MINUTE_NS,
    }
    with transaction(engine) as session:
        session.add(
            BackfillRequestRow(
                shard="nq",
                session_date="2026-11-25",
                start_ns=NOON_NS + 2,
                end_ns=NOON_NS + MINUTE_NS,
                estimated_records=4_200,
                created_ns=0,
                updated_ns=0,
            )
        )
        session.add(
            CostEntryRow(
                kind="backfill",
                day="2026-11-25",
                fingerprint="a",
                quoted_micro_dollars=500_000,
                billed_micro_dollars=400_000,
                committed_micro_dollars=400_000,
                received_bytes=240_000,
                reserved_ns=NOON_NS,
                **bought,
            )
        )
        session.add(
            CostEntryRow(
                kind="definitions",
                day="2026-11-20",
                fingerprint="b",
                quoted_micro_dollars=7,
                committed_micro_dollars=7,
                reserved_ns=NOON_NS,
                **(bought | {"symbols": "ALL_SYMBOLS", "state": "reserved"}),
            )
        )
    engine.dispose()


@pytest.mark.usefixtures("spent")
def test_the_json_holds_the_ledger_to_the_micro_dollar(run: Run) -> None:
    told = json.loads(run("--ledger", "--json").stdout)

    assert (told["day"], told["month"], told["first_day"]) == (
        "2026-11-25",
        "2026-11",
        "2026-11-01",
    )
    kinds = {kind["kind"]: kind for kind in told["kinds"]}
    assert list(kinds) == ["streaming", "backfill", "history", "definitions"]
    assert kinds["backfill"]["day_micro_dollars"] == 400_000
    assert kinds["backfill"]["day_share"] == 0.02
    assert kinds["backfill"]["caps"] == {
        "daily_micro_dollars": 20_000_000,
        "monthly_micro_dollars": 200_000_000,
    }
    # 0.4 * 2 / 18 and 7e-6 * 2 / 18 are still to come, and the whole subscription.
    assert told["month_micro_dollars"] == 400_007
    assert told["projected_micro_dollars"] == 400_007 + 44_445 + 1 + 199_000_000
    assert (told["trading_days"], told["trading_days_left"]) == (20, 2)
    ledger = told["ledger"]
    assert [(one["state"], one["estimated_records"]) for one in ledger] == [
        ("reserved", None),
        ("settled", 4_200),
    ]
    assert ledger[1]["quoted_micro_dollars"] == 500_000
    assert ledger[1]["billed_micro_dollars"] == 400_000
    assert ledger[1]["received_bytes"] == 240_000


@pytest.mark.usefixtures("spent")
def test_people_see_sums_caps_and_the_ledger(run: Run) -> None:
    shown = run("--ledger")

    assert shown.exit_code == 0, shown.output
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert shown.stdout.startswith("2026-11-25: $0.40 (backfill $0.40); this week $0.40")
    assert "the live feed is a subscription of $199.00 a month" in shown.stdout
    assert ["backfill", "$0.40", "$20.00", "2", "%", "$0.40", "$0.40"] in [
        line[:7] for line in lines
    ]
    assert "~4,200 records" in shown.stdout
    assert "ALL_SYMBOLS" in shown.stdout


@pytest.mark.usefixtures("spent")
def test_what_a_used_up_budget_stops_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = json.loads(run("--json").stdout)["stopped"]
    monkeypatch.setenv("IFD_COSTS__LIVE", "usage")
    monkeypatch.setenv("IFD_BUDGET__STREAMING_DAILY", "0")
    monkeypatch.setenv("IFD_BUDGET__WHEN_STREAMING_SPENT", "stop")

    after = json.loads(run("--json").stdout)["stopped"]
    shown = run().stdout

    assert before == []
    assert [why.partition(" until ")[0] for why in after] == [
        "streams are stopped",
        "holes are not filled",
    ]
    assert all(why in shown for why in after)


@pytest.mark.usefixtures("spent")
def test_fewer_days_leave_out_what_was_before(run: Run) -> None:
    told = json.loads(run("--days", "3", "--json").stdout)

    assert told["first_day"] == "2026-11-23"
    assert [day["day"] for day in told["days"]] == ["2026-11-25"]
    assert told["month_micro_dollars"] == 400_007
    assert "ledger" not in told


@pytest.mark.usefixtures("spent")
def test_a_month_without_spending_says_so(run: Run) -> None:
    shown = run("--month", "2026-10")

    assert "2026-10-31: $0.00 (nothing was spent)" in shown.stdout
    assert "nothing was spent since 2026-10-01" in shown.stdout


def test_wrong_uses_are_told_apart(run: Run) -> None:
    both = run("--days", "3", "--month", "2026-10")
    coming = run("--month", "2026-12")
    nowhere = run()

    assert both.exit_code == 2
    assert isinstance(coming.exception, InputError)
    assert isinstance(nowhere.exception, DatabaseError)
