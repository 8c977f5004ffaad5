"""The matching engine, record by record, worked by hand."""

from __future__ import annotations

import datetime as dt
import random

import pytest

from ifd.records import ASK, BID, F_LAST
from ifd.reference.order_book import OrderBook
from ifd.units import NANOS_PER_SECOND
from simulator.market import Market, MarketParams, list_chain
from simulator.market.chain import moment_ns
from simulator.market.exchange import Book, Order, OrderIds
from simulator.market.tape import Tape

TICK = 250_000_000


@pytest.fixture
def tape() -> Tape:
    return Tape(random.Random(1))


@pytest.fixture
def book(tape: Tape) -> Book:
    return Book(7, 1, tape, OrderIds())


def written(tape: Tape) -> list[tuple[str, str, int, int, int, bool]]:
    """Action, side, last digit of the order id, ticks, lots, end of event."""
    return [
        (
            chr(record["action"]),
            chr(record["side"]),
            int(record["order_id"]) % 10,
            int(record["price"]) // TICK,
            int(record["size"]),
            bool(record["flags"] & F_LAST),
        )
        for record in tape.take()
    ]


def rest(book: Book, side: int, price: int, size: int) -> Order:
    book.begin(book.last_event_ns + 1)
    order = book.add(side, price, size, {})
    book.end()
    return order


def test_a_sweep_prints_each_price_then_settles_every_order(book: Book, tape: Tape) -> None:
    rest(book, ASK, 100, 5)  # order 1
    rest(book, ASK, 100, 3)  # order 2
    rest(book, ASK, 101, 10)  # order 3
    tape.take()

    done = book.take(BID, 12, 6, 1_000)

    assert done == 12
    assert written(tape) == [
        ("T", "B", 4, 100, 8, False),
        ("F", "A", 1, 100, 5, False),
        ("F", "A", 2, 100, 3, False),
        ("T", "B", 4, 101, 4, False),
        ("F", "A", 3, 101, 4, False),
        ("C", "A", 1, 100, 5, False),
        ("C", "A", 2, 100, 3, False),
        ("M", "A", 3, 101, 6, True),
    ]


def test_the_settlement_comes_in_the_next_packet_of_the_same_event(book: Book, tape: Tape) -> None:
    rest(book, BID, 100, 5)
    tape.take()

    book.take(ASK, 5, 1, 1_000)

    trade, fill, cancel = tape.take()
    assert trade["sequence"] == fill["sequence"] == cancel["sequence"] - 1
    assert trade["ts_event"] == cancel["ts_event"]
    assert trade["ts_recv"] < cancel["ts_recv"]


def test_an_order_never_trades_beyond_its_number_of_prices(book: Book, tape: Tape) -> None:
    rest(book, ASK, 100, 5)
    rest(book, ASK, 101, 5)
    rest(book, ASK, 105, 5)

    assert book.take(BID, 100, 2, 1_000) == 10
    assert book.best_ask() == 105


def test_nothing_is_written_when_nobody_is_there_to_trade_with(book: Book, tape: Tape) -> None:
    rest(book, BID, 99, 5)
    tape.take()

    assert book.take(BID, 5, 2, 1_000) == 0
    assert written(tape) == []


def test_fewer_lots_at_the_same_price_keep_the_place_in_the_queue(book: Book, tape: Tape) -> None:
    first = rest(book, ASK, 100, 5)
    rest(book, ASK, 100, 5)
    tape.take()

    book.move(first, 100, 2)
    book.take(BID, 1, 1, 1_000)

    assert [record[2] for record in written(tape) if record[0] == "F"] == [1]


@pytest.mark.parametrize(("price", "size"), [(100, 9), (100, 6)])
def test_more_lots_at_the_same_price_go_to_the_back(
    book: Book, tape: Tape, price: int, size: int
) -> None:
    first = rest(book, ASK, 100, 5)
    rest(book, ASK, 100, 5)
    tape.take()

    book.move(first, price, size)
    book.take(BID, 1, 1, 1_000)

    assert [record[2] for record in written(tape) if record[0] == "F"] == [2]


def test_the_engines_own_book_accepts_a_simulated_market() -> None:
    date = dt.date(2026, 10, 5)
    start_ns = moment_ns(date, dt.time(9, 30))
    chain = list_chain(date)
    market = Market(11, start_ns, chain, MarketParams(episode_seconds=15.0))
    records = market.advance(start_ns + 120 * NANOS_PER_SECOND)
    books = {contract.instrument_id: OrderBook() for contract in chain.contracts}

    for record in records:
        own = books[int(record["instrument_id"])]
        own.apply(
            *(
                int(record[name])
                for name in ("action", "side", "order_id", "price", "size", "flags")
            )
        )
        bid, ask = own.best_bid(), own.best_ask()
        if record["flags"] & F_LAST and bid is not None and ask is not None:
            assert bid.price < ask.price

    assert sum(own.unknown_orders + own.malformed_records for own in books.values()) == 0
    assert all(own.complete for own in books.values())
