"""Planted institutional sweeps, and the truth about them.

An aggressor takes several prices of one strike within a second or two, sometimes with the strike
beside it. What was really done is kept as a label for whoever measures a detector.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ifd.records import ASK, BID
from ifd.sessions import session_date
from ifd.units import NANOS_PER_MILLISECOND, NANOS_PER_SECOND
from simulator.market.chain import Contract
from simulator.market.listing import Listing

LONGEST_NS: Final = 4 * NANOS_PER_SECOND
"""From planting to the last trade of an episode, at most."""
_LEVELS: Final = 6
_FEWEST_LOTS: Final = 150
_MOST_LOTS: Final = 400
_SHARE_OF_DEPTH: Final = 0.75
_COORDINATED_SHARE: Final = 0.3
_PUSH_TICKS: Final = 4.0


@dataclass(frozen=True, slots=True)
class Leg:
    """One instrument of an episode, and what the institution does in it: BUY or SELL."""

    instrument_id: int
    raw_symbol: str
    side: Literal["BUY", "SELL"]


@dataclass(frozen=True, slots=True)
class Episode:
    """The truth about one planted flow; times are `ts_event` of its first and last trade."""

    episode_id: str
    kind: str
    institutional: bool
    session_date: str
    legs: tuple[Leg, ...]
    start_ns: int
    end_ns: int
    lots: int

    def to_json(self) -> dict[str, Any]:
        """Return the episode as one object of `labels.json`."""
        # Any: strings, numbers and the list of legs.
        return {
            "episode_id": self.episode_id,
            "kind": self.kind,
            "institutional": self.institutional,
            "session_date": self.session_date,
            "legs": [
                {"instrument_id": leg.instrument_id, "raw_symbol": leg.raw_symbol, "side": leg.side}
                for leg in self.legs
            ],
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
            "lots": self.lots,
        }


@dataclass(slots=True)
class Sweep:
    """A sweep under way: its remaining orders, each `(ns, listing, lots)`, earliest last."""

    number: int
    side: int
    listings: tuple[Listing, ...]
    orders: list[tuple[int, Listing, int]] = field(default_factory=list)
    trade_times: list[int] = field(default_factory=list)
    lots: int = 0

    def prepare(self, rng: random.Random, ns: int) -> None:
        """Slice the sweep into one to four orders a leg, within a second and a half."""
        begin = ns
        for listing in self.listings:
            depth = listing.book.depth(ASK if self.side == BID else BID, _LEVELS)
            wanted = rng.randint(_FEWEST_LOTS, _MOST_LOTS)
            lots = min(wanted, int(depth * _SHARE_OF_DEPTH))
            slices = rng.randint(1, 4)
            offsets = sorted(rng.randint(0, 1_500) for _ in range(slices - 1))
            for offset in (0, *offsets):
                at = begin + offset * NANOS_PER_MILLISECOND
                self.orders.append((at, listing, -(-lots // slices)))
            begin += rng.randint(80, 300) * NANOS_PER_MILLISECOND
        self.orders.sort(key=lambda order: -order[0])

    def execute_next(self) -> None:
        """Send the next order to the market."""
        ns, listing, lots = self.orders.pop()
        done = listing.book.take(self.side, lots, _LEVELS, ns)
        if done:
            self.lots += done
            self.trade_times.append(listing.book.last_event_ns)
            sign = 1.0 if self.side == BID else -1.0
            listing.push(sign * _PUSH_TICKS * lots / _FEWEST_LOTS, ns)

    def episode(self) -> Episode:
        """Return the label of the finished sweep."""
        start = self.trade_times[0]
        side: Literal["BUY", "SELL"] = "BUY" if self.side == BID else "SELL"
        return Episode(
            episode_id=f"{session_date(start)}-{self.number:04d}",
            kind="sweep",
            institutional=True,
            session_date=session_date(start),
            legs=tuple(_leg(listing.contract, side) for listing in self.listings),
            start_ns=start,
            end_ns=self.trade_times[-1],
            lots=self.lots,
        )


class SweepPlanner:
    """Chooses where the next sweep goes: never where one has been lately."""

    def __init__(self, rng: random.Random, options: Sequence[Listing]) -> None:
        self._rng = rng
        self._options = list(options)
        self._last_used = {listing.contract.instrument_id: 0 for listing in options}
        self._planned = 0

    def plan(self) -> Sweep | None:
        """Return a new sweep, or None while no strike has the depth for one."""
        side = self._rng.choice((BID, ASK))
        resting = ASK if side == BID else BID
        deep = [
            listing
            for listing in self._options
            if listing.book.depth(resting, _LEVELS) * _SHARE_OF_DEPTH >= _FEWEST_LOTS
        ]
        if not deep:
            return None
        self._rng.shuffle(deep)
        deep.sort(key=lambda listing: self._last_used[listing.contract.instrument_id])
        listings = [deep[0]]
        if self._rng.random() < _COORDINATED_SHARE:
            listings += [other for other in deep if _adjacent(other.contract, deep[0].contract)][:1]
        self._planned += 1
        for listing in listings:
            self._last_used[listing.contract.instrument_id] = self._planned
        return Sweep(self._planned, side, tuple(listings))


def _adjacent(one: Contract, other: Contract) -> bool:
    if one.strike is None or other.strike is None or one.right != other.right:
        return False
    return one.asset == other.asset and 0 < abs(one.strike - other.strike) <= 100


def _leg(contract: Contract, side: Literal["BUY", "SELL"]) -> Leg:
    return Leg(contract.instrument_id, contract.raw_symbol, side)
