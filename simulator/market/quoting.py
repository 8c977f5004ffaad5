"""Makers: each keeps a ladder of bids and asks around its fair value and re-quotes on its own beat.

Ladders lie on a grid, so a small move of the future re-prices one rung a side instead of all: the
rung that is now farthest becomes the best. A maker never crosses: a ladder that would is pushed
back behind the other side's best, until that side has moved too.
"""

from __future__ import annotations

import math
import random
from typing import Final

from ifd.records import ASK, BID
from simulator.market.exchange import Book, Order

_QUIETEST_BEAT: Final = 2
"""A maker that wrote fewer records than this renews the size of one more order."""


class Quoter:
    """One maker's quotes in one instrument.

    Parameters
    ----------
    half_spread : float
        Distance of its best quotes from fair value, in ticks.
    widening : float
        What it adds to that, as a share of the fair value.
    step, levels : int
        Ticks between rungs; rungs a side.
    size : int
        Usual lots of an order.
    """

    __slots__ = ("_half_spread", "_levels", "_orders", "_rng", "_size", "_step", "_widening")

    def __init__(
        self,
        rng: random.Random,
        *,
        half_spread: float,
        widening: float,
        step: int,
        levels: int,
        size: int,
    ) -> None:
        self._rng = rng
        self._half_spread = half_spread
        self._widening = widening
        self._step = step
        self._levels = levels
        self._size = size
        self._orders: dict[int, dict[int, Order]] = {BID: {}, ASK: {}}

    def requote(self, book: Book, fair: float, strangers: dict[int, Order], ts_event: int) -> None:
        """Bring both ladders around `fair` (ticks), as one event.

        `strangers` are the small orders of others in this book: whoever the market has run over
        pulls out rather than be in the way.
        """
        half = self._half_spread + self._widening * fair
        bid = math.floor((fair - half) / self._step) * self._step
        ask = max(math.ceil((fair + half) / self._step) * self._step, self._step)
        book.begin(ts_event)
        for order in [o for o in strangers.values() if _is_run_over(o, bid, ask)]:
            book.cancel(order)
        asks = self._orders[ASK]
        if asks and ask > min(asks):
            # Rising: out of the way first.
            self._requote_asks(book, ask)
            self._requote_bids(book, bid)
        else:
            self._requote_bids(book, bid)
            self._requote_asks(book, ask)
        if book.records_in_event() < _QUIETEST_BEAT:
            self._renew_one(book)
        book.end()

    def _requote_bids(self, book: Book, best: int) -> None:
        step = self._step
        best = min(best, (book.best_ask() - 1) // step * step)
        lowest = max(best - self._levels * step, 0)
        self._move_ladder(book, BID, range(best, lowest, -step))

    def _requote_asks(self, book: Book, best: int) -> None:
        step = self._step
        best = max(best, (book.best_bid() // step + 1) * step)
        self._move_ladder(book, ASK, range(best, best + self._levels * step, step))

    def _move_ladder(self, book: Book, side: int, wanted: range) -> None:
        held = self._orders[side]
        stale = [held[price] for price in held if price not in wanted]
        missing = [price for price in wanted if price not in held]
        while stale and missing:
            order = stale.pop()
            price = missing.pop()
            del held[order.price]
            book.move(order, price, self._lots())
            order.key = price
            held[price] = order
        for price in missing:
            book.add(side, price, self._lots(), held, price)
        for order in stale:
            book.cancel(order)
        for order in held.values():
            if 3 * order.size < self._size:
                book.move(order, order.price, self._lots())

    def _renew_one(self, book: Book) -> None:
        # While the market stands still, sizes are still adjusted, as real makers do all day.
        held = self._orders[BID if self._rng.random() < 0.5 else ASK]
        if held:
            order = held[list(held)[int(self._rng.random() * len(held))]]
            book.move(order, order.price, self._lots())

    def _lots(self) -> int:
        return 1 + int(self._size * (0.6 + 0.8 * self._rng.random()))


def _is_run_over(order: Order, bid: int, ask: int) -> bool:
    return order.price >= ask if order.side == BID else order.price <= bid
