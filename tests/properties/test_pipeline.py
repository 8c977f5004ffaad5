"""What holds of every stream, hostile ones included: cuts, stops and the plainest book agree."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ifd.params import DetectionParams, EngineParams, WindowParams
from ifd.pipeline import Output, Pipeline
from ifd.records import F_LAST, F_SNAPSHOT, MBO_DTYPE, RTYPE_MBO, MboArray
from ifd.reference.order_book import OrderBook
from ifd.reference.tape import Market
from ifd.units import NANOS_PER_SECOND, UNDEFINED_PRICE
from ifd.windows import Bar
from tests.properties.streams import (
    CALL,
    FUTURE,
    LISTED,
    OPEN_NS,
    POINT,
    PUT,
    SPREAD,
    STRANGER,
    cut,
    streams,
)

PARAMS = EngineParams(
    windows=WindowParams(
        length_ns=NANOS_PER_SECOND,
        lengths_ns=(NANOS_PER_SECOND,),
        bar_intervals_ns=(NANOS_PER_SECOND, 3 * NANOS_PER_SECOND),
    ),
    # Eager, so that a few records make signals.
    detection=DetectionParams(min_confidence=0.05, min_volume=3, cooldown_ns=NANOS_PER_SECOND),
)
MANY = settings(max_examples=100, deadline=None)


def fresh() -> Pipeline:
    pipeline = Pipeline(PARAMS)
    pipeline.define(LISTED)
    return pipeline


def together(outputs: list[Output]) -> tuple[Any, ...]:
    """Return what a reader of all outputs knows: every fact in order, every bar's last state."""
    newest: dict[tuple[int, int, int], Bar] = {}
    for output in outputs:
        for bar in output.bars:
            newest[bar.instrument_id, bar.interval_ns, bar.start_ns] = bar
    return (
        [signal for output in outputs for signal in output.signals],
        [window for output in outputs for window in output.windows],
        [bar for output in outputs for bar in output.bars if bar.closed],
        sorted(newest.items()),
    )


def run(pipeline: Pipeline, parts: list[MboArray]) -> tuple[Any, ...]:
    outputs = [pipeline.update(part) for part in parts]
    return together([*outputs, pipeline.finish()])


@MANY
@given(streams(), st.lists(st.integers(min_value=0, max_value=60), max_size=6))
def test_the_result_does_not_depend_on_how_the_stream_is_cut(
    records: MboArray, points: list[int]
) -> None:
    whole, parts = fresh(), fresh()

    assert run(whole, [records]) == run(parts, cut(records, points))
    assert whole.counters == parts.counters


@MANY
@given(streams(), st.integers(min_value=0, max_value=60))
def test_stopping_and_going_on_changes_nothing(records: MboArray, point: int) -> None:
    first, second = cut(records, [point])
    straight = fresh()
    expected = run(straight, [first, second])

    stopped = fresh()
    before = stopped.update(first)
    resumed = Pipeline(PARAMS)
    resumed.restore(stopped.snapshot())
    found = together([before, resumed.update(second), resumed.finish()])

    assert found == expected
    assert resumed.counters == straight.counters


@MANY
@given(streams())
def test_records_are_only_read(records: MboArray) -> None:
    before = records.tobytes()
    records.flags.writeable = False

    run(fresh(), [records])

    assert records.tobytes() == before


@MANY
@given(streams())
def test_every_sided_lot_of_a_defined_instrument_is_in_exactly_one_window(
    records: MboArray,
) -> None:
    _, windows, _, _ = run(fresh(), [records])

    is_flow = (records["action"] == ord("T")) & (records["flags"] & F_SNAPSHOT == 0)
    for side, name in ((ord("B"), "buy_volume"), (ord("A"), "sell_volume")):
        counted = is_flow & (records["side"] == side) & (records["instrument_id"] != STRANGER)
        assert sum(getattr(window, name) for window in windows) == records["size"][counted].sum()


@MANY
@given(streams())
def test_windows_of_one_instrument_follow_each_other_and_are_aligned(records: MboArray) -> None:
    _, windows, _, _ = run(fresh(), [records])

    ends: dict[int, int] = {}
    for window in windows:
        assert window.window_start % PARAMS.windows.length_ns == 0
        assert window.window_start >= ends.get(window.instrument_id, 0)
        ends[window.instrument_id] = window.window_end


