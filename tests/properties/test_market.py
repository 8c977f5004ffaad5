"""What holds of every simulated market: a level-3 book accepts all of it, and the labels are true.

The book here is the plainest that could work, and shares no code with the matching engine.
"""

from __future__ import annotations

import datetime as dt
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ifd.records import F_LAST, F_SNAPSHOT, MBO_DTYPE, MboArray
from ifd.units import NANOS_PER_SECOND, UNDEFINED_PRICE
from simulator.market import Market, MarketParams, list_chain
from simulator.market.chain import moment_ns

DATE = dt.date(2026, 10, 5)
OPEN_NS = moment_ns(DATE, dt.time(9, 30))
CHAIN = list_chain(DATE, strikes=11)
TICK = 250_000_000
SEEDS = st.integers(min_value=0, max_value=2**32)
FEW = settings(max_examples=8, deadline=None)


def simulate(seed: int, seconds: int, **params: Any) -> tuple[MboArray, Market]:
    market = Market(seed, OPEN_NS, CHAIN, MarketParams(**params))
    return market.advance(OPEN_NS + seconds * NANOS_PER_SECOND), market


def events(records: MboArray) -> Iterator[list[dict[str, int]]]:
    """Split one instrument's records where its events end."""
    event: list[dict[str, int]] = []
    for row in records.tolist():
        event.append(dict(zip(MBO_DTYPE.names or (), row, strict=True)))
        if event[-1]["flags"] & F_LAST:
            yield event
            event = []
    assert not event, "the stream ends between two events"


class PlainBook:
    """Orders as a list in order of priority; everything else is looked up in it."""

    def __init__(self) -> None:
        self.orders: list[dict[str, int]] = []

    def index(self, order_id: int) -> int:
        places = [i for i, order in enumerate(self.orders) if order["order_id"] == order_id]
        assert len(places) == 1, f"order {order_id} is known {len(places)} times"
        return places[0]

    def apply(self, record: dict[str, int]) -> None:
        action = chr(record["action"])
        if action == "A":
            assert all(order["order_id"] != record["order_id"] for order in self.orders)
            self.orders.append(dict(record))
        elif action == "C":
            order = self.orders.pop(self.index(record["order_id"]))
            assert (order["price"], order["size"]) == (record["price"], record["size"])
        elif action == "M":
            place = self.index(record["order_id"])
            order = self.orders[place]
            assert order["side"] == record["side"]
            if order["price"] == record["price"] and record["size"] <= order["size"]:
                order["size"] = record["size"]
            else:
                del self.orders[place]
                self.orders.append(dict(record))

    def first(self, side: str) -> dict[str, int] | None:
        """The order that is filled next: best price, then earliest."""
        resting = [order for order in self.orders if chr(order["side"]) == side]
        if not resting:
            return None
        best = max if side == "B" else min
        price = best(order["price"] for order in resting)
        return next(order for order in resting if order["price"] == price)

    def is_crossed(self) -> bool:
        bid, ask = self.first("B"), self.first("A")
        return bid is not None and ask is not None and bid["price"] >= ask["price"]


def check_trade(event: list[dict[str, int]], book: PlainBook) -> None:
    """A trade event is: per price a trade and its fills; then what they leave of each order."""
    resting = PlainBook()
    resting.orders = [dict(order) for order in book.orders]
    outcome = event[:]
    fills: list[tuple[int, int]] = []
    while outcome[0]["action"] == ord("T"):
        trade = outcome.pop(0)
        traded = 0
        while outcome[0]["action"] == ord("F"):
            fill = outcome.pop(0)
            first = resting.first(chr(fill["side"]))
            assert first is not None
            assert fill["side"] != trade["side"]
            assert fill["price"] == trade["price"]
            assert (first["order_id"], first["price"]) == (fill["order_id"], fill["price"])
            first["size"] -= fill["size"]
            assert first["size"] >= 0
            if first["size"] == 0:
                resting.orders.remove(first)
            traded += fill["size"]
            fills.append((fill["order_id"], fill["size"]))
        assert traded == trade["size"]
    assert [record["order_id"] for record in outcome] == [order_id for order_id, _ in fills]
    for record, (_, size) in zip(outcome, fills, strict=True):
        before = book.orders[book.index(record["order_id"])]["size"]
        if chr(record["action"]) == "C":
            assert size == before == record["size"]
        else:
            assert chr(record["action"]) == "M"
            # Filled whole and there again: the next slice of an iceberg.
            assert record["size"] == before - size > 0 or (size == before and record["size"] > 0)


@FEW
@given(SEEDS)
def test_a_plain_book_accepts_every_record_and_is_never_crossed(seed: int) -> None:
    records, _ = simulate(seed, 40, records_per_second=150.0, episode_seconds=8.0)

    for contract in CHAIN.contracts:
        book = PlainBook()
        own = records[records["instrument_id"] == contract.instrument_id]
        first, *later = events(own)

        assert [chr(record["action"]) for record in first] == ["R"]
        assert first[0]["price"] == UNDEFINED_PRICE
        for event in later:
            if event[0]["action"] == ord("T"):
                check_trade(event, book)
            assert not any(record["flags"] & F_SNAPSHOT for record in event)
            for record in event:
                book.apply(record)
            assert not book.is_crossed()
        assert book.orders, "somebody quotes every instrument"


