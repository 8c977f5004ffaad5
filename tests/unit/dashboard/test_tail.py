from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from dashboard import tail as tail_module
from dashboard.tail import Tail
from ifd.units import NANOS_PER_SECOND


@pytest.fixture
def tail(engine: Engine) -> Iterator[Tail]:
    tail = Tail(engine)
    yield tail
    tail.close()


def ids(tail: Tail) -> list[int]:
    return [signal["id"] for signal in tail.look().signals]


def test_signals_from_before_the_first_look_belong_to_the_snapshot(tail: Tail, market: Any) -> None:
    market.signal()

    assert ids(tail) == []
    assert ids(tail) == []


def test_each_signal_is_given_once_and_in_order(tail: Tail, market: Any) -> None:
    tail.look()
    for _ in range(3):
        market.signal()

    assert ids(tail) == [1, 2, 3]
    assert ids(tail) == []

    market.signal()

    assert ids(tail) == [4]


def test_more_signals_than_one_look_takes_are_given_by_the_next(
    tail: Tail, market: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "_SIGNALS_AT_ONCE", 2)
    tail.look()
    for _ in range(3):
        market.signal()

    assert ids(tail) == [1, 2]
    assert ids(tail) == [3]


@pytest.mark.integration
def test_a_signal_committed_after_one_with_a_higher_id_is_not_lost(
    postgres_url: str, make_signal: Any
) -> None:
    """PostgreSQL hands out ids before the commit, so two writers may commit them out of order."""
    from models.base import make_engine
    from models.database import upgrade
    from models.signals import SignalRow

    upgrade(postgres_url)
    engine = make_engine(postgres_url)
    tail = Tail(engine)
    tail.look()

    def insert(row_id: int) -> None:
        row = SignalRow.from_signal(
            make_signal(signal_id=f"{row_id:016x}"), source="live", committed_ns=1
        )
        with engine.begin() as connection:
            connection.execute(sa.insert(SignalRow), row.model_dump() | {"id": row_id})

    insert(5)
    assert ids(tail) == [5]
    insert(3)
    assert ids(tail) == [3]
    insert(6)
    insert(4)
    assert ids(tail) == [4, 6]
    assert ids(tail) == []
    tail.close()
    engine.dispose()


def test_a_bar_is_given_again_only_when_it_moved(tail: Tail, market: Any) -> None:
    market.bar()
    assert tail.look().lead_changed
    market.bar(volume=150)

    assert [bar["volume"] for bar in tail.look().bars] == [150]

    market.signal()

    assert tail.look().bars == []

    market.bar(volume=151)

    assert [bar["volume"] for bar in tail.look().bars] == [151]


def test_a_bar_written_with_a_slightly_older_clock_is_not_missed(tail: Tail, market: Any) -> None:
    market.bar(5)
    tail.look()

    market.bar(
        4,
        interval_ns=60 * NANOS_PER_SECOND,
        updated_ns=(1_763_994_600 + 5 * 60 - 1) * NANOS_PER_SECOND,
    )

    assert [bar["interval_s"] for bar in tail.look().bars] == [60]


def test_bars_of_other_futures_are_left_out(tail: Tail, market: Any) -> None:
    market.bar(volume=1_000)
    tail.look()

    market.bar(instrument_id=2, raw_symbol="NQH6", volume=10)
    market.bar(volume=1_001)

    assert {bar["raw_symbol"] for bar in tail.look().bars} == {"NQZ5"}


def test_a_new_lead_future_is_noticed(
    tail: Tail, market: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "LEAD_SECONDS", 0.0)
    market.bar(volume=10)
    assert tail.look().lead_changed
    market.bar(volume=11)
    assert not tail.look().lead_changed

    market.bar(instrument_id=2, raw_symbol="NQH6", volume=500)

    assert tail.look().lead_changed
    assert tail.lead is not None
    assert tail.lead.raw_symbol == "NQH6"


def test_run_and_health_are_given_when_they_changed(tail: Tail, market: Any) -> None:
    market.run(records=5)
    market.health(queue_depth=1)

    first, second = tail.look(), tail.look()
    market.health(queue_depth=2)
    third = tail.look()

    assert first.run is not None
    assert first.run["records"] == 5
    assert (second.run, second.health) == (None, None)
    assert third.run is None
    assert third.health is not None
    assert third.health["metrics"] == {"queue_depth": 2}


def test_nothing_is_lost_while_the_database_is_away(tail: Tail, market: Any) -> None:
    """A table that is gone for a moment stands for any outage: the read fails half-way."""
    tail.look()
    market.execute("ALTER TABLE health_sample RENAME TO away")
    market.signal()
    for _ in range(2):
        with pytest.raises(sa.exc.DBAPIError):
            tail.look()

    market.execute("ALTER TABLE away RENAME TO health_sample")

    assert ids(tail) == [1]
    assert ids(tail) == []


def test_held_alerts_are_told_until_they_are_let_go(tail: Tail, market: Any) -> None:
    market.signal()
    assert tail.look().held is None

    market.quarantine()

    told = "Data checks failed, alerts are held: nq 2025-11-24 (sizes_are_positive)."
    assert str(tail.look().held).startswith(told)
    assert str(tail.look().held).startswith(told)

    market.execute("update quarantine set active_batch = null")

    assert tail.look().held is None
