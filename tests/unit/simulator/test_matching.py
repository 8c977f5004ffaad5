"""The matching engine, record by record, worked by hand."""

from __future__ import annotations

import datetime as dt

import pytest

from ifd.records import F_LAST
from ifd.reference.order_book import OrderBook
from ifd.units import NANOS_PER_SECOND
from simulator.market import Market, MarketParams, list_chain
from simulator.market.chain import moment_ns
from simulator.market.definitions import TICK
from simulator.market.interventions import rest as rest_planted
from simulator.market.interventions import withdraw
from simulator.market.matching import PLANTED, add, begin, depth, end, move, take
from simulator.market.state import PRICES, TS_EVENT, WRITTEN, State, make_state

DATE = dt.date(2026, 10, 5)
OPEN_NS = moment_ns(DATE, dt.time(9, 30))
BID, ASK = 0, 1
OPTION = 1


@pytest.fixture
def state() -> State:
    return make_state(list_chain(DATE, strikes=1), 1, OPEN_NS, labels=4)


def written(state: State) -> list[tuple[str, str, int, int, int, bool]]:
    """Action, side, last digit of the order id, ticks, lots, end of event."""
    records = state.out[: state.ints[WRITTEN]].copy()
    state.ints[WRITTEN] = 0
    return [
        (
            chr(record["action"]),
            chr(record["side"]),
            int(record["order_id"]) % 10,
            int(record["price"]) // TICK,
            int(record["size"]),
            bool(record["flags"] & F_LAST),
        )
        for record in records
    ]


def rest(state: State, side: int, price: int, size: int) -> int:
    begin(state, OPTION, 0)
    order = add(state, OPTION, side, price, size, PLANTED)
    end(state)
    return order


def test_a_sweep_prints_each_price_then_settles_every_order(state: State) -> None:
    rest(state, ASK, 100, 5)  # order 1
    rest(state, ASK, 100, 3)  # order 2
    rest(state, ASK, 101, 10)  # order 3
    written(state)

    done = take(state, OPTION, BID, 12, 6, 1_000, 0)

    assert done == 12
    assert written(state) == [
        ("T", "B", 4, 100, 8, False),
        ("F", "A", 1, 100, 5, False),
        ("F", "A", 2, 100, 3, False),
        ("T", "B", 4, 101, 4, False),
        ("F", "A", 3, 101, 4, False),
        ("C", "A", 1, 100, 5, False),
        ("C", "A", 2, 100, 3, False),
        ("M", "A", 3, 101, 6, True),
    ]
    assert state.labels["lots"][0] == 12
    assert state.labels["first"][0] == state.labels["last"][0] == state.ints[TS_EVENT]


def test_the_settlement_comes_in_the_next_packet_of_the_same_event(state: State) -> None:
    rest(state, BID, 100, 5)
    written(state)

    take(state, OPTION, ASK, 5, 1, 1_000, -1)

    trade, fill, cancel = state.out[:3]
    assert trade["sequence"] == fill["sequence"] == cancel["sequence"] - 1
    assert trade["ts_event"] == cancel["ts_event"]
    assert trade["ts_recv"] < cancel["ts_recv"]


def test_an_order_never_trades_beyond_its_number_of_prices(state: State) -> None:
    rest(state, ASK, 100, 5)
    rest(state, ASK, 101, 5)
    rest(state, ASK, 105, 5)

    assert depth(state, OPTION, ASK, 2) == 10
    assert take(state, OPTION, BID, 100, 2, 1_000, -1) == 10
    assert state.best[OPTION, ASK] == 105


def test_nothing_is_written_when_nobody_is_there_to_trade_with(state: State) -> None:
    rest(state, BID, 99, 5)
    written(state)

    assert take(state, OPTION, BID, 5, 2, 1_000, 0) == 0
    assert written(state) == []
    assert state.labels["lots"][0] == 0


def test_an_emptied_side_has_no_price(state: State) -> None:
    rest(state, BID, 99, 5)
    rest(state, ASK, 101, 5)

    take(state, OPTION, BID, 5, 2, 1_000, -1)
    take(state, OPTION, ASK, 5, 2, 1_001, -1)

    assert tuple(state.best[OPTION]) == (0, PRICES)


def test_fewer_lots_at_the_same_price_keep_the_place_in_the_queue(state: State) -> None:
    first = rest(state, ASK, 100, 5)
    rest(state, ASK, 100, 5)

    move(state, first, 100, 2)
    written(state)
    take(state, OPTION, BID, 1, 1, 1_000, -1)

    assert [record[2] for record in written(state) if record[0] == "F"] == [1]


@pytest.mark.parametrize("size", [9, 6])
def test_more_lots_at_the_same_price_go_to_the_back(state: State, size: int) -> None:
    first = rest(state, ASK, 100, 5)
    rest(state, ASK, 100, 5)

    move(state, first, 100, size)
    written(state)
    take(state, OPTION, BID, 1, 1, 1_000, -1)

    assert [record[2] for record in written(state) if record[0] == "F"] == [2]


def test_an_iceberg_shows_its_next_slice_under_the_same_id(state: State) -> None:
    rest(state, BID, 100, 1)
    rest(state, ASK, 110, 1)
    rest_planted(state, OPTION, BID, -1, 5, 8, 1_000, 2)  # order 3, at 101
    written(state)

    take(state, OPTION, ASK, 5, 1, 2_000, -1)
    take(state, OPTION, ASK, 5, 1, 3_000, -1)

    assert [record for record in written(state) if record[0] in "MC"] == [
        ("M", "B", 3, 101, 5, True),
        ("M", "B", 3, 101, 3, True),
    ]
    assert state.labels["lots"][2] == 10
    assert withdraw(state, 2, 4_000) == 3
    assert state.best[OPTION, BID] == 100


def test_a_planted_order_that_was_filled_cannot_be_withdrawn(state: State) -> None:
    rest(state, BID, 100, 1)
    rest(state, ASK, 110, 1)
    rest_planted(state, OPTION, BID, -1, 5, 0, 1_000, 2)
    take(state, OPTION, ASK, 5, 1, 2_000, -1)
    written(state)

    assert withdraw(state, 2, 3_000) == 0
    assert written(state) == []


def test_the_engines_own_book_accepts_a_simulated_market() -> None:
    chain = list_chain(DATE)
    params = MarketParams(episode_seconds=10.0, confounder_seconds=10.0)
    market = Market(11, OPEN_NS, chain, params)
    records = market.advance(OPEN_NS + 300 * NANOS_PER_SECOND)
    books = {contract.instrument_id: OrderBook() for contract in chain.contracts}
    names = ("instrument_id", "action", "side", "order_id", "price", "size", "flags")

    for ident, action, side, order_id, price, size, flags in zip(
        *(records[name].tolist() for name in names), strict=True
    ):
        own = books[ident]
        own.apply(action, side, order_id, price, size, flags)
        bid, ask = own.best_bid(), own.best_ask()
        if flags & F_LAST and bid is not None and ask is not None:
            assert bid.price < ask.price

    assert sum(own.unknown_orders + own.malformed_records for own in books.values()) == 0
    assert all(own.complete for own in books.values())
    assert len({episode.kind for episode in market.labels}) > 5
