"""Sixteen processes and one budget: together they never commit more than the cap."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, func, select

from models.caps import committed
from models.money import BudgetAlarmRow, CostEntryRow
from models.signals import NoticeRow

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

CROWD = Path(__file__).with_name("crowd.py")
NOON_NS = 1_795_780_800_000_000_000
CAP = 16_000_000


def spent(engine: Engine) -> int:
    with Session(engine) as session:
        return committed(session, "backfill", now_ns=NOON_NS).day_micro_dollars


def crowd(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CROWD), url, str(CAP)],
        cwd=CROWD.parents[3],
        env={**os.environ, "PYTHONPATH": str(CROWD.parents[3])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_sixteen_processes_together_spend_up_to_the_cap_and_no_more(
    migrated_url: str, engine: Engine
) -> None:
    with crowd(migrated_url) as processes:
        out, err = processes.communicate(timeout=90)

    purchases = [line.split() for line in out.splitlines()]
    assert processes.returncode == 0, err
    assert len({pid for pid, _ in purchases}) > 8
    assert spent(engine) == sum(int(cost) for _, cost in purchases)
    assert CAP - 400_000 < spent(engine) <= CAP
    with Session(engine) as session:
        assert set(session.exec(select(CostEntryRow.state))) == {"settled"}
        alarms = session.exec(select(BudgetAlarmRow.percent).order_by(BudgetAlarmRow.percent)).all()
        notices = session.exec(select(NoticeRow.notice_key)).all()
    assert alarms == [80, 100]
    assert sorted(notices) == [f"budget-backfill-2026-11-27-{percent}" for percent in (100, 80)]


def test_a_process_killed_before_it_settles_leaves_its_money_committed(
    migrated_url: str, engine: Engine
) -> None:
    killed: set[int] = set()
    bought = 0
    with crowd(migrated_url) as processes:
        assert processes.stdout is not None
        assert processes.stderr is not None
        for line in processes.stdout:
            pid, cost = map(int, line.split())
            bought += cost
            if pid not in killed and len(killed) < 12:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
                assert spent(engine) <= CAP
        err = processes.stderr.read()

    assert processes.returncode == 0, err
    assert len(killed) == 12
    assert bought <= spent(engine) <= CAP
    with Session(engine) as session:
        orphans = session.exec(
            select(func.count()).where(col(CostEntryRow.state) == "reserved")
        ).one()
    assert 1 <= orphans <= 12
