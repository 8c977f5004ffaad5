"""One compiled book, looked at from Python: for people and tests, never for every record."""

from __future__ import annotations

from ifd.book.quotes import Quote
from ifd.book.state import BookStore, Structured
from ifd.records import ASK, BID


class CompiledBook:
    """A book of a store as it is now; counters and totals are read by their names."""

    def __init__(self, store: BookStore, index: int) -> None:
        self._store = store
        self._index = index
        self._row = store.books[index].copy()

    def __getattr__(self, name: str) -> int:
        try:
            return int(self._row[name])
        except ValueError as error:
            raise AttributeError(f"a book has no {name}") from error

    @property
    def complete(self) -> bool:
        """False while orders may rest that were never seen."""
        return bool(self._row["complete"])

    @property
    def unknown_orders(self) -> int:
        """Cancels, modifies and fills of orders that were never seen."""
        return self.unknown_cancels + self.unknown_modifies + self.unknown_fills

    @property
    def bid_levels(self) -> int:
        """Prices at which bids rest."""
        return int(self._store.sides[2 * self._index]["count"])

    @property
    def ask_levels(self) -> int:
        """Prices at which asks rest."""
        return int(self._store.sides[2 * self._index + 1]["count"])

    def best_bid(self) -> Quote | None:
        """Return the highest bid, or None."""
        return next(iter(self.levels(BID)), None)

    def best_ask(self) -> Quote | None:
        """Return the lowest ask, or None."""
        return next(iter(self.levels(ASK)), None)

    def levels(self, side: int) -> list[Quote]:
        """Return the levels of a side, the best first."""
        block = self._block(side)[::-1]
        prices = block["key"] ^ -(side == ASK)
        return list(map(Quote, prices.tolist(), block["size"].tolist(), block["orders"].tolist()))

    def queue(self, side: int, price: int) -> list[tuple[int, int]]:
        """Return the (order id, lots) resting at a price, first to be filled first."""
        found = []
        for level in self._block(side)[self._block(side)["key"] == price ^ -(side == ASK)]:
            slot = int(level["first"])
            while slot >= 0:
                order = self._store.orders[slot]
                found.append((int(order["order_id"]), int(order["size"])))
                slot = int(order["behind"])
        return found

    def _block(self, side: int) -> Structured:
        block = self._store.sides[2 * self._index + (side == ASK)]
        begin = int(block["begin"])
        return self._store.levels[begin : begin + int(block["count"])]
