"""Processes that book and tell at the same moment: each amount and each alarm is there once."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from config.settings import load_settings
from models.base import transaction
from models.money import BudgetAlarmRow, CostEntryRow
from models.operations import StreamRunRow
from models.signals import NoticeRow
from runtime.costs.report import cost_report

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

BOOKKEEPERS = Path(__file__).with_name("bookkeepers.py")
NOON_NS = 1_795_780_800_000_000_000
GIB = 2**30


def test_four_processes_book_every_date_and_every_byte_once_and_tell_once(
    migrated_url: str, engine: Engine
) -> None:
    with transaction(engine) as session:
        for _ in range(2):
            session.add(
                StreamRunRow(
                    shard="nq",
                    source="live",
                    profile="default",
                    params_fingerprint="f",
                    session_date="2026-11-27",
                    status="drained",
                    started_ns=NOON_NS - 1,
                    heartbeat_ns=NOON_NS,
                    ended_ns=NOON_NS,
                    bytes_by_schema={"mbo": 4 * GIB, "definition": GIB, "status": 0},
                )
            )

    done = subprocess.run(
        [sys.executable, str(BOOKKEEPERS), migrated_url],
        cwd=BOOKKEEPERS.parents[3],
        env={**os.environ, "PYTHONPATH": str(BOOKKEEPERS.parents[3])},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )

    assert done.returncode == 0, done.stderr
    with Session(engine) as session:
        entries = session.exec(select(CostEntryRow)).all()
        alarms = session.exec(select(BudgetAlarmRow)).all()
        notices = session.exec(select(NoticeRow.notice_key)).all()
    shares = [entry for entry in entries if entry.fingerprint == "subscription"]
    usage = [entry for entry in entries if entry.fingerprint != "subscription"]
    # 20 of 21 weekdays of November: 199 * 20 / 21; two runs of 4 GiB at 2.16 and one at 2.04.
    assert Counter(entry.day for entry in shares).most_common(1)[0][1] == 1
    assert sum(entry.committed_micro_dollars for entry in shares) == 189_523_809
    assert sorted(entry.committed_micro_dollars for entry in usage) == [
        2_040_000,
        2_040_000,
        8_640_000,
        8_640_000,
    ]
    # 30.84 of 25 in the day and 210.88 of 250 in the month.
    assert {(alarm.period, alarm.percent) for alarm in alarms} >= {
        ("2026-11-27", 100),
        ("2026-11", 80),
    }
    report = cost_report(load_settings(), engine, day="2026-11-27")
    assert report.month_micro_dollars == 189_523_809 + 2 * 10_680_000
    told = [f"budget-streaming-{alarm.period}-{alarm.percent}" for alarm in alarms]
    assert sorted(told) == sorted(notices)
