"""The order book of one instrument, order by order, exactly as CME publishes it.

This plain version is the reference that any faster one is compared with. An add, modify, cancel or
clear changes the book; a trade, a fill and a record without action never do: the exchange sends the
cancel or modify that belongs to a fill itself. Look at the book only where an event ends
(`F_LAST`): inside an event the apparent best prices may already be traded.

What a record of an unknown order means after a late join: a cancel or fill is counted and changes
nothing; a modify is counted and placed as an add, since from then on the order is known to rest.
"""

from __future__ import annotations

from typing import Final

from ifd.book.side import BookSide, Order, Quote
from ifd.records import (
    ADD,
    ASK,
    BID,
    CANCEL,
    CLEAR,
    F_LAST,
    F_MAYBE_BAD_BOOK,
    F_SNAPSHOT,
    FILL,
    MODIFY,
)
from ifd.units import UNDEFINED_PRICE

_NO_SNAPSHOT: Final = 0
_SNAPSHOT_RUNNING: Final = 1
_SNAPSHOT_ENDED: Final = 2


class OrderBook:
    """Every resting order of one instrument.

    `complete` is False while orders may rest that were never seen: before the first clear or
    snapshot, and after a record that says the book may be bad.
    """

    __slots__ = (
        "_snapshot",
        "asks",
        "bids",
        "complete",
        "malformed_records",
        "orders",
        "unknown_cancels",
        "unknown_fills",
        "unknown_modifies",
    )

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.bids = BookSide(descending=True)
        self.asks = BookSide(descending=False)
        self.complete = False
        self.unknown_cancels = 0
        self.unknown_modifies = 0
        self.unknown_fills = 0
        self.malformed_records = 0
        self._snapshot = _NO_SNAPSHOT

    @property
    def unknown_orders(self) -> int:
        """Cancels, modifies and fills of orders that were never seen."""
        return self.unknown_cancels + self.unknown_modifies + self.unknown_fills

    def apply(
        self, action: int, side: int, order_id: int, price: int, size: int, flags: int
    ) -> None:
        """Take in one MBO record.

        Parameters
        ----------
        action, side : int
            ASCII codes as on the wire; what is neither of A, M, C, R, F changes nothing.
        price : int
            In 1e-9.
        size : int
            Lots; for a cancel, how many of them go.
        flags : int
            The record's bit field.
        """
        if flags & F_SNAPSHOT:
            self._enter_snapshot(flags)
        elif self._snapshot == _SNAPSHOT_ENDED:
            self._snapshot = _NO_SNAPSHOT
        if flags & F_MAYBE_BAD_BOOK and action != CLEAR and not flags & F_SNAPSHOT:
            self.complete = False
        if action == ADD:
            self._add(side, order_id, price, size, counted=not flags & F_SNAPSHOT)
        elif action == CANCEL:
            self._cancel(order_id, size)
        elif action == MODIFY:
            self._modify(side, order_id, price, size)
        elif action == FILL:
            if order_id not in self.orders:
                self.unknown_fills += 1
        elif action == CLEAR:
            self.clear()
            self.complete = True

    def clear(self) -> None:
        """Forget every order; what was counted stays."""
        self.orders.clear()
        self.bids.clear()
        self.asks.clear()

    def best_bid(self) -> Quote | None:
        """Return the highest bid, or None."""
        return self.bids.best()

    def best_ask(self) -> Quote | None:
        """Return the lowest ask, or None."""
        return self.asks.best()

    def queue(self, side: int, price: int) -> list[tuple[int, int]]:
        """Return the (order id, lots) resting at a price, first to be filled first."""
        level = (self.bids if side == BID else self.asks).levels.get(price)
        return [] if level is None else [(key, o.size) for key, o in level.orders.items()]

    def _enter_snapshot(self, flags: int) -> None:
        # A snapshot is the whole book: with no clear in front, its first record is the clear. It
        # ends with F_LAST, but a publisher may set F_LAST on each of its records, so only a record
        # that is not of a snapshot makes room for the next one.
        if self._snapshot == _NO_SNAPSHOT:
            self.clear()
            self.complete = True
        self._snapshot = _SNAPSHOT_ENDED if flags & F_LAST else _SNAPSHOT_RUNNING

    def _add(self, side: int, order_id: int, price: int, size: int, *, counted: bool) -> None:
        target = self._side(side)
        if target is None or price == UNDEFINED_PRICE:
            self.malformed_records += 1
            return
        before = self.orders.pop(order_id, None)
        if before is not None:
            # The same order twice, as after a replayed chunk: the newest word counts, no flow.
            before.side.withdraw(order_id, before)
        if size > 0:
            order = self.orders[order_id] = Order(target, price, size)
            target.place(order_id, order)
            if counted and before is None:
                target.added += size

    def _cancel(self, order_id: int, size: int) -> None:
        order = self.orders.get(order_id)
        if order is None:
            self.unknown_cancels += 1
            return
        if size < order.size:
            self._resize(order, order.size - size)
        else:
            self._delete(order_id, order)

    def _modify(self, side: int, order_id: int, price: int, size: int) -> None:
        order = self.orders.get(order_id)
        if order is None:
            self.unknown_modifies += 1
            self._add(side, order_id, price, size, counted=True)
            return
        target = self._side(side) or order.side
        if price == UNDEFINED_PRICE:
            self.malformed_records += 1
        elif size == 0:
            self._delete(order_id, order)
        elif target is order.side and price == order.price and size <= order.size:
            self._resize(order, size)
        else:
            self._requeue(order_id, order, target, price, size)

    def _resize(self, order: Order, size: int) -> None:
        """Shrink an order where it stands: it keeps its place in the queue."""
        gone = order.size - size
        order.side.levels[order.price].size -= gone
        order.side.removed += gone
        order.size = size

    def _requeue(
        self, order_id: int, order: Order, target: BookSide, price: int, size: int
    ) -> None:
        """Put an order at the back of the level it now belongs to: its priority is lost."""
        grows = target is order.side and price == order.price
        order.side.withdraw(order_id, order)
        if grows:
            target.added += size - order.size
        else:
            order.side.removed += order.size
            target.added += size
        order.side, order.price, order.size = target, price, size
        target.place(order_id, order)

    def _delete(self, order_id: int, order: Order) -> None:
        del self.orders[order_id]
        order.side.withdraw(order_id, order)
        order.side.removed += order.size

    def _side(self, side: int) -> BookSide | None:
        if side == BID:
            return self.bids
        if side == ASK:
            return self.asks
        return None
