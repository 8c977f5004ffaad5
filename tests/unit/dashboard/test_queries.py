from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Engine
from sqlmodel import Session

from dashboard import queries
from ifd.units import NANOS_PER_SECOND


def ids(signals: list[dict[str, Any]]) -> list[int]:
    return [signal["id"] for signal in signals]


def test_signals_come_newest_first_and_in_pages(engine: Engine, market: Any) -> None:
    for confidence in (0.6, 0.95, 0.7, 0.9):
        market.signal(confidence=confidence)

    with Session(engine) as session:
        newest = queries.recent_signals(session, limit=2)
        older = queries.recent_signals(session, limit=9, before=newest[-1]["id"])
        sure = queries.recent_signals(session, limit=9, min_confidence=0.9)

    assert ids(newest) == [4, 3]
    assert ids(older) == [2, 1]
    assert [signal["confidence"] for signal in sure] == [0.9, 0.95]


def test_a_signal_shows_the_contract_and_how_it_was_delivered(engine: Engine, market: Any) -> None:
    signal_id = market.signal(baseline_zscore=None, volume=2**40)

    with Session(engine) as session:
        found = queries.find_signal(session, signal_id)

    assert found is not None
    assert found["baseline_zscore"] is None
    assert found["volume"] == 2**40
    assert found["why"][1] == "swept <4> levels"
    assert found["factors"] == {"volume": 0.6, "sweep": 0.25, "makers": 0.15}
    assert {"id", "run_id", "source", "late", "received_ns", "committed_ns"} <= found.keys()


def test_an_unknown_signal_is_none(engine: Engine, market: Any) -> None:
    with Session(engine) as session:
        assert queries.find_signal(session, "ffffffffffffffff") is None


def test_bars_are_in_points_and_seconds_oldest_first(engine: Engine, market: Any) -> None:
    for minute in (10, 0, 5):
        market.bar(minute)

    with Session(engine) as session:
        future = queries.lead_future(session)
        bars = queries.recent_bars(session, future, interval_s=300, limit=2)

    assert [bar["start_s"] for bar in bars] == [1_763_994_900, 1_763_995_200]
    assert bars[0]["close"] == 17_005.25
    assert bars[0]["interval_s"] == 300


def test_the_future_that_trades_most_in_the_latest_session_is_drawn(
    engine: Engine, market: Any
) -> None:
    market.bar(raw_symbol="NQZ5", instrument_id=1, volume=900)
    market.bar(raw_symbol="NQH6", instrument_id=2, volume=100)
    market.bar(raw_symbol="NQU5", instrument_id=3, volume=5_000, session_date="2025-11-21")

    with Session(engine) as session:
        lead = queries.lead_future(session)

    assert lead is not None
    assert lead.raw_symbol == "NQZ5"


def test_a_rival_must_trade_twice_as_much_to_take_the_chart(engine: Engine, market: Any) -> None:
    market.bar(raw_symbol="NQZ5", instrument_id=1, volume=100)
    with Session(engine) as session:
        held = queries.lead_future(session)

    market.bar(raw_symbol="NQH6", instrument_id=2, volume=150)
    with Session(engine) as session:
        assert queries.lead_future(session, held).raw_symbol == "NQZ5"  # type: ignore[union-attr]

    market.bar(raw_symbol="NQH6", instrument_id=2, volume=250)
    with Session(engine) as session:
        assert queries.lead_future(session, held).raw_symbol == "NQH6"  # type: ignore[union-attr]


def test_bars_of_an_id_that_had_another_name_are_not_mixed_in(engine: Engine, market: Any) -> None:
    market.bar(0, raw_symbol="NQU5", session_date="2025-09-01")
    market.bar(5, raw_symbol="NQZ5")

    with Session(engine) as session:
        bars = queries.recent_bars(session, queries.lead_future(session), interval_s=300, limit=9)

    assert [bar["raw_symbol"] for bar in bars] == ["NQZ5"]


def test_the_streams_health_is_not_another_components(engine: Engine, market: Any) -> None:
    market.health(queue_depth=3)
    market.health("alerts", pending=1)

    with Session(engine) as session:
        health = queries.newest_health(session)

    assert health is not None
    assert health["metrics"] == {"queue_depth": 3}


def test_a_page_of_an_empty_database_starts_with_nothing(engine: Engine) -> None:
    assert queries.snapshot(engine) == {
        "future": None,
        "bars": [],
        "signals": [],
        "run": None,
        "health": None,
    }


def test_a_snapshot_holds_both_intervals_and_the_newest_run(engine: Engine, market: Any) -> None:
    market.bar(0)
    market.bar(0, interval_ns=60 * NANOS_PER_SECOND)
    market.signal()
    market.run(status="drained")
    market.run(status="streaming")

    snapshot = queries.snapshot(engine)

    assert sorted(bar["interval_s"] for bar in snapshot["bars"]) == [60, 300]
    assert snapshot["future"] == {"raw_symbol": "NQZ5"}
    assert snapshot["run"]["status"] == "streaming"
    assert len(snapshot["signals"]) == 1
