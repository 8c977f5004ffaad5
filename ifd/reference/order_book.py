"""The order book of one instrument, order by order, exactly as CME publishes it.

An add, modify, cancel or clear changes the book; a trade, a fill and a record without action never
do: the exchange sends the cancel or modify that belongs to a fill itself. Look at the book only
where an event ends (`F_LAST`): inside an event the apparent best prices may already be traded.

What a record of an unknown order means after a late join: a cancel or fill is counted and changes
nothing; a modify is counted and placed as an add, since from then on the order is known to rest.
On a book that was complete, an unknown cancel or modify means that records were lost.
"""

from __future__ import annotations

from typing import Final

from ifd.book.quotes import Quote
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
from ifd.reference.side import NOTHING_GONE, BookSide, Order
from ifd.units import NANOS_PER_MILLISECOND, UNDEFINED_PRICE

REFILL_NS: Final = 10 * NANOS_PER_MILLISECOND
_NO_SNAPSHOT: Final = 0
_SNAPSHOT_RUNNING: Final = 1
_SNAPSHOT_ENDED: Final = 2


class OrderBook:
    """Every resting order of one instrument.

    `complete` is False while orders may rest that were never seen: before the first clear or
    snapshot, after a record that says the book may be bad, and after an unknown cancel or modify.
    `faults` holds event time, cause (`flag` or `book`) and whether it ends, of each time that a
    complete book became incomplete and was made whole again.
    """

    __slots__ = (
        "_faulty",
        "_fills",
        "_snapshot",
        "_ts",
        "asks",
        "bids",
        "complete",
        "faults",
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
        self.faults: list[tuple[int, str, bool]] = []
        self._snapshot = _NO_SNAPSHOT
        self._faulty = False
        self._ts = 0
        # Lots that each order was filled in the event that is running.
        self._fills: dict[int, int] = {}

    @property
    def unknown_orders(self) -> int:
        """Cancels, modifies and fills of orders that were never seen."""
        return self.unknown_cancels + self.unknown_modifies + self.unknown_fills

    def apply(
        self,
        action: int,
        side: int,
        order_id: int,
        price: int,
        size: int,
        flags: int,
        ts: int = 0,
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
        ts : int
            Event time, ns UTC.
        """
        self._ts = ts
        if flags & F_SNAPSHOT:
            self._enter_snapshot(flags)
        elif self._snapshot == _SNAPSHOT_ENDED:
            self._snapshot = _NO_SNAPSHOT
        if flags & F_MAYBE_BAD_BOOK and action != CLEAR and not flags & F_SNAPSHOT:
            self._doubt("flag")
        if action == ADD:
            self._add(side, order_id, price, size, counted=not flags & F_SNAPSHOT)
        elif action == CANCEL:
            self._cancel(order_id, size)
        elif action == MODIFY:
            self._modify(side, order_id, price, size)
        elif action == FILL:
            self._fill(order_id, size)
        elif action == CLEAR:
            self.clear()
            self._make_whole()

    def end_event(self) -> None:
        """Forget the fills of the event that ended."""
        self._fills.clear()

    def clear(self) -> None:
        """Forget every order; what was counted stays."""
        self.orders.clear()
        self._fills.clear()
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
            self._make_whole()
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
            self._fills.pop(order_id, None)
        if size > 0:
            order = self.orders[order_id] = Order(target, price, size)
            target.place(order_id, order)
            if counted and before is None:
                target.added += size
                self._count_slice(target, price, size)

    def _cancel(self, order_id: int, size: int) -> None:
        order = self.orders.get(order_id)
        if order is None:
            self.unknown_cancels += 1
            self._doubt("book")
            return
        if size < order.size:
            self._resize(order, order.size - size)
        else:
            self._delete(order_id, order)

    def _modify(self, side: int, order_id: int, price: int, size: int) -> None:
        order = self.orders.get(order_id)
        if order is None:
            self.unknown_modifies += 1
            self._doubt("book")
            self._add(side, order_id, price, size, counted=True)
            return
        target = self._side(side) or order.side
        if price == UNDEFINED_PRICE:
            self.malformed_records += 1
        elif size == 0:
            self._delete(order_id, order)
        else:
            stays = target is order.side and price == order.price
            filled = self._fills.get(order_id, 0)
            if stays and filled and size > max(order.size - filled, 0):
                # It shows more than the fills have left: the next slice of a native iceberg.
                target.refills += 1
                del self._fills[order_id]
            if stays and size <= order.size:
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
        order.side, order.price, order.size, order.shown = target, price, size, size
        self._fills.pop(order_id, None)
        target.place(order_id, order)

    def _delete(self, order_id: int, order: Order) -> None:
        del self.orders[order_id]
        order.side.withdraw(order_id, order)
        order.side.removed += order.size
        if self._fills.pop(order_id, 0) >= order.size:
            order.side.gone = (order.price, order.shown, self._ts)

    def _fill(self, order_id: int, size: int) -> None:
        if order_id in self.orders:
            self._fills[order_id] = self._fills.get(order_id, 0) + size
        else:
            self.unknown_fills += 1

    def _count_slice(self, side: BookSide, price: int, size: int) -> None:
        """Count an add that looks like the order that fills have just taken away."""
        gone_price, gone_size, gone_ts = side.gone
        if (price, size) == (gone_price, gone_size) and 0 <= self._ts - gone_ts <= REFILL_NS:
            side.refills += 1
            side.gone = NOTHING_GONE

    def _doubt(self, cause: str) -> None:
        if self.complete:
            self.complete = False
            self._faulty = True
            self.faults.append((self._ts, cause, False))

    def _make_whole(self) -> None:
        self.complete = True
        if self._faulty:
            self._faulty = False
            self.faults.append((self._ts, "", True))

    def _side(self, side: int) -> BookSide | None:
        if side == BID:
            return self.bids
        if side == ASK:
            return self.asks
        return None
