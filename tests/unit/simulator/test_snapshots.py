"""Snapshots that the gateway gives to late joiners."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from ifd.records import MBO_DTYPE, MboArray
from ifd.reference.order_book import OrderBook
from ifd.replay import read_mbo
from ifd.units import NANOS_PER_SECOND
from simulator.live.snapshots import OrderFollower
from simulator.live.spool import Spool
from simulator.market import Market, MarketParams, list_chain
from simulator.market.chain import moment_ns

DATE = dt.date(2026, 10, 5)
OPEN_NS = moment_ns(DATE, dt.time(9, 30))
CHAIN = list_chain(DATE)
IDENTS = [contract.instrument_id for contract in CHAIN.contracts]


def books_of(*arrays: MboArray) -> dict[int, OrderBook]:
    books: dict[int, OrderBook] = {}
    for record in np.concatenate(arrays):
        book = books.setdefault(int(record["instrument_id"]), OrderBook())
        book.apply(
            *(
                int(record[name])
                for name in ("action", "side", "order_id", "price", "size", "flags")
            )
        )
    return books


def queues(book: OrderBook) -> dict[tuple[str, int], list[tuple[int, int]]]:
    """Every level's orders in priority."""
    return {
        (side, price): [(ident, order.size) for ident, order in level.orders.items()]
        for side, half in (("B", book.bids), ("A", book.asks))
        for price, level in half.levels.items()
    }


@pytest.fixture(scope="module")
def records() -> MboArray:
    market = Market(5, OPEN_NS, CHAIN, MarketParams(episode_seconds=10.0))
    return market.advance(OPEN_NS + 60 * NANOS_PER_SECOND)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_who_joins_with_a_snapshot_has_the_book_of_who_was_there_all_along(
    records: MboArray, share: float
) -> None:
    ends = np.flatnonzero(records["flags"] & 0x80)
    place = 0 if share == 0 else int(ends[int(share * (len(ends) - 1))]) + 1
    follower = OrderFollower()
    follower.follow(records[:place])

    snapshot = follower.snapshot(IDENTS, OPEN_NS)

    joined = books_of(snapshot, records[place:])
    present = books_of(records)
    assert {ident: queues(book) for ident, book in joined.items()} == {
        ident: queues(book) for ident, book in present.items()
    }
    assert all(book.unknown_orders == 0 and book.complete for book in joined.values())


def test_a_snapshot_is_flagged_as_recorded_ones_are(records: MboArray) -> None:
    follower = OrderFollower()
    follower.follow(records)

    snapshot = follower.snapshot(IDENTS[:2], OPEN_NS + 77)

    first = snapshot[snapshot["instrument_id"] == IDENTS[0]]
    assert chr(first["action"][0]) == "R"
    assert set(first["action"][1:].tolist()) == {ord("A")}
    assert first["flags"].tolist() == [40] * (len(first) - 1) + [168]
    assert set(first["ts_recv"].tolist()) == {OPEN_NS + 77}
    assert set(first["ts_in_delta"].tolist()) == {0}
    assert first["ts_event"][1:].max() <= records["ts_event"].max()


def test_the_snapshot_of_an_empty_book_is_one_clear() -> None:
    (clear,) = OrderFollower().snapshot([42], 9)

    assert (chr(clear["action"]), int(clear["flags"]), int(clear["instrument_id"])) == (
        "R",
        168,
        42,
    )


def test_a_snapshot_of_recorded_data_holds_the_orders_the_exchange_had(data_dir: Path) -> None:
    # MANIFEST.md: 13,598 orders on 976 bid and 571 ask levels at the end of this file.
    (path,) = (data_dir / "glbx" / "esm4_20240508").glob("*mbo*")
    follower = OrderFollower()
    for array in read_mbo([path]):
        follower.follow(array)

    snapshot = follower.snapshot([5602], 1)

    assert len(snapshot) == 1 + 13_598
    (book,) = books_of(snapshot).values()
    assert (len(book.bids.levels), len(book.asks.levels)) == (976, 571)


def test_a_spool_gives_back_what_was_put_in(records: MboArray) -> None:
    spool = Spool()
    spool.append(records[:10])
    spool.append(records[10:25])

    assert len(spool) == 25
    assert spool.read(0, 25).tobytes() == records[:25].tobytes()
    assert spool.read(7, 12).tobytes() == records[7:12].tobytes()
    assert spool.read(20, 99).dtype == MBO_DTYPE
    assert len(spool.read(20, 99)) == 5
    assert len(spool.read(30, 40)) == 0
    spool.close()
