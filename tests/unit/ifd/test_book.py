"""The order book does what the exchange says, record by record."""

from __future__ import annotations

from typing import Any

import pytest

from ifd.book.quotes import Quote
from ifd.records import ASK, BID, F_LAST, F_MAYBE_BAD_BOOK, F_SNAPSHOT
from ifd.reference.order_book import OrderBook
from ifd.units import UNDEFINED_PRICE

SNAPSHOT = F_SNAPSHOT | 8


class Desk:
    """Speaks to a book in letters; prices are small integers here, which the book need not know."""

    def __init__(self) -> None:
        self.book = OrderBook()

    def send(
        self,
        action: str,
        side: str = "N",
        order_id: int = 0,
        price: int = UNDEFINED_PRICE,
        size: int = 0,
        flags: int = F_LAST,
    ) -> None:
        self.book.apply(ord(action), ord(side), order_id, price, size, flags)

    @property
    def bbo(self) -> tuple[Any, Any]:
        return self.book.best_bid(), self.book.best_ask()

    @property
    def unknown(self) -> tuple[int, int, int]:
        book = self.book
        return book.unknown_cancels, book.unknown_modifies, book.unknown_fills


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.send("R")
    return desk


def test_the_best_price_holds_all_lots_and_orders_of_its_level(desk: Desk) -> None:
    desk.send("A", "B", 1, price=99, size=5)
    desk.send("A", "B", 2, price=100, size=3)
    desk.send("A", "B", 3, price=100, size=4)
    desk.send("A", "A", 4, price=102, size=1)

    assert desk.bbo == (Quote(100, 7, 2), Quote(102, 1, 1))


def test_a_side_without_orders_has_no_best_price(desk: Desk) -> None:
    desk.send("A", "B", 1, price=100, size=3)
    desk.send("C", "B", 1, price=100, size=3)

    assert desk.bbo == (None, None)
    assert desk.book.bids.levels == {}


def test_the_next_level_is_best_when_the_best_is_gone_and_again_when_it_returns(desk: Desk) -> None:
    desk.send("A", "A", 1, price=101, size=1)
    desk.send("A", "A", 2, price=103, size=2)
    desk.send("C", "A", 1, price=101, size=1)
    assert desk.book.best_ask() == Quote(103, 2, 1)

    desk.send("A", "A", 3, price=101, size=4)
    assert desk.book.best_ask() == Quote(101, 4, 1)


@pytest.mark.parametrize("action", ["T", "F", "N"])
def test_trades_fills_and_empty_records_never_change_the_book(desk: Desk, action: str) -> None:
    desk.send("A", "A", 1, price=101, size=5)

    desk.send(action, "A", 1, price=101, size=5)

    assert desk.bbo == (None, Quote(101, 5, 1))
    assert desk.unknown == (0, 0, 0)


def test_a_partial_cancel_takes_lots_off_and_leaves_the_place_in_the_queue(desk: Desk) -> None:
    desk.send("A", "B", 1, price=100, size=5)
    desk.send("A", "B", 2, price=100, size=5)

    desk.send("C", "B", 1, price=100, size=2)

    assert desk.book.queue(BID, 100) == [(1, 3), (2, 5)]
    assert desk.book.best_bid() == Quote(100, 8, 2)


@pytest.mark.parametrize("size", [5, 6, 2**32 - 1])
def test_a_cancel_of_all_or_more_than_all_deletes_the_order(desk: Desk, size: int) -> None:
    desk.send("A", "B", 1, price=100, size=5)

    desk.send("C", "B", 1, price=100, size=size)

    assert desk.book.orders == {}


def test_a_smaller_size_keeps_priority(desk: Desk) -> None:
    desk.send("A", "B", 1, price=100, size=5)
    desk.send("A", "B", 2, price=100, size=5)

    desk.send("M", "B", 1, price=100, size=1)

    assert desk.book.queue(BID, 100) == [(1, 1), (2, 5)]


def test_the_same_size_keeps_priority(desk: Desk) -> None:
    desk.send("A", "B", 1, price=100, size=5)
    desk.send("A", "B", 2, price=100, size=5)

    desk.send("M", "B", 1, price=100, size=5)

    assert desk.book.queue(BID, 100) == [(1, 5), (2, 5)]


