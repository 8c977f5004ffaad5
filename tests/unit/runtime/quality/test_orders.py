"""Measures of order records, on a hand-written market and on recorded exchange data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ifd.records import MBO_DTYPE, RTYPE_MBO, MboArray
from ifd.replay import read_mbo
from ifd.units import NANOS_PER_SECOND
from runtime.quality import orders
from runtime.quality.orders import BookMeasures, OrderMeasures, blocks_of, wrong_sides

NOW_NS = 1_791_207_000_000_000_000
TICK = 250_000_000


def record(action: str, side: str, **changes: int) -> tuple[int, ...]:
    facts = {
        "length": MBO_DTYPE.itemsize // 4,
        "rtype": RTYPE_MBO,
        "publisher_id": 1,
        "instrument_id": 7,
        "ts_event": NOW_NS,
        "order_id": 1,
        "price": 100 * TICK,
        "size": 5,
        "flags": 128,
        "channel_id": 0,
        "action": ord(action),
        "side": ord(side),
        "ts_recv": NOW_NS + 100_000,
        "ts_in_delta": 0,
        "sequence": 1,
    } | changes
    return tuple(facts[name] for name in MBO_DTYPE.names or ())


def records(*rows: tuple[int, ...]) -> MboArray:
    return np.array(list(rows), MBO_DTYPE)


def measured(block: MboArray, **steps: int) -> OrderMeasures:
    measures = OrderMeasures({7: TICK} | {int(k): v for k, v in steps.items()}, skew_ns=10**9)
    measures.add(block)
    return measures


def count(block: MboArray, fault: str) -> int:
    return int(measured(block).counts[fault].sum())


def test_a_buyer_who_meets_a_seller_is_well() -> None:
    assert not wrong_sides(records(record("T", "B"), record("F", "A"), record("C", "A"))).any()


def test_a_buyer_who_meets_a_buyer_is_not() -> None:
    found = wrong_sides(records(record("T", "B"), record("F", "A"), record("F", "B")))

    assert found.tolist() == [False, False, True]


@pytest.mark.parametrize(
    "later", [{"instrument_id": 8}, {"ts_event": NOW_NS + 1}], ids=["other instrument", "later"]
)
def test_a_fill_of_another_event_says_nothing_of_a_trade(later: dict[str, int]) -> None:
    assert not wrong_sides(records(record("T", "B"), record("F", "B", **later))).any()


def test_a_trade_of_no_side_says_nothing() -> None:
    assert not wrong_sides(records(record("T", "N"), record("F", "N"))).any()


def test_an_order_that_was_entered_twice_is_found_also_in_the_next_block() -> None:
    order = records(record("A", "B", order_id=5))
    measures = measured(order)

    measures.add(order)

    assert measures.counts["repeated"].tolist() == [1]
    assert measures.counts["records"].tolist() == [2]


def test_two_equal_fills_are_two() -> None:
    assert count(records(record("F", "A"), record("F", "A")), "repeated") == 0


def test_prices_are_held_against_the_step_of_their_instrument() -> None:
    off = record("A", "B", price=100 * TICK + 1)

    assert count(records(off), "off_tick") == 1
    assert count(records(record("A", "B", price=100 * TICK + 1, instrument_id=9)), "off_tick") == 0


def test_only_what_has_a_size_must_have_one() -> None:
    assert count(records(record("A", "B", size=0), record("N", "N", size=0)), "zero_sizes") == 1


def test_snapshots_are_not_measured() -> None:
    assert count(records(record("A", "B", size=0, flags=0x20 | 128)), "zero_sizes") == 0


def test_the_clock_of_a_file_is_told() -> None:
    late = NOW_NS + 5 * NANOS_PER_SECOND
    clock = measured(
        records(
            record("A", "B", ts_recv=NOW_NS + 3 * NANOS_PER_SECOND),
            record("A", "B", ts_event=late, ts_recv=late + 1),
            record("A", "B", ts_event=late + 10**9, ts_recv=late + 2),
            record("A", "B", ts_event=NOW_NS, ts_recv=NOW_NS + 2),
        )
    ).clock

    assert (clock.records, clock.early, clock.slow, clock.steps_back) == (4, 1, 1, 1)
    assert (clock.first_ns, clock.last_ns) == (NOW_NS + 3 * NANOS_PER_SECOND, late + 2)


def test_time_that_steps_back_between_two_blocks_is_noticed() -> None:
    measures = measured(records(record("A", "B", ts_recv=NOW_NS + 5 * NANOS_PER_SECOND)))

    measures.add(records(record("A", "B", ts_recv=NOW_NS)))

    assert measures.clock.steps_back == 1


def test_blocks_are_large_and_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "BLOCK_RECORDS", 3)
    arrays = [records(*[record("A", "B", order_id=n)] * 2) for n in range(4)]

    assert [len(block) for block in blocks_of(arrays)] == [4, 4]
    assert [len(block) for block in blocks_of(arrays[:3])] == [4, 2]


def test_recorded_exchange_data_raises_none_of_it(data_dir: Path) -> None:
    (path,) = (data_dir / "glbx" / "esm4_20240508").glob("orderbooks_mbo_*.dbn.zst")
    measures = OrderMeasures({}, skew_ns=NANOS_PER_SECOND)
    books = BookMeasures()
    ids = set()

    for block in blocks_of(read_mbo([path])):
        measures.add(block)
        books.add(block)
        ids |= set(block["instrument_id"].tolist())

    counts = measures.counts.sum()
    assert counts["records"] == 195
    assert counts["trades"] == 5
    assert counts[["zero_sizes", "off_tick", "repeated", "wrong_sides"]].tolist() == [0, 0, 0, 0]
    assert (measures.clock.early, measures.clock.slow, measures.clock.steps_back) == (0, 0, 0)
    assert books.take() == (0.0, 0.0)
    assert len(ids) == 1
