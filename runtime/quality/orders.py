"""Measures of order records: faults counted by instrument, clocks and books of a whole file.

    records ──► blocks of half a million ──► counts by instrument ──► a row each
                          └──► the file's clock, its books, its trades

A file is read once, in the order it lies on the disk, and no more than a block is held.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from ifd.records import (
    ADD,
    ASK,
    BID,
    CANCEL,
    F_BAD_TS_RECV,
    F_SNAPSHOT,
    FILL,
    MODIFY,
    TRADE,
    MboArray,
)
from ifd.tape import Market
from ifd.units import NANOS_PER_MILLISECOND, NANOS_PER_SECOND, UNDEFINED_PRICE
from runtime.merging import IDENTITY

BLOCK_RECORDS: Final = 500_000
COUNTS: Final = ("records", "trades", "zero_sizes", "off_tick", "repeated", "wrong_sides")
TRADE_COLUMNS: Final = ("instrument_id", "ts_event", "ts_recv", "price", "size", "side")
CLOCK_TOLERANCE_NS: Final = NANOS_PER_MILLISECOND
"""Both clocks are disciplined to far less; recorded captures follow their events by 0.1 ms."""
STEP_BACK_NS: Final = NANOS_PER_SECOND
"""Channels are merged by the provider, and may overtake each other by milliseconds."""
_SIZED: Final = (ADD, MODIFY, CANCEL, TRADE, FILL)
_PRICED: Final = (ADD, MODIFY, TRADE, FILL)

Flags = npt.NDArray[np.bool_]


@dataclasses.dataclass(slots=True)
class FileClock:
    """What the times of a file say, over records that are no snapshot.

    `early` were captured before they happened, `slow` longer after than the skew allows;
    `steps_back` is how often capture time stepped back.
    """

    records: int = 0
    early: int = 0
    slow: int = 0
    steps_back: int = 0
    first_ns: int | None = None
    last_ns: int | None = None


class OrderMeasures:
    """Measures one file after the other of one run.

    Parameters
    ----------
    increments : mapping of int to int
        Smallest price step (1e-9) by instrument id; it may grow while files are read.
    skew_ns : int
        How long after its event a record may be captured.
    """

    def __init__(self, increments: Mapping[int, int], *, skew_ns: int) -> None:
        self._increments = increments
        self._skew_ns = skew_ns
        self._before: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self.counts = pd.DataFrame(columns=list(COUNTS), dtype=np.int64)
        self.clock = FileClock()
        self.trades: list[MboArray] = []

    def begin_file(self) -> None:
        """Count from nothing; what was seen of repetitions goes on."""
        self.counts = pd.DataFrame(columns=list(COUNTS), dtype=np.int64)
        self.clock = FileClock()

    def add(self, block: MboArray) -> None:
        """Take in records in the order of the file."""
        live = block[block["flags"] & F_SNAPSHOT == 0]
        self._count(live)
        self._look_at_times(live)
        self.trades.append(live[live["action"] == TRADE][list(TRADE_COLUMNS)])

    def _count(self, live: MboArray) -> None:
        ids, place = np.unique(live["instrument_id"], return_inverse=True)
        faults = {
            "records": np.ones(len(live), np.bool_),
            "trades": live["action"] == TRADE,
            "zero_sizes": np.isin(live["action"], _SIZED) & (live["size"] == 0),
            "off_tick": self._off_tick(live, ids, place),
            "repeated": self._repeated(live),
            "wrong_sides": wrong_sides(live),
        }
        found = {
            name: np.bincount(place[flags], minlength=len(ids)) for name, flags in faults.items()
        }
        part = pd.DataFrame(found, index=pd.Index(ids, dtype=np.int64))
        self.counts = self.counts.add(part, fill_value=0).astype(np.int64)

    def _off_tick(
        self, live: MboArray, ids: npt.NDArray[np.uint32], place: npt.NDArray[np.intp]
    ) -> Flags:
        # What nobody defined has no step, and is told of as such.
        steps = np.array([self._increments.get(int(one), 0) or 1 for one in ids], np.int64)
        priced = np.isin(live["action"], _PRICED) & (live["price"] != UNDEFINED_PRICE)
        return np.asarray(priced & (live["price"] % steps[place] != 0))

    def _repeated(self, live: MboArray) -> Flags:
        """Return which orders were entered or cancelled before, in this block or the one before.

        Only these can happen once alone: one order may be filled twice by the same lots.
        """
        repeated = np.zeros(len(live), np.bool_)
        once = np.flatnonzero(np.isin(live["action"], (ADD, CANCEL)))
        fields = pd.DataFrame({name: live[name][once] for name in IDENTITY})
        hashes = pd.util.hash_pandas_object(fields, index=False).to_numpy()
        repeated[once] = pd.Series(hashes).duplicated().to_numpy() | np.isin(hashes, self._before)
        self._before = hashes.astype(np.uint64)
        return repeated

    def _look_at_times(self, live: MboArray) -> None:
        clock = self.clock
        clock.records += len(live)
        told = live[live["flags"] & F_BAD_TS_RECV == 0]
        if not len(told):
            return
        capture = told["ts_recv"].astype(np.int64)
        latency = capture - told["ts_event"].astype(np.int64)
        clock.early += int(np.count_nonzero(latency < -CLOCK_TOLERANCE_NS))
        clock.slow += int(np.count_nonzero(latency > self._skew_ns))
        reached = np.asarray(np.maximum.accumulate(capture))
        if clock.last_ns is not None:
            reached = np.maximum(reached, clock.last_ns)
            clock.steps_back += int(capture[0] < clock.last_ns - STEP_BACK_NS)
        clock.steps_back += int(np.count_nonzero(capture[1:] < reached[:-1] - STEP_BACK_NS))
        clock.first_ns = int(capture[0]) if clock.first_ns is None else clock.first_ns
        clock.last_ns = int(reached[-1])


class BookMeasures:
    """What the books of a run say: how often they were crossed, and met orders never seen."""

    def __init__(self) -> None:
        self._market = Market()
        self._told = np.zeros(4, np.int64)

    def add(self, block: MboArray) -> None:
        """Take in records in wire order, snapshots included."""
        self._market.update(block)

    def take(self) -> tuple[float, float]:
        """Return the share of events that left a book crossed, and of records of unknown orders.

        Both since the last call; the second over books that are complete.
        """
        books = self._market.instruments()
        whole = [book for book in books if book.complete]
        totals = np.array(
            [
                sum(book.events for book in books),
                sum(book.crossed_events for book in books),
                sum(book.records for book in whole),
                sum(book.unknown_orders for book in whole),
            ],
            np.int64,
        )
        events, crossed, records, unknown = (totals - self._told).tolist()
        self._told = totals
        return crossed / max(events, 1), max(unknown, 0) / max(records, 1)


def wrong_sides(live: MboArray) -> Flags:
    """Return which fills are of the aggressor's own side.

    A buyer meets sellers: a fill follows its trade in the same event, and rests on the other side.
    A trade of no side says nothing.
    """
    wrong = np.zeros(len(live), np.bool_)
    places = np.flatnonzero(np.isin(live["action"], (TRADE, FILL)))
    prints = live[places]
    is_trade = prints["action"] == TRADE
    latest = np.maximum.accumulate(np.where(is_trade, np.arange(len(prints)), -1))
    fills = np.flatnonzero(~is_trade & (latest >= 0))
    fill, trade = prints[fills], prints[latest[fills]]
    together = (fill["instrument_id"] == trade["instrument_id"]) & (
        fill["ts_event"] == trade["ts_event"]
    )
    sided = np.isin(trade["side"], (BID, ASK))
    wrong[places[fills]] = together & sided & (fill["side"] == trade["side"])
    return wrong


def blocks_of(arrays: Iterable[MboArray]) -> Iterator[MboArray]:
    """Give arrays joined to blocks of about `BLOCK_RECORDS`."""
    waiting: list[MboArray] = []
    for array in arrays:
        waiting.append(array)
        if sum(map(len, waiting)) >= BLOCK_RECORDS:
            yield np.concatenate(waiting)
            waiting.clear()
    if waiting:
        yield np.concatenate(waiting)
