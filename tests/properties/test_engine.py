"""The compiled engine agrees with the one in plain Python, field by field, on hostile streams."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ifd.book import state as book_state
from ifd.params import WindowParams
from ifd.records import ASK, BID, F_LAST, MBO_DTYPE, RTYPE_MBO, MboArray
from ifd.reference.order_book import OrderBook
from ifd.reference.stage import ReferenceStage
from ifd.reference.tape import Market as ReferenceMarket
from ifd.tape import Market
from ifd.units import NANOS_PER_SECOND
from ifd.windows import InstrumentFlow
from ifd.windows import state as window_state
from ifd.windows.stage import WindowStage
from tests.properties.streams import LISTED, OPEN_NS, POINT, cut, instrument, streams

LENGTHS = tuple(n * NANOS_PER_SECOND for n in (1, 5, 10))
NESTED = WindowParams(
    length_ns=5 * NANOS_PER_SECOND,
    lengths_ns=LENGTHS,
    bar_intervals_ns=(NANOS_PER_SECOND, 3 * NANOS_PER_SECOND),
)


def told(stage: Any, parts: list[MboArray], *, wake_every_ns: int) -> list[Any]:
    """Return everything a reader of a stage learns, in order."""
    facts: list[Any] = []
    for part in parts:
        for event in stage.update(part):
            if isinstance(event, InstrumentFlow):
                # Now: the plain engine's windows go on filling.
                seen = dataclasses.asdict(event) | {"rows": event.rows.tolist()}
                facts.append((seen, stage.underlying_price(event.instrument)))
                stage.wake_at = event.event_ts + wake_every_ns
            else:
                facts.append(event)
    stage.finish()
    closed = list(stage.take_windows()), [bar for bar in stage.take_bars() if bar.closed]
    return [*facts, closed, stage.take_faults(), stage.counters]


@settings(max_examples=500, deadline=None)
@given(streams(), st.lists(st.integers(min_value=0, max_value=60), max_size=3))
def test_both_engines_tell_the_same(records: MboArray, points: list[int]) -> None:
    parts = cut(records, points)
    compiled, plain = WindowStage(NESTED), ReferenceStage(NESTED)
    compiled.define(LISTED)
    plain.define(LISTED)

    found = told(compiled, parts, wake_every_ns=NANOS_PER_SECOND)

    assert found == told(plain, [records], wake_every_ns=NANOS_PER_SECOND)
    for instrument_id, flow in plain.flows.items():
        assert_same_book(compiled.book(instrument_id), flow.book)
    assert_same_market(records, parts)


def assert_same_market(records: MboArray, parts: list[MboArray]) -> None:
    compiled, plain = Market(), ReferenceMarket()
    best = [row for part in parts for row in compiled.best_prices(part)]
    assert best == plain.update(records)
    assert {book.instrument_id for book in compiled.instruments()} == set(plain.instruments)
    for book in compiled.instruments():
        tracked = plain.instruments[book.instrument_id]
        for name in ("records", "events", "crossed_events"):
            assert getattr(book, name) == getattr(tracked, name)
        for name in ("buy_volume", "sell_volume", "unsided_volume", "trades"):
            assert getattr(book, name) == getattr(tracked.tape, name)
        assert_same_book(book, tracked.book)


@pytest.fixture
def small_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every array begin with next to nothing, so that it grows again and again."""
    for name, rows in (("ORDERS", 4), ("BUCKETS", 4), ("LEVELS", 16), ("BOOKS", 1)):
        monkeypatch.setattr(book_state, f"_FIRST_{name}", rows)
    monkeypatch.setattr(book_state, "_FAULT_ROWS", 2)
    monkeypatch.setattr(window_state, "_FIRST_FLOWS", 1)
    monkeypatch.setattr(window_state, "_SPARE_ROWS", 4)
    monkeypatch.setattr(window_state, "_BAR_ROWS", 4)


@pytest.mark.usefixtures("small_arrays")
@pytest.mark.parametrize("seed", range(4))
def test_growing_in_the_middle_of_a_stream_changes_nothing(seed: int) -> None:
    rng = random.Random(seed)
    listed = [*LISTED, *(instrument(key, "C", raw_symbol=f"C{key}") for key in range(100, 140))]
    rows: list[tuple[Any, ...]] = []
    stamp = OPEN_NS
    for number in range(6_000):
        stamp += rng.choice([0, 1_000_000, 200_000_000])
        key = rng.choice([1, 11, *range(100, 140)])
        price = (100 + rng.randint(-40, 40)) * POINT
        flags = rng.choice([F_LAST] * 20 + [F_LAST | 4, F_LAST | 40])
        rows.append(
            (
                *(14, RTYPE_MBO, 1, key, stamp, rng.randint(0, 90), price, rng.randint(0, 9)),
                *(flags, 0, ord(rng.choice("AAAAAAMMCT")), ord(rng.choice("BA"))),
                *(stamp + 50_000, 0, number),
            )
        )
    records = np.array(rows, dtype=MBO_DTYPE)
    compiled, plain = WindowStage(NESTED), ReferenceStage(NESTED)
    compiled.define(listed)
    plain.define(listed)

    found = told(compiled, [records], wake_every_ns=NANOS_PER_SECOND)

    assert found == told(plain, [records], wake_every_ns=NANOS_PER_SECOND)
    assert sum(len(flow.book.orders) for flow in plain.flows.values()) > 300
    for instrument_id, flow in plain.flows.items():
        assert_same_book(compiled.book(instrument_id), flow.book)


@pytest.mark.parametrize("seed", range(4))
def test_deep_and_drifting_books_hold_the_same(seed: int) -> None:
    """Hundreds of levels a side, in any order, and a market that wanders through its blocks."""
    rng = random.Random(seed)
    rows: list[tuple[Any, ...]] = []
    for number in range(6_000):
        action, order_id = rng.choice("AAAMC"), rng.randint(0, 1_500)
        middle = 10_000 + (number if seed % 2 else 0)
        side = rng.choice("BA")
        away = int(rng.expovariate(1 / 200.0))
        price = (middle + (away if side == "A" else -away)) * POINT
        stamp = OPEN_NS + number * 1_000_000
        rows.append(
            (
                *(14, RTYPE_MBO, 1, 7, stamp, order_id, price, rng.randint(0, 20), F_LAST, 0),
                *(ord(action), ord(side), stamp + 50_000, 0, number),
            )
        )
    records = np.array(rows, dtype=MBO_DTYPE)
    compiled, plain = Market(), ReferenceMarket()

    assert compiled.best_prices(records) == plain.update(records)

    (book,) = compiled.instruments()
    assert book.bid_levels + book.ask_levels > 400
    assert_same_book(book, plain.instruments[7].book)


def assert_same_book(book: Any, plain: OrderBook) -> None:
    for name in ("complete", "unknown_cancels", "unknown_modifies", "unknown_fills"):
        assert getattr(book, name) == getattr(plain, name)
    assert (book.orders, book.malformed_records) == (len(plain.orders), plain.malformed_records)
    for side, plain_side in ((BID, plain.bids), (ASK, plain.asks)):
        levels = book.levels(side)
        assert {level.price: level.size for level in levels} == {
            price: level.size for price, level in plain_side.levels.items()
        }
        assert [level[:2] for level in levels] == plain_side.first_levels(len(levels))
        for level in levels:
            queue = book.queue(side, level.price)
            assert queue == plain.queue(side, level.price)
            assert len(queue) == level.orders