@FEW
@given(SEEDS, st.lists(st.integers(min_value=0, max_value=20 * NANOS_PER_SECOND), max_size=6))
def test_how_the_stream_is_cut_changes_nothing(seed: int, cuts: list[int]) -> None:
    whole, _ = simulate(seed, 20, episode_seconds=6.0)
    market = Market(seed, OPEN_NS, CHAIN, MarketParams(episode_seconds=6.0))

    parts = [market.advance(OPEN_NS + cut) for cut in [*cuts, 20 * NANOS_PER_SECOND]]

    assert np.concatenate(parts).tobytes() == whole.tobytes()


@FEW
@given(SEEDS)
def test_time_and_sequence_never_run_back(seed: int) -> None:
    records, _ = simulate(seed, 30, episode_seconds=10.0)

    ts_event, ts_recv = (records[name].astype(np.int64) for name in ("ts_event", "ts_recv"))
    assert (np.diff(ts_event) >= 0).all()
    assert (np.diff(ts_recv) >= 0).all()
    assert (np.diff(records["sequence"].astype(np.int64)) >= 0).all()
    assert (ts_recv - ts_event).min() > 100_000
    # Clears and opening orders come in one burst; after it capture follows within a millisecond.
    assert (ts_recv - ts_event)[2_000:].max() < 1_000_000
    assert (records["ts_in_delta"] > 0).all()


@FEW
@given(SEEDS)
def test_every_event_belongs_to_one_instrument_and_one_moment(seed: int) -> None:
    records, _ = simulate(seed, 20, episode_seconds=5.0)

    assert records["flags"][-1] & F_LAST
    closed = np.flatnonzero(records["flags"] & F_LAST)
    for start, end in zip([0, *(closed[:-1] + 1)], closed, strict=True):
        event = records[start : end + 1]
        assert len(set(event["instrument_id"].tolist())) == 1
        assert len(set(event["ts_event"].tolist())) == 1


@FEW
@given(SEEDS)
def test_prices_lie_on_the_tick_and_sizes_are_whole_lots(seed: int) -> None:
    records, _ = simulate(seed, 20)

    priced = records[records["action"] != ord("R")]
    assert (priced["price"] > 0).all()
    assert (priced["price"] % TICK == 0).all()
    assert (priced["size"] > 0).all()


@FEW
@given(SEEDS)
def test_a_label_is_exactly_what_was_traded(seed: int) -> None:
    records, market = simulate(seed, 900, records_per_second=40.0, episode_seconds=60.0)
    trades = records[records["action"] == ord("T")]

    assert market.labels
    for label in (each for each in market.labels if each.institutional):
        inside = (trades["ts_event"] >= label.start_ns) & (trades["ts_event"] <= label.end_ns)
        # An iceberg waits for others to trade against it; all other institutions trade themselves.
        aggressor = {"BUY": ord("B"), "SELL": ord("A")}
        if label.kind == "iceberg":
            aggressor = {"BUY": ord("A"), "SELL": ord("B")}
        own = np.zeros(len(trades), np.bool_)
        for leg in label.legs:
            own |= (trades["instrument_id"] == leg.instrument_id) & (
                trades["side"] == aggressor[leg.side]
            )
        mine = trades[inside & own]
        assert 0 < label.lots <= mine["size"].sum()
        assert mine["ts_event"][0] == label.start_ns
        assert mine["ts_event"][-1] == label.end_ns


@FEW
@given(SEEDS)
def test_a_sweep_nobody_can_miss_takes_many_prices_at_once(seed: int) -> None:
    records, market = simulate(
        seed, 120, episode_seconds=15.0, sweep_share=1.0, confounder_seconds=0.0
    )
    trades = records[records["action"] == ord("T")]

    assert market.labels
    for label in market.labels:
        assert label.kind == "sweep"
        assert label.end_ns - label.start_ns < 3 * NANOS_PER_SECOND
        assert label.lots >= 100
        inside = (trades["ts_event"] >= label.start_ns) & (trades["ts_event"] <= label.end_ns)
        for leg in label.legs:
            own = trades[inside & (trades["instrument_id"] == leg.instrument_id)]
            assert len(set(own["price"].tolist())) >= 2


@FEW
@given(SEEDS)
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(seed: int) -> None:
    once, _ = simulate(seed, 5)
    again, _ = simulate(seed, 5)
    other, _ = simulate(seed + 1, 5)

    assert once.tobytes() == again.tobytes()
    assert once.tobytes() != other.tobytes()


def test_a_market_that_is_done_with_is_gone_at_once() -> None:
    """Its state is tens of megabytes, and a day's evaluation makes several."""
    _, market = simulate(3, 60, episode_seconds=5.0, confounder_seconds=5.0)
    state = weakref.ref(market._state.queues)
    gc.disable()
    try:
        del market
        assert state() is None
    finally:
        gc.enable()