class PlainBook:
    """Every order in one list, in order of arrival at its price; all else is searched for."""

    def __init__(self) -> None:
        self.orders: list[list[Any]] = []  # id, side, price, size
        self.unknown = 0
        self.snapshot = ""

    def apply(self, action: str, side: str, key: int, price: int, size: int, flags: int) -> None:
        self._enter(flags)
        known = [order for order in self.orders if order[0] == key]
        places = side in "BA" and price != UNDEFINED_PRICE
        if action == "R":
            self.orders.clear()
        elif action == "F":
            self.unknown += not known
        elif action == "C":
            self.unknown += not known
            for order in known:
                order[3] -= size
        elif action == "A" and places:
            self.orders = [order for order in self.orders if order[0] != key]
            self.orders.append([key, side, price, size])
        elif action == "M":
            self.unknown += not known
            if known and price != UNDEFINED_PRICE:
                (order,) = known
                after = [key, side if side in "BA" else order[1], price, size]
                keeps = after[1:3] == order[1:3] and size <= order[3]
                if keeps:
                    order[3] = size
                else:
                    self.orders.remove(order)
                    self.orders.append(after)
            elif not known and places:
                self.orders.append([key, side, price, size])
        self.orders = [order for order in self.orders if order[3] > 0]

    def _enter(self, flags: int) -> None:
        if flags & F_SNAPSHOT:
            if not self.snapshot:
                self.orders.clear()
            self.snapshot = "ended" if flags & F_LAST else "running"
        elif self.snapshot == "ended":
            self.snapshot = ""

    def best(self, side: str) -> tuple[int, int, int] | None:
        resting = [order for order in self.orders if order[1] == side]
        if not resting:
            return None
        price = (max if side == "B" else min)(order[2] for order in resting)
        sizes = [order[3] for order in resting if order[2] == price]
        return price, sum(sizes), len(sizes)

    def queue(self, side: str, price: int) -> list[tuple[int, int]]:
        return [(o[0], o[3]) for o in self.orders if o[1] == side and o[2] == price]


@MANY
@given(streams())
def test_the_book_agrees_with_the_plainest_one_after_every_record(records: MboArray) -> None:
    book, plain = OrderBook(), PlainBook()

    for record in records.tolist():
        row = dict(zip(MBO_DTYPE.names or (), record, strict=True))
        order = row["order_id"], row["price"], row["size"], row["flags"]
        book.apply(row["action"], row["side"], *order)
        plain.apply(chr(row["action"]), chr(row["side"]), *order)

        assert book.best_bid() == plain.best("B")
        assert book.best_ask() == plain.best("A")
        for side in "BA":
            for price in {found[2] for found in plain.orders}:
                assert book.queue(ord(side), price) == plain.queue(side, price)
        assert len(book.orders) == len(plain.orders)
        assert book.unknown_orders == plain.unknown


@MANY
@given(streams())
def test_every_level_adds_up(records: MboArray) -> None:
    market = Market()
    market.update(records)

    for tracked in market.instruments.values():
        for side in (tracked.book.bids, tracked.book.asks):
            for price, level in side.levels.items():
                assert level.size == sum(order.size for order in level.orders.values()) > 0
                assert all(order.price == price for order in level.orders.values())
        assert sum(
            len(level.orders)
            for side in (tracked.book.bids, tracked.book.asks)
            for level in side.levels.values()
        ) == len(tracked.book.orders)


@pytest.mark.parametrize("seed", range(3))
def test_signals_come_out_of_a_long_hostile_stream_the_same_in_any_cut(seed: int) -> None:
    """A stream long enough for many windows, signals, cool-downs and a change of session."""
    rng = random.Random(seed)
    rows = []
    now = OPEN_NS
    for number in range(4_000):
        now += rng.choice([0, 1_000_000, 20_000_000, 90_000_000, -30_000_000])
        if number == 3_000:
            now += 24 * 3_600 * NANOS_PER_SECOND
        key = rng.choice([FUTURE, CALL, CALL, PUT, PUT, SPREAD, STRANGER])
        price, size = (100 + rng.randint(-3, 3)) * POINT, rng.randint(0, 30)
        action, side = rng.choice("AAAAMCCTTFN"), rng.choice("BAN" if number % 7 else "B")
        flag = rng.choice([F_LAST, F_LAST, F_LAST, 0])
        rows.append(
            (
                *(14, RTYPE_MBO, 1, key, now, rng.randint(0, 40), price, size, flag, 0),
                *(ord(action), ord(side), now + 50_000, 0, number),
            )
        )
    records = np.array(rows, dtype=MBO_DTYPE)
    expected = run(fresh(), [records])
    assert len(expected[0]) > 20

    for size in (1, 7, 1_000):
        assert run(fresh(), np.split(records, range(size, len(records), size))) == expected
