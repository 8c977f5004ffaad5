"""The limits of the live gateway, and what it tells a client that reads too slowly."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import databento_dbn as dbn
import numpy as np
import pytest
from databento.common.error import BentoError
from databento.live.protocol import DatabentoLiveProtocol

from ifd.clock import SystemClock
from ifd.records import MBO_DTYPE, RTYPE_MBO, MboArray
from ifd.units import NANOS_PER_MINUTE
from simulator.live import DEFAULT_KEY, UNLIMITED, ArraySource, KeyRing, Limits, LiveGateway

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.timeout(60)]

SECOND_KEY = "db-second-key-000000000000000000"
START_NS = 1_795_729_500_000_000_000


def market(count: int, *, step_ns: int = 1_000) -> MboArray:
    records = np.zeros(count, MBO_DTYPE)
    records["length"] = MBO_DTYPE.itemsize // 4
    records["rtype"] = RTYPE_MBO
    records["instrument_id"] = 7
    records["ts_event"] = START_NS + np.arange(count) * step_ns
    records["order_id"] = np.arange(count)
    records["action"] = ord("A")
    records["side"] = ord("B")
    return records


@contextlib.asynccontextmanager
async def serving(records: MboArray, **options: Any) -> AsyncIterator[LiveGateway]:
    keys = KeyRing([DEFAULT_KEY, SECOND_KEY])
    async with LiveGateway(
        ArraySource(records), keys=keys, clock=SystemClock(), **options
    ) as gateway:
        yield gateway


class Client(DatabentoLiveProtocol):
    """The vendor's protocol; it keeps the records that are not market data."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"api_key": DEFAULT_KEY, "dataset": "GLBX.MDP3"} | options))
        self.market = 0
        self.control: list[Any] = []

    def received_record(self, record: Any) -> None:
        if isinstance(record, dbn.MBOMsg):
            self.market += 1
        else:
            self.control.append(record)


async def connect(gateway: LiveGateway, **options: Any) -> Client:
    client = Client(**options)
    await asyncio.get_running_loop().create_connection(lambda: client, gateway.host, gateway.port)
    await asyncio.wait(
        [client.authenticated, client.disconnected], return_when=asyncio.FIRST_COMPLETED
    )
    return client


async def test_sessions_are_limited_for_each_key_and_freed_when_they_end() -> None:
    async with serving(market(1), limits=Limits(connects_per_second=None, sessions_per_key=2)) as g:
        first, _second = await connect(g), await connect(g)
        third = await connect(g)
        with pytest.raises(BentoError, match="open connection limit"):
            third.authenticated.result()
        other = await connect(g, api_key=SECOND_KEY)
        first.transport.close()
        while g.sessions > 2:
            await asyncio.sleep(0.01)
        again = await connect(g)

        assert other.authenticated.result()
        assert again.authenticated.result()


async def test_connections_beyond_the_rate_are_closed_without_a_word() -> None:
    async with serving(market(1), limits=Limits(connects_per_second=3, sessions_per_key=None)) as g:
        clients = [await connect(g) for _ in range(4)]
        refused = clients.pop()
        await refused.disconnected
        await asyncio.sleep(1.05)
        later = await connect(g)

        assert not refused.authenticated.done()
        assert all(client.authenticated.result() for client in [*clients, later])


async def test_subscriptions_beyond_the_rate_are_delayed_and_not_refused() -> None:
    async with serving(market(1), limits=Limits(subscriptions_per_second=3)) as gateway:
        client = await connect(gateway)
        begun = time.monotonic()
        for number in range(5):
            client.subscribe("mbo", "7", subscription_id=number)
        client.start()
        while sum(isinstance(one, dbn.SystemMsg) for one in client.control) < 5:
            assert time.monotonic() < begun + 5
            await asyncio.sleep(0.01)
        took = time.monotonic() - begun

    assert 0.95 < took < 3.0


@pytest.mark.parametrize(("start", "held"), [(0, True), (30, True), (90, False)])
async def test_a_replay_older_than_what_is_held_is_refused(start: int, held: bool) -> None:
    records = market(121, step_ns=NANOS_PER_MINUTE)
    async with serving(records, limits=Limits(replay_hours=1.0), close_at_end=True) as gateway:
        whole = await connect(gateway)
        whole.subscribe("mbo", "7")
        whole.start()
        await whole.disconnected
        client = await connect(gateway)
        since = int(records["ts_event"][-1 - start]) if start else 0
        client.subscribe("mbo", "7", start=since)
        client.start()
        await asyncio.wait([client.disconnected])

    errors = [int(one.code) for one in client.control if isinstance(one, dbn.ErrorMsg)]
    assert errors == ([] if held else [dbn.ErrorCode.REPLAY_DATA_AGED_OUT])
    assert client.market == (0 if not held else start + 1 if start else len(records))
    assert (client.disconnected.exception() is None) == held


@pytest.mark.parametrize("options", [{}, {"compression": dbn.Compression.ZSTD}, {"ts_out": True}])
async def test_a_client_that_does_not_read_is_warned_and_loses_nothing(
    options: dict[str, Any],
) -> None:
    records = market(400_000)
    for field in ("order_id", "price", "ts_recv"):
        # Noise: what compresses well fits into the buffers of a socket.
        records[field] = np.random.default_rng(1).integers(0, 1 << 62, len(records))
    async with serving(
        records, limits=UNLIMITED, slow_reader_seconds=0.1, close_at_end=True
    ) as gateway:
        client = await connect(gateway, slow_reader_behavior="warn", **options)
        client.subscribe("mbo", "ALL_SYMBOLS")
        client.transport.pause_reading()
        client.start()
        await asyncio.sleep(0.5)
        client.transport.resume_reading()
        await client.disconnected

    codes = [one.code for one in client.control if isinstance(one, dbn.SystemMsg)]
    assert 1 <= codes.count(dbn.SystemCode.SLOW_READER_WARNING) <= 6
    assert client.market == len(records)
