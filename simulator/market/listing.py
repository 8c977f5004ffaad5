"""What the simulation keeps about one listed instrument: its book, its makers, its fair value."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Final

from ifd.units import NANOS_PER_SECOND, PRICE_SCALE
from simulator.market.chain import CENTRE, Contract
from simulator.market.definitions import FUTURES_CHANNEL, OPTIONS_CHANNEL, TICK
from simulator.market.exchange import Book, Order, OrderIds
from simulator.market.pricing import fair_value, volatility
from simulator.market.quoting import Quoter
from simulator.market.tape import Tape

TICKS_PER_POINT: Final = PRICE_SCALE // TICK
_MEAN_REVERSION_SECONDS: Final = 12 * 3_600.0
_PUSH_HALF_LIFE_SECONDS: Final = 90.0


class FuturePath:
    """The future's fair price: a diffusion drawn back to the centre over half a day."""

    def __init__(
        self, rng: random.Random, *, start_ns: int, price: float, minute_volatility: float
    ) -> None:
        self._rng = rng
        self._ns = start_ns
        self._price = price
        self._root_second = minute_volatility / math.sqrt(60.0)

    def at(self, ns: int) -> float:
        """Return the price in points at `ns`, which must not run back."""
        seconds = (ns - self._ns) / NANOS_PER_SECOND
        self._ns = ns
        pull = (CENTRE - self._price) * seconds / _MEAN_REVERSION_SECONDS
        self._price += pull + self._root_second * math.sqrt(seconds) * self._rng.gauss(0.0, 1.0)
        return self._price


class Listing:
    """One instrument in the simulated market."""

    __slots__ = ("_push", "_push_ns", "_volatility", "book", "contract", "makers", "strangers")

    def __init__(
        self, contract: Contract, makers: Sequence[Quoter], tape: Tape, ids: OrderIds
    ) -> None:
        self.contract = contract
        self.makers = makers
        channel = FUTURES_CHANNEL if contract.strike is None else OPTIONS_CHANNEL
        self.book = Book(contract.instrument_id, channel, tape, ids)
        self.strangers: dict[int, Order] = {}
        """Small orders of everybody who makes no market, oldest first."""
        self._push = 0.0
        self._push_ns = 0
        self._volatility = 0.0 if contract.strike is None else volatility(contract.strike, CENTRE)

    def fair(self, future: float, ns: int) -> float:
        """Return the fair value in ticks, with what recent large flow has pushed it by."""
        contract = self.contract
        if contract.strike is None:
            return future * TICKS_PER_POINT
        value = fair_value(
            future,
            contract.strike,
            contract.expiration_ns - ns,
            self._volatility,
            call=contract.right == "C",
        )
        if self._push:
            value += self._pushed(ns) / TICKS_PER_POINT
        return value * TICKS_PER_POINT

    def push(self, ticks: float, ns: int) -> None:
        """Shift what makers think this is worth; the shift halves every minute and a half."""
        self._push = self._pushed(ns) + ticks
        self._push_ns = ns

    def requote_all(self, future: float, ns: int) -> None:
        """Let every maker renew its quotes."""
        fair = self.fair(future, ns)
        for maker in self.makers:
            maker.requote(self.book, fair, self.strangers, ns)

    def _pushed(self, ns: int) -> float:
        age = (ns - self._push_ns) / NANOS_PER_SECOND
        left = self._push * 0.5 ** (age / _PUSH_HALF_LIFE_SECONDS)
        return left if abs(left) > 0.25 else 0.0


def makers_of(contract: Contract, rng: random.Random) -> list[Quoter]:
    """Return the three makers of an instrument, the tightest first."""
    if contract.strike is None:
        return [
            Quoter(rng, half_spread=0.6 + 0.7 * i, widening=0.0, step=1, levels=8, size=6 + 3 * i)
            for i in range(3)
        ]
    return [
        Quoter(rng, half_spread=2.0 + i, widening=0.002, step=2, levels=6, size=20 + 5 * i)
        for i in range(3)
    ]
