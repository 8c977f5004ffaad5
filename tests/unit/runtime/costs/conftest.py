"""Settings with a price, a database, and entries of the ledger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from config.settings import Settings, load_settings
from ifd.units import ns_from_datetime
from models.base import make_engine, transaction
from models.database import upgrade
from models.money import CostEntryRow
from models.operations import StreamRunRow

SettingsOf = Callable[..., Settings]
Spend = Callable[..., None]
Run = Callable[..., int]


@pytest.fixture
def ledger_url(sqlite_url: str) -> str:
    """URL of a migrated, empty database; a module may take one of either kind instead."""
    upgrade(sqlite_url)
    return sqlite_url


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    made = make_engine(ledger_url)
    yield made
    made.dispose()


@pytest.fixture
def settings_of(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> SettingsOf:
    """Settings in force; keywords name `SECTION__KEY`."""

    def make(**changes: Any) -> Settings:
        monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-of-a-test")
        monkeypatch.setenv("SLACK_CHANNEL", "#desk")
        for name, value in changes.items():
            monkeypatch.setenv(f"IFD_{name.upper()}", str(value))
        return load_settings(database_url=ledger_url)

    return make


@pytest.fixture
def spend(engine: Engine) -> Spend:
    """Put an entry into the ledger."""

    def put(kind: str, day: str, micro_dollars: int, symbols: str = "NQ.OPT", **more: Any) -> None:
        with transaction(engine) as session:
            facts = {"state": "settled", "fingerprint": f"{kind}{day}", "reserved_ns": 0}
            session.add(
                CostEntryRow(
                    kind=kind,
                    day=day,
                    symbols=symbols,
                    quoted_micro_dollars=micro_dollars,
                    committed_micro_dollars=micro_dollars,
                    **(facts | more),
                )
            )

    return put


@pytest.fixture
def run(engine: Engine) -> Run:
    """Store a stream's run; keywords change it."""

    def put(beat: dt.datetime, shard: str = "nq", **changes: Any) -> int:
        with transaction(engine) as session:
            facts = {
                "shard": shard,
                "active_shard": shard,
                "source": "live",
                "profile": "default",
                "params_fingerprint": "f",
                "session_date": f"{beat:%Y-%m-%d}",
                "status": "streaming",
                "started_ns": ns_from_datetime(beat) - 3_600 * 10**9,
                "heartbeat_ns": ns_from_datetime(beat),
            }
            row = StreamRunRow(**(facts | changes))
            session.add(row)
            session.flush()
            assert row.id is not None
            return row.id

    return put


@pytest.fixture
def entries(engine: Engine) -> Callable[[], list[CostEntryRow]]:
    """Read the ledger."""

    def read() -> list[CostEntryRow]:
        with Session(engine, expire_on_commit=False) as session:
            query = select(CostEntryRow).order_by(col(CostEntryRow.day), col(CostEntryRow.id))
            return list(session.exec(query))

    return read
