"""One side of a book: levels by price, orders by priority, and the best level without a search."""

from __future__ import annotations

import heapq
from typing import NamedTuple


class Quote(NamedTuple):
    """The best price of a side: price in 1e-9, lots resting there, orders resting there."""

    price: int
    size: int
    orders: int


class Order:
    """One resting order."""

    __slots__ = ("price", "side", "size")

    def __init__(self, side: BookSide, price: int, size: int) -> None:
        self.side = side
        self.price = price
        self.size = size


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
    """

    __slots__ = ("_heap", "_queued", "_sign", "added", "levels", "removed")

    def __init__(self, *, descending: bool) -> None:
        self.levels: dict[int, Level] = {}
        self.added = 0
        self.removed = 0
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

    def clear(self) -> None:
        """Forget every order."""
        self.levels.clear()
        self._heap.clear()
        self._queued.clear()
