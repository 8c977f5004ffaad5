"""The matching engine: one level-3 book per instrument, price then time, everything on the tape.

Prices are whole ticks in here and become 1e-9 on the tape. A fill never changes a book by itself:
the cancel (full) or modify (partial) that follows in the same event does.
"""

from __future__ import annotations

from typing import Final

from ifd.records import ADD, ASK, BID, CANCEL, CLEAR, FILL, MODIFY, NO_SIDE, TRADE
from ifd.units import UNDEFINED_PRICE
from simulator.market.definitions import TICK
from simulator.market.tape import Tape

NO_ASK: Final = 1 << 40
"""What an empty ask side compares as."""
NO_BID: Final = 0
_FIRST_ORDER_ID: Final = 6_413_000_000_000

Levels = dict[int, "dict[int, Order]"]


class Order:
    """One resting order; `home` is the owner's own list of it, which a full fill empties."""

    __slots__ = ("home", "key", "order_id", "price", "side", "size")

    def __init__(
        self, order_id: int, side: int, price: int, size: int, home: dict[int, Order], key: int
    ) -> None:
        self.order_id = order_id
        self.side = side
        self.price = price
        self.size = size
        self.home = home
        self.key = key


class OrderIds:
    """Order ids of the whole exchange, rising."""

    def __init__(self) -> None:
        self._next = _FIRST_ORDER_ID

    def new(self) -> int:
        """Return an id never used before."""
        self._next += 1
        return self._next


class Book:
    """One instrument's orders. Changes are made between `begin` and `end` of an event."""

    __slots__ = ("_channel", "_ids", "_tape", "asks", "bids", "instrument_id")

    def __init__(self, instrument_id: int, channel: int, tape: Tape, ids: OrderIds) -> None:
        self.instrument_id = instrument_id
        self.bids: Levels = {}
        self.asks: Levels = {}
        self._channel = channel
        self._tape = tape
        self._ids = ids

    @property
    def last_event_ns(self) -> int:
        """`ts_event` of the event begun last on this exchange."""
        return self._tape.ts_event

    def best_bid(self) -> int:
        """Return the highest bid in ticks, NO_BID when there is none."""
        return max(self.bids, default=NO_BID)

    def best_ask(self) -> int:
        """Return the lowest ask in ticks, NO_ASK when there is none."""
        return min(self.asks, default=NO_ASK)

    def depth(self, side: int, levels: int) -> int:
        """Return the lots resting in the first `levels` prices of a side."""
        ladder = self.asks if side == ASK else self.bids
        best = sorted(ladder, reverse=side == BID)[:levels]
        return sum(order.size for price in best for order in ladder[price].values())

    def begin(self, ts_event: int) -> None:
        """Open an event in this instrument."""
        self._tape.begin(self.instrument_id, self._channel, ts_event)

    def records_in_event(self) -> int:
        """Return how many records the open event has so far."""
        return self._tape.records_in_event()

    def end(self) -> None:
        """Close the event."""
        self._tape.end()

    def clear(self) -> None:
        """Write the clear that opens a session."""
        self._tape.write(CLEAR, NO_SIDE, 0, UNDEFINED_PRICE, 0)

    def add(self, side: int, price: int, size: int, home: dict[int, Order], key: int = 0) -> Order:
        """Rest a new order; without a key its owner finds it by its id."""
        order_id = self._ids.new()
        order = Order(order_id, side, price, size, home, key or order_id)
        home[order.key] = order
        self._queue(order)
        self._tape.write(ADD, side, order_id, price * TICK, size)
        return order

    def move(self, order: Order, price: int, size: int) -> None:
        """Change price and size; only fewer lots at the same price keep the place in the queue."""
        keeps_place = price == order.price and size <= order.size
        if not keeps_place:
            self._unqueue(order)
        order.price = price
        order.size = size
        if not keeps_place:
            self._queue(order)
        self._tape.write(MODIFY, order.side, order.order_id, price * TICK, size)

    def cancel(self, order: Order) -> None:
        """Take a whole order out of the book and from its owner."""
        self._unqueue(order)
        del order.home[order.key]
        self._tape.write(CANCEL, order.side, order.order_id, order.price * TICK, order.size)

    def take(self, side: int, lots: int, levels: int, ts_event: int) -> int:
        """Trade an aggressive order against at most `levels` prices; return the lots done.

        One event: a trade per price with its fills, then, in the next packet, what that leaves of
        each resting order. What is not filled is cancelled (immediate or cancel).
        """
        ladder = self.asks if side == BID else self.bids
        prices = sorted(ladder, reverse=side == ASK)[:levels]
        aggressor = self._ids.new()
        fills: list[tuple[Order, int]] = []
        left = lots
        self.begin(ts_event)
        for price in prices:
            if left == 0:
                break
            at_price = _match(ladder[price], left)
            traded = sum(size for _, size in at_price)
            left -= traded
            self._print(side, aggressor, price, traded, at_price)
            fills += at_price
        self._tape.next_packet()
        for order, size in fills:
            self._settle(order, size)
        self.end()
        return lots - left

    def _print(
        self, side: int, aggressor: int, price: int, traded: int, fills: list[tuple[Order, int]]
    ) -> None:
        write = self._tape.write
        write(TRADE, side, aggressor, price * TICK, traded)
        for order, size in fills:
            write(FILL, order.side, order.order_id, price * TICK, size)

    def _settle(self, order: Order, filled: int) -> None:
        if filled == order.size:
            self.cancel(order)
            return
        # A partial fill keeps its place in the queue.
        order.size -= filled
        self._tape.write(MODIFY, order.side, order.order_id, order.price * TICK, order.size)

    def _queue(self, order: Order) -> None:
        levels = self.bids if order.side == BID else self.asks
        queue = levels.get(order.price)
        if queue is None:
            levels[order.price] = {order.order_id: order}
        else:
            queue[order.order_id] = order

    def _unqueue(self, order: Order) -> None:
        levels = self.bids if order.side == BID else self.asks
        queue = levels[order.price]
        del queue[order.order_id]
        if not queue:
            del levels[order.price]


def _match(queue: dict[int, Order], lots: int) -> list[tuple[Order, int]]:
    fills = []
    for order in queue.values():
        size = min(order.size, lots)
        fills.append((order, size))
        lots -= size
        if lots == 0:
            break
    return fills