def test_a_larger_size_loses_priority(desk: Desk) -> None:
    desk.send("A", "B", 1, price=100, size=5)
    desk.send("A", "B", 2, price=100, size=5)

    desk.send("M", "B", 1, price=100, size=6)

    assert desk.book.queue(BID, 100) == [(2, 5), (1, 6)]


def test_another_price_loses_priority_even_with_a_smaller_size(desk: Desk) -> None:
    desk.send("A", "B", 1, price=99, size=5)
    desk.send("A", "B", 2, price=100, size=5)

    desk.send("M", "B", 1, price=100, size=4)

    assert desk.book.queue(BID, 100) == [(2, 5), (1, 4)]
    assert 99 not in desk.book.bids.levels


def test_a_modify_may_change_the_side(desk: Desk) -> None:
    desk.send("A", "B", 1, price=100, size=5)

    desk.send("M", "A", 1, price=101, size=5)

    assert desk.bbo == (None, Quote(101, 5, 1))


def test_a_modify_to_nothing_deletes_the_order(desk: Desk) -> None:
    desk.send("A", "B", 1, price=100, size=5)

    desk.send("M", "B", 1, price=100, size=0)

    assert desk.book.orders == {}


def test_a_refill_after_a_hidden_fill_changes_nothing_but_the_queue(desk: Desk) -> None:
    """An iceberg is filled and shows the same size again: the exchange sends F, then M."""
    desk.send("A", "A", 1, price=101, size=5)
    desk.send("A", "A", 2, price=101, size=3)

    desk.send("T", "B", 77, price=101, size=5, flags=0)
    desk.send("F", "A", 1, price=101, size=5, flags=0)
    desk.send("M", "A", 1, price=101, size=5)

    assert desk.book.best_ask() == Quote(101, 8, 2)


def test_a_clear_in_mid_session_empties_the_book_and_it_fills_again(desk: Desk) -> None:
    desk.send("A", "B", 1, price=100, size=5)
    desk.send("A", "A", 2, price=101, size=5)

    desk.send("R")
    assert desk.bbo == (None, None)
    assert desk.book.orders == {}

    desk.send("A", "B", 1, price=98, size=2)
    assert desk.bbo == (Quote(98, 2, 1), None)
    assert desk.book.complete


def test_a_crossed_book_before_the_open_is_kept_as_it_is(desk: Desk) -> None:
    desk.send("A", "B", 1, price=105, size=5)
    desk.send("A", "A", 2, price=101, size=5)

    assert desk.bbo == (Quote(105, 5, 1), Quote(101, 5, 1))


def test_unknown_cancels_and_fills_are_counted_and_change_nothing(desk: Desk) -> None:
    desk.send("C", "B", 9, price=100, size=5)
    desk.send("F", "B", 9, price=100, size=5)

    assert desk.unknown == (1, 0, 1)
    assert desk.bbo == (None, None)


def test_an_unknown_modify_is_counted_and_then_rests(desk: Desk) -> None:
    """After a late join the order is there from now on, whatever came before."""
    desk.send("M", "B", 9, price=100, size=5)
    desk.send("C", "B", 9, price=100, size=2)

    assert desk.unknown == (0, 1, 0)
    assert desk.book.best_bid() == Quote(100, 3, 1)


def test_the_same_order_added_twice_rests_once(desk: Desk) -> None:
    desk.send("A", "B", 1, price=100, size=5)

    desk.send("A", "B", 1, price=100, size=5)

    assert desk.book.best_bid() == Quote(100, 5, 1)
    assert (desk.book.bids.added, desk.book.bids.removed) == (5, 0)


@pytest.mark.parametrize(("side", "price"), [("N", 100), ("B", UNDEFINED_PRICE)])
def test_an_order_that_can_rest_nowhere_is_counted(desk: Desk, side: str, price: int) -> None:
    desk.send("A", side, 1, price=price, size=5)

    assert desk.book.malformed_records == 1
    assert desk.book.orders == {}


def test_flags_are_a_bit_field(desk: Desk) -> None:
    desk.send("A", "B", 1, price=100, size=5, flags=F_LAST | 2)

    assert desk.book.best_bid() == Quote(100, 5, 1)
    assert desk.book.complete


