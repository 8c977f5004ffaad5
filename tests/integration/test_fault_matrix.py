"""The feed against the local exchange over TCP, which breaks at random points of fixed seeds.

Whatever strikes, what is received equals what was served: nothing lost, nothing doubled, the order
of every instrument kept; and a gap stays open exactly where the gateway really had a hole.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator

import numpy as np
import pytest

from ifd.clock import SystemClock
from ifd.gateway import FeedGap, Stretch, Subscription, Timing
from ifd.records import MBO_DTYPE, RTYPE_MBO, MboArray
from simulator.live import DEFAULT_KEY, ArraySource, FaultPlan, KeyRing
from simulator.live.gateway import LiveGateway
from tests.feeds import ReadableFeed

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.timeout(120)]

START_NS = 1_795_729_500_000_000_000
ALL = Subscription("mbo", ("ALL_SYMBOLS",), "raw_symbol", start_ns=0)
QUICK = Timing(
    connect_seconds=5.0,
    authenticate_seconds=0.25,
    silence_margin_seconds=-4.7,  # of the shortest heartbeat the gateway offers, 5 s
    first_wait_seconds=0.01,
)
STRIKING = ("cut", "close", "garbage", "truncate", "duplicate", "error:6", "refuse:0.05")
EVERY = (*STRIKING, "hang", "hang-at-connect:1", "error:4")
LARGE_SESSIONS = 10
SMALL_SESSIONS = 200
BATCHES = 10


def market(count: int, *, seed: int, spacing_ns: int = 20_000) -> MboArray:
    """Orders in 40 instruments, some at the same time, out of event order among channels."""
    rng = np.random.default_rng(seed)
    records = np.zeros(count, MBO_DTYPE)
    records["length"] = MBO_DTYPE.itemsize // 4
    records["rtype"] = RTYPE_MBO
    records["instrument_id"] = np.minimum(rng.zipf(1.4, count), 40)
    clock = START_NS + np.sort(rng.integers(0, count, count)) * spacing_ns
    records["ts_recv"] = clock
    records["ts_event"] = clock - records["instrument_id"].astype(np.int64) % 3 * 400_000
    records["order_id"] = np.arange(1, count + 1)
    records["action"] = ord("A")
    records["side"] = ord("B")
    return records


@dataclasses.dataclass
class Received:
    """What came of a session, and what was said of its gaps and stretches."""

    records: MboArray
    gaps: list[FeedGap]
    stretches: list[Stretch]
    feed: ReadableFeed

    @property
    def open_gaps(self) -> list[FeedGap]:
        """The last word on each gap, where that is not that it was made good."""
        last = {gap.number: gap for gap in self.gaps}
        return [gap for gap in last.values() if gap.state == "open"]


@contextlib.asynccontextmanager
async def serving(records: MboArray, plan: FaultPlan) -> AsyncIterator[LiveGateway]:
    gateway = LiveGateway(
        ArraySource(records), keys=KeyRing([DEFAULT_KEY]), clock=SystemClock(), plan=plan
    )
    async with gateway:
        yield gateway


async def receive(gateway: LiveGateway, wanted: int) -> Received:
    """Run a feed until it has `wanted` records and has caught up."""
    gaps: list[FeedGap] = []
    feed = ReadableFeed(
        host="127.0.0.1",
        port=gateway.port,
        key=DEFAULT_KEY,
        dataset="GLBX.MDP3",
        subscriptions=[ALL],
        clock=SystemClock(),
        heartbeat_seconds=5,
        timing=QUICK,
        reconnect_max_seconds=0.02,
        on_gap=gaps.append,
    )
    running = asyncio.create_task(feed.run())
    arrays: list[MboArray] = []
    count = 0
    while arrivals := await feed.get(1 << 18):
        arrays += [one.chunk for one in arrivals if isinstance(one.chunk, np.ndarray)]
        count += sum(one.records for one in arrivals if isinstance(one.chunk, np.ndarray))
        if count >= wanted and feed.caught_up:
            feed.stop()
    await running
    return Received(np.concatenate(arrays), gaps, feed.take_stretches(), feed)


def assert_same(received: MboArray, served: MboArray) -> None:
    """Nothing lost, nothing doubled, every instrument's order kept."""
    assert len(received) == len(served)
    by_instrument = [np.argsort(one["instrument_id"], kind="stable") for one in (received, served)]
    assert np.array_equal(received[by_instrument[0]], served[by_instrument[1]])


@pytest.mark.parametrize("seed", range(LARGE_SESSIONS))
async def test_two_million_records_with_a_dozen_faults_are_two_million_records(seed: int) -> None:
    served = market(2_000_000, seed=seed)
    plan = FaultPlan.random(seed, records=len(served), count=12, choices=STRIKING)

    async with serving(served, plan) as gateway:
        received = await receive(gateway, len(served))
        struck = len(gateway.struck)

    assert struck == 12
    assert_same(received.records, served)
    assert received.open_gaps == []
    assert [stretch.number for stretch in received.stretches] == [1]


@pytest.mark.parametrize("batch", range(BATCHES))
async def test_a_small_session_with_any_faults_is_whole(batch: int) -> None:
    size = SMALL_SESSIONS // BATCHES
    for seed in range(batch * size, (batch + 1) * size):
        served = market(8_000, seed=seed, spacing_ns=1_000_000)
        plan = FaultPlan.random(seed, records=len(served), count=seed % 4 + 1, choices=EVERY)

        async with serving(served, plan) as gateway:
            received = await receive(gateway, len(served))

        assert_same(received.records, served)
        assert received.open_gaps == [], f"seed {seed}: {plan}"


@pytest.mark.parametrize("seed", range(8))
async def test_a_gap_stays_open_exactly_where_the_gateway_had_a_hole(seed: int) -> None:
    """One instrument, so that the records before and behind a hole are beyond doubt."""
    rng = np.random.default_rng(seed)
    served = market(30_000, seed=seed, spacing_ns=1_000_000)
    served["instrument_id"] = 7
    served["ts_event"] = served["ts_recv"]
    places = rng.integers(2_000, 8_000, 3).tolist()
    plan = FaultPlan.parse(
        [f"skip:{100 * (number + 1)}:{place}" for number, place in enumerate(places)]
        + ["close:2000", "cut:1500"]
    )

    async with serving(served, plan) as gateway:
        missing = sum(100 * (number + 1) for number in range(3))
        received = await receive(gateway, len(served) - missing)
        left_out = gateway.left_out["order_id"].astype(np.int64) - 1

    keep = np.ones(len(served), np.bool_)
    keep[left_out] = False
    edges = np.flatnonzero(np.diff(keep.astype(np.int8)))
    holes = list(zip(edges[::2] + 1, edges[1::2] + 1, strict=True))
    stamps = served["ts_event"]
    assert len(holes) == 3
    assert_same(received.records, served[keep])
    assert [(gap.start_ns, gap.end_ns, gap.cause) for gap in received.open_gaps] == [
        (int(stamps[start - 1]), int(stamps[stop]), "skipped") for start, stop in holes
    ]
    ends = [(stretch.start_ns, stretch.end_ns) for stretch in received.stretches]
    assert [(before[1], after[0]) for before, after in itertools.pairwise(ends)] == [
        (int(stamps[start - 1]), int(stamps[stop])) for start, stop in holes
    ]
