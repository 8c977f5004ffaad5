"""nautilus_trader's order book on MBO records; runs in an environment of its own, not in ours.

Usage: `python benchmarks/nautilus.py RECORDS REPEATS`, where RECORDS is a file of raw MBO records.
It prints one JSON object: the best seconds for all deltas, and the levels after each end of event.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time

import numpy as np
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import BookOrder, OrderBookDelta, OrderBookDeltas
from nautilus_trader.model.enums import BookAction, BookType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity

INSTRUMENT = InstrumentId.from_str("FUTURE.GLBX")
F_LAST = 0x80
SIDES = {ord("B"): OrderSide.BUY, ord("A"): OrderSide.SELL, ord("N"): OrderSide.NO_ORDER_SIDE}
ACTIONS = {
    ord("A"): BookAction.ADD,
    ord("M"): BookAction.UPDATE,
    ord("C"): BookAction.DELETE,
    ord("R"): BookAction.CLEAR,
}
# The layout of ifd.records.MBO_DTYPE, which cannot be imported there.
DTYPE = np.dtype(
    "u1,u1,<u2,<u4,<u8,<u8,<i8,<u4,u1,u1,u1,u1,<u8,<i4,<u4",
)
ORDER_ID, PRICE, SIZE, FLAGS, ACTION, SIDE = "f5", "f6", "f7", "f8", "f10", "f11"


def deltas_of(records: np.ndarray) -> list[OrderBookDelta | None]:
    """Return a delta for each record that changes a book, None for the others."""
    found: list[OrderBookDelta | None] = []
    for record in records:
        action = ACTIONS.get(int(record[ACTION]))
        if action is None:
            found.append(None)
            continue
        order = None
        if action != BookAction.CLEAR:
            order = BookOrder(
                SIDES[int(record[SIDE])],
                Price(int(record[PRICE]) / 1e9, 9),
                Quantity(int(record[SIZE]), 0),
                int(record[ORDER_ID]),
            )
        found.append(OrderBookDelta(INSTRUMENT, action, order, 0, 0, 0, 0))
    return found


def best_seconds(deltas: list[OrderBookDelta], repeats: int) -> float:
    """Return the shortest time for all deltas, handed over in one call."""
    batch = OrderBookDeltas(INSTRUMENT, deltas)
    seconds = []
    for _ in range(repeats):
        book = OrderBook(INSTRUMENT, BookType.L3_MBO)
        begun = time.perf_counter()
        book.apply_deltas(batch)
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def levels_of(book: OrderBook) -> str:
    """Return a digest of every level's price and lots, bids then asks, best first."""
    levels = [
        (round(float(level.price) * 1e9), round(level.size()))
        for side in (book.bids(), book.asks())
        for level in side
    ]
    return hashlib.sha256(json.dumps(levels).encode()).hexdigest()[:16]


def main() -> None:
    records = np.fromfile(sys.argv[1], DTYPE)
    deltas = deltas_of(records)
    book = OrderBook(INSTRUMENT, BookType.L3_MBO)
    digests = []
    for record, delta in zip(records, deltas, strict=True):
        if delta is not None:
            book.apply_delta(delta)
        if int(record[FLAGS]) & F_LAST:
            digests.append(levels_of(book))
    wanted = [delta for delta in deltas if delta is not None]
    seconds = best_seconds(wanted, int(sys.argv[2]))
    print(json.dumps({"seconds": seconds, "deltas": len(wanted), "levels": digests}))


if __name__ == "__main__":
    main()
