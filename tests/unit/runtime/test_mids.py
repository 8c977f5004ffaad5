"""Mids at moments, held against the plain book told record by record."""

from __future__ import annotations

import datetime as dt
import random

import numpy as np
import pytest

from ifd.params import WindowParams
from ifd.records import F_LAST, MboArray
from ifd.reference.order_book import OrderBook
from ifd.symbols import instrument_from_definition
from ifd.units import NANOS_PER_SECOND
from runtime.mids import Mid, MidSampler, Moment
from simulator.market import Market, MarketParams, definition_messages, list_chain
from simulator.market.chain import moment_ns

DATE = dt.date(2026, 10, 5)
OPEN_NS = moment_ns(DATE, dt.time(9, 30))
SECONDS = 20


@pytest.fixture(scope="module")
def records() -> MboArray:
    market = Market(4, OPEN_NS, list_chain(DATE), MarketParams(records_per_second=200.0))
    return market.advance(OPEN_NS + SECONDS * NANOS_PER_SECOND)


def plain_mid(records: MboArray, moment: Moment) -> int | None:
    """Return the mid of a plain book that was told everything up to a moment."""
    book, mid = OrderBook(), None
    mine = records[records["instrument_id"] == moment.instrument_id]
    for one in mine[mine["ts_event"] <= moment.ts_ns]:
        book.apply(
            *(int(one[name]) for name in ("action", "side", "order_id", "price", "size", "flags"))
        )
        if one["flags"] & F_LAST:
            bid, ask = book.best_bid(), book.best_ask()
            mid = None if bid is None or ask is None else (bid.price + ask.price) // 2
    return mid


@pytest.mark.parametrize("pieces", [1, 7], ids=["whole", "in pieces"])
def test_a_mid_is_that_of_the_plain_book_however_the_stream_is_cut(
    records: MboArray, pieces: int
) -> None:
    rng = random.Random(9)
    idents = np.unique(records["instrument_id"]).tolist()
    at_events = rng.sample(records["ts_event"].tolist(), 20)
    between = [OPEN_NS + rng.randrange(SECONDS * NANOS_PER_SECOND) for _ in range(20)]
    behind = [OPEN_NS + 2 * SECONDS * NANOS_PER_SECOND]
    moments = [Moment(int(ts), rng.choice(idents)) for ts in (*at_events, *between, *behind)]
    sampler = MidSampler(moments, WindowParams())
    sampler.define(map(instrument_from_definition, definition_messages(list_chain(DATE), DATE)))

    for piece in np.array_split(records, pieces):
        sampler.update(piece)
    found = sampler.finish()

    assert {each: found[each].price for each in moments} == {
        each: plain_mid(records, each) for each in moments
    }
    assert sum(mid.price is not None for mid in found.values()) > 30


def test_before_its_first_record_nothing_is_known_of_a_book(records: MboArray) -> None:
    moment = Moment(OPEN_NS - 1, int(records["instrument_id"][0]))
    sampler = MidSampler([moment], WindowParams())
    sampler.define(map(instrument_from_definition, definition_messages(list_chain(DATE), DATE)))

    sampler.update(records)

    assert sampler.finish() == {moment: Mid(None, "incomplete")}
    assert sampler.has_seen(moment.instrument_id)
    assert not sampler.has_seen(1)


def test_a_book_that_may_lack_orders_has_no_mid(records: MboArray) -> None:
    # Without the clears in front, orders may rest that were never seen.
    moment = Moment(OPEN_NS + SECONDS * NANOS_PER_SECOND, int(records["instrument_id"][-1]))
    sampler = MidSampler([moment], WindowParams())
    sampler.define(map(instrument_from_definition, definition_messages(list_chain(DATE), DATE)))

    sampler.update(records[records["action"] != ord("R")])

    assert sampler.finish() == {moment: Mid(None, "incomplete")}