def test_a_book_joined_late_is_incomplete_until_a_clear() -> None:
    desk = Desk()
    desk.send("A", "B", 1, price=100, size=5)
    assert not desk.book.complete

    desk.send("R")
    assert desk.book.complete


def test_a_snapshot_with_a_clear_in_front_is_the_book() -> None:
    desk = Desk()
    desk.send("R", flags=SNAPSHOT)
    desk.send("A", "B", 1, price=100, size=5, flags=SNAPSHOT)
    desk.send("A", "A", 2, price=101, size=6, flags=SNAPSHOT | F_LAST)

    assert desk.book.complete
    assert desk.bbo == (Quote(100, 5, 1), Quote(101, 6, 1))


def test_a_snapshot_without_a_clear_replaces_the_whole_book() -> None:
    desk = Desk()
    desk.send("A", "B", 1, price=100, size=5)
    desk.send("A", "B", 2, price=105, size=5)

    desk.send("A", "B", 1, price=100, size=4, flags=SNAPSHOT)
    desk.send("A", "A", 3, price=101, size=6, flags=SNAPSHOT | F_LAST)

    assert desk.book.complete
    assert desk.bbo == (Quote(100, 4, 1), Quote(101, 6, 1))


def test_a_snapshot_that_marks_each_record_as_last_is_still_one_snapshot() -> None:
    desk = Desk()
    for order_id in (1, 2, 3):
        desk.send("A", "B", order_id, price=100, size=1, flags=SNAPSHOT | F_LAST)

    assert desk.book.best_bid() == Quote(100, 3, 3)


def test_a_live_record_inside_a_snapshot_does_not_break_it() -> None:
    desk = Desk()
    desk.send("A", "B", 1, price=100, size=1, flags=SNAPSHOT)
    desk.send("A", "B", 2, price=100, size=1)
    desk.send("A", "B", 3, price=100, size=1, flags=SNAPSHOT | F_LAST)

    assert desk.book.best_bid() == Quote(100, 3, 3)


def test_a_later_snapshot_replaces_an_earlier_one() -> None:
    desk = Desk()
    desk.send("A", "B", 1, price=100, size=1, flags=SNAPSHOT | F_LAST)
    desk.send("A", "B", 2, price=101, size=1)

    desk.send("A", "B", 3, price=99, size=1, flags=SNAPSHOT | F_LAST)

    assert desk.book.best_bid() == Quote(99, 1, 1)


def test_a_snapshot_order_of_size_nothing_does_not_rest() -> None:
    desk = Desk()
    desk.send("A", "B", 1, price=100, size=0, flags=SNAPSHOT | F_LAST)

    assert desk.bbo == (None, None)


def test_a_book_that_may_be_bad_is_incomplete_until_the_next_snapshot(desk: Desk) -> None:
    desk.send("A", "B", 1, price=100, size=5, flags=F_LAST | F_MAYBE_BAD_BOOK)
    assert not desk.book.complete
    desk.send("A", "B", 2, price=100, size=5)
    assert not desk.book.complete

    desk.send("A", "B", 1, price=100, size=5, flags=SNAPSHOT | F_LAST)
    assert desk.book.complete


def test_lots_that_come_and_go_are_summed_by_side_but_not_those_of_snapshots() -> None:
    desk = Desk()
    desk.send("A", "B", 1, price=100, size=5, flags=SNAPSHOT | F_LAST)
    desk.send("A", "B", 2, price=100, size=7)
    desk.send("M", "B", 2, price=100, size=9)
    desk.send("C", "B", 1, price=100, size=2)
    desk.send("M", "B", 2, price=101, size=9)

    bids = desk.book.bids
    assert (bids.added, bids.removed) == (7 + 2 + 9, 2 + 9)
    assert (desk.book.asks.added, desk.book.asks.removed) == (0, 0)


def test_memory_follows_the_orders_that_rest(desk: Desk) -> None:
    """A maker that re-quotes for ever between two prices leaves no trail."""
    desk.send("A", "B", 1, price=99, size=1)
    for step in range(10_000):
        desk.send("M", "B", 1, price=100 + step % 2, size=1)

    assert len(desk.book.bids._heap) <= 3
    assert desk.book.queue(ASK, 100) == []
