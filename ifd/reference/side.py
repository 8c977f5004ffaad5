"""One side of a book: levels by price, orders by priority, and the best level without a search."""

from __future__ import annotations

import heapq
from typing import Final

from ifd.book.quotes import Quote

NOTHING_GONE: Final = (0, 0, 0)
"""Price, lots and time of an order that no add is like: none is of no lots."""


class Order:
    """One resting order; `shown` is its size when it was last placed."""

    __slots__ = ("price", "shown", "side", "size")

    def __init__(self, side: BookSide, price: int, size: int) -> None:
        self.side = side
        self.price = price
        self.size = self.shown = size


class Level:
    """All orders at one price, in the order they will be filled."""

    __slots__ = ("orders", "size")

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.size = 0


class BookSide:
    """One side of a book: its levels by price, and the best of them without a search.

    `added` and `removed` are the lots that came to and left this side since the start, whatever
    the cause but snapshots and clears; a stage that wants the flow of an event takes differences.
    `refills` counts slices of icebergs in the same way; `gone` is the order that fills took away
    last: price, lots it showed, and when.
    """

    __slots__ = ("_heap", "_queued", "_sign", "added", "gone", "levels", "refills", "removed")

    def __init__(self, *, descending: bool) -> None:
        self.levels: dict[int, Level] = {}
        self.added = 0
        self.removed = 0
        self.refills = 0
        self.gone = NOTHING_GONE
        # A heap of prices, best first. A price whose level has gone stays until it surfaces;
        # `_queued` keeps one that comes back from being queued twice.
        self._heap: list[int] = []
        self._queued: set[int] = set()
        self._sign = -1 if descending else 1

    def place(self, order_id: int, order: Order) -> None:
        """Put an order at the back of its level."""
        price = order.price
        level = self.levels.get(price)
        if level is None:
            level = self.levels[price] = Level()
            if price not in self._queued:
                self._queued.add(price)
                heapq.heappush(self._heap, self._sign * price)
        level.orders[order_id] = order
        level.size += order.size

    def withdraw(self, order_id: int, order: Order) -> None:
        """Take an order out of its level."""
        level = self.levels[order.price]
        del level.orders[order_id]
        level.size -= order.size
        if not level.orders:
            del self.levels[order.price]

    def best(self) -> Quote | None:
        """Return the best price, its lots and its orders, or None where nothing rests."""
        heap = self._heap
        while heap:
            price = self._sign * heap[0]
            level = self.levels.get(price)
            if level is not None:
                return Quote(price, level.size, len(level.orders))
            heapq.heappop(heap)
            self._queued.discard(price)
        return None

    def first_levels(self, count: int) -> list[tuple[int, int]]:
        """Return price and lots of the best levels, the best first."""
        prices = sorted(self.levels, reverse=self._sign < 0)[:count]
        return [(price, self.levels[price].size) for price in prices]

    def clear(self) -> None:
        """Forget every order."""
        self.gone = NOTHING_GONE
        self.levels.clear()
        self._heap.clear()
        self._queued.clear()
