"""What clients see of each fault of the live gateway, and that it strikes exactly where planned."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import databento_dbn as dbn
import numpy as np
import pytest
import zstandard
from databento.common.cram import get_challenge_response
from databento.common.error import BentoError

from ifd.clock import SystemClock
from ifd.gateway import Subscription, Timing
from ifd.records import MBO_DTYPE, RTYPE_MBO, MboArray
from simulator.live import DEFAULT_KEY, ArraySource, Fault, FaultName, FaultPlan, KeyRing
from simulator.live.gateway import LiveGateway
from tests.feeds import ReadableFeed

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.timeout(60)]

START_NS = 1_795_729_500_000_000_000
HEADER_PREFIX = 8


def market(count: int, *, instruments: int = 9) -> MboArray:
    """Orders in several instruments, 20 us apart on average, some of them at the same time."""
    rng = np.random.default_rng(1)
    records = np.zeros(count, MBO_DTYPE)
    records["length"] = MBO_DTYPE.itemsize // 4
    records["rtype"] = RTYPE_MBO
    records["instrument_id"] = rng.integers(1, instruments + 1, count)
    records["ts_event"] = START_NS + np.sort(rng.integers(0, count, count)) * 20_000
    records["ts_recv"] = records["ts_event"]
    records["order_id"] = np.arange(1, count + 1)
    records["action"] = ord("A")
    records["side"] = ord("B")
    return records


@contextlib.asynccontextmanager
async def serving(
    records: MboArray, *faults: str, close_at_end: bool = True
) -> AsyncIterator[LiveGateway]:
    gateway = LiveGateway(
        ArraySource(records),
        keys=KeyRing([DEFAULT_KEY]),
        clock=SystemClock(),
        close_at_end=close_at_end,
        plan=FaultPlan.parse(faults),
    )
    async with gateway:
        yield gateway


class Seen:
    """What came over one connection: the DBN header, then octets, then how it ended."""

    def __init__(self, version: int, octets: bytes, end: str) -> None:
        self.version = version
        self.octets = octets
        self.end = end

    def records(self) -> list[bytes]:
        """Every whole record; stops where there is none."""
        found, place = [], 0
        while place < len(self.octets) and (length := self.octets[place] * 4) >= 16:
            if place + length > len(self.octets):
                break
            found.append(self.octets[place : place + length])
            place += length
        return found

    def mbo(self) -> MboArray:
        octets = b"".join(one for one in self.records() if one[1] == RTYPE_MBO)
        return np.frombuffer(octets, MBO_DTYPE)

    def errors(self) -> list[int]:
        decoder = dbn.DBNDecoder(has_metadata=False, input_version=3)
        others = b"".join(one for one in self.records() if one[1] != RTYPE_MBO)
        decoder.write(others)
        return [int(one.code) for one in decoder.decode() if isinstance(one, dbn.ErrorMsg)]


async def receive(
    port: int,
    *,
    start: int | None = None,
    symbols: str = "ALL_SYMBOLS",
    compression: str = "none",
    seconds: float = 10.0,
) -> Seen:
    """Play a client with no policy of its own: read until the end, or for so long."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    octets, end = b"", "silence"
    try:
        async with asyncio.timeout(seconds):
            await _begin(reader, writer, start, symbols, compression)
            while part := await reader.read(1 << 20):
                octets += part
            end = "fin"
    except TimeoutError:
        pass
    except ConnectionResetError:
        end = "rst"
    finally:
        writer.close()
    if compression == "zstd":
        octets = zstandard.ZstdDecompressor().decompressobj().decompress(octets)
    header = HEADER_PREFIX + int.from_bytes(octets[4:HEADER_PREFIX], "little")
    return Seen(octets[3], octets[header:], end)


async def _begin(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    start: int | None,
    symbols: str,
    compression: str,
) -> None:
    assert (await reader.readline()).startswith(b"lsg_version=")
    challenge = (await reader.readline()).decode().strip().removeprefix("cram=")
    answer = get_challenge_response(challenge, DEFAULT_KEY)
    asked = f"dataset=GLBX.MDP3|encoding=dbn|ts_out=0|compression={compression}"
    writer.write(f"auth={answer}|{asked}\n".encode())
    response = (await reader.readline()).decode()
    if not response.startswith("success=1"):
        raise BentoError(response)
    replay = "" if start is None else f"|start={start}"
    writer.write(f"schema=mbo|stype_in=raw_symbol|symbols={symbols}{replay}\n".encode())
    writer.write(b"start_session=0\n")


async def test_an_array_comes_out_byte_for_byte() -> None:
    records = market(100_000)
    async with serving(records) as gateway:
        seen = await receive(gateway.port)

    assert seen.mbo().tobytes() == records.tobytes()
    assert seen.end == "fin"


async def test_clients_at_the_same_time_are_each_sent_what_they_asked_for() -> None:
    records = market(200_000)
    async with serving(records) as gateway:
        seen = await asyncio.gather(
            *(receive(gateway.port, start=0, symbols=symbols) for symbols in ("1,2", "3", "9,4,1"))
        )

    for one, idents in zip(seen, ([1, 2], [3], [9, 4, 1]), strict=True):
        expected = records[np.isin(records["instrument_id"], idents)]
        assert one.mbo().tobytes() == expected.tobytes()


async def test_nothing_waits_in_the_compressor() -> None:
    records = market(1_000)
    async with serving(records, "hang:777") as gateway:
        seen = await receive(gateway.port, seconds=0.3, compression="zstd")

    assert seen.end == "silence"
    assert seen.mbo().tobytes() == records[:777].tobytes()


async def test_who_joins_an_array_later_sees_what_is_left_and_a_replay_brings_the_rest() -> None:
    records = market(100_000)
    async with serving(records, "hang:40000") as gateway:
        first = await receive(gateway.port, seconds=0.3)
        late = await receive(gateway.port)
        middle = int(records["ts_event"][70_000])
        replay = await receive(gateway.port, start=middle)

    assert len(first.mbo()) == 40_000
    joined_at = len(records) - len(late.mbo())
    assert 40_000 <= joined_at < 60_000
    assert late.mbo().tobytes() == records[joined_at:].tobytes()
    assert replay.mbo().tobytes() == records[records["ts_event"] >= middle].tobytes()


async def test_a_first_replay_begins_in_the_middle_of_an_array() -> None:
    records = market(50_000)
    middle = int(records["ts_event"][30_000])
    async with serving(records) as gateway:
        seen = await receive(gateway.port, start=middle)

    assert seen.mbo().tobytes() == records[records["ts_event"] >= middle].tobytes()


@pytest.mark.parametrize(
    ("name", "end"), [("close", "fin"), ("truncate", "fin"), ("hang", "silence")]
)
async def test_a_planned_fault_strikes_after_exactly_so_many_records(name: str, end: str) -> None:
    records = market(50_000)
    async with serving(records, f"{name}:12345") as gateway:
        seen = await receive(gateway.port, seconds=0.4 if end == "silence" else 10.0)
        struck = list(gateway.struck)

    assert seen.end == end
    assert seen.mbo().tobytes() == records[:12_345].tobytes()
    rest = len(seen.octets) - sum(map(len, seen.records()))
    assert rest == (MBO_DTYPE.itemsize // 2 if name == "truncate" else 0)
    assert [(one.fault.name, one.records) for one in struck] == [(name, 12_345)]


async def test_a_cut_is_a_reset() -> None:
    records = market(50_000)
    async with serving(records, "cut:20000") as gateway:
        seen = await receive(gateway.port)

    assert seen.end == "rst"
    assert seen.mbo().tobytes() == records[: len(seen.mbo())].tobytes()
    assert len(seen.mbo()) <= 20_000


async def test_garbage_is_no_record_and_the_market_goes_on_behind_it() -> None:
    records = market(20_000)
    async with serving(records, "garbage:5000") as gateway:
        seen = await receive(gateway.port)

    good = sum(map(len, seen.records()))
    assert seen.mbo().tobytes() == records[:5_000].tobytes()
    assert seen.octets[good] == 0
    assert seen.octets[good + 1_000 :] == records[5_000:].tobytes()


async def test_a_slow_gateway_sends_no_more_than_its_rate() -> None:
    async with serving(market(1_500), "slow:1000:1000") as gateway:
        begun = time.monotonic()
        seen = await receive(gateway.port)
        took = time.monotonic() - begun

    assert len(seen.mbo()) == 1_500
    assert 0.5 <= took < 3.0


async def test_after_a_duplicate_the_replay_begins_earlier_than_asked() -> None:
    records = market(50_000, instruments=1)
    records["ts_event"] = START_NS + np.arange(50_000)
    start = int(records["ts_event"][20_000])
    async with serving(records, "duplicate:700:25000") as gateway:
        cut = await receive(gateway.port)
        overlapping = await receive(gateway.port, start=start)
        exact = await receive(gateway.port, start=start)

    assert cut.end == "rst"
    assert overlapping.mbo().tobytes() == records[19_300:].tobytes()
    assert exact.mbo().tobytes() == records[20_000:].tobytes()


@pytest.mark.parametrize(
    ("code", "fatal"), [(1, True), (3, True), (6, True), (8, True), (4, False), (7, False)]
)
async def test_an_error_ends_the_session_where_its_code_is_fatal(code: int, fatal: bool) -> None:
    records = market(20_000)
    async with serving(records, f"error:{code}:5000") as gateway:
        seen = await receive(gateway.port)

    assert seen.errors() == [code]
    assert len(seen.mbo()) == (5_000 if fatal else 20_000)
    assert seen.end == "fin"


async def test_a_hole_is_announced_and_never_filled() -> None:
    records = market(60_000)
    async with serving(records, "skip:20000:15000") as gateway:
        seen = await receive(gateway.port)
        replay = await receive(gateway.port, start=0)
        left_out = gateway.left_out

    assert left_out.tobytes() == records[15_000:35_000].tobytes()
    rest = np.concatenate([records[:15_000], records[35_000:]])
    assert seen.mbo().tobytes() == replay.mbo().tobytes() == rest.tobytes()
    assert (seen.errors(), replay.errors()) == ([7], [7])


async def test_no_fault_strikes_within_a_hole_and_one_at_the_end_is_announced_too() -> None:
    records = market(30_000)
    async with serving(records, "skip:5000:1000", "skip:9999:0", "close:20000") as gateway:
        seen = await receive(gateway.port)

    assert seen.errors() == [7, 7]
    assert len(gateway.left_out) == 5_000 + 9_999
    assert seen.mbo().tobytes() == np.concatenate([records[:1_000], records[15_999:]]).tobytes()

    async with serving(records, "skip:5000:28000") as gateway:
        seen = await receive(gateway.port)

    assert seen.errors() == [7]
    assert seen.mbo().tobytes() == records[:28_000].tobytes()


async def test_while_the_gateway_refuses_nobody_listens() -> None:
    async with serving(market(50_000), "refuse:0.4:10000") as gateway:
        begun = time.monotonic()
        assert (await receive(gateway.port)).end == "rst"
        with pytest.raises(ConnectionRefusedError):
            await receive(gateway.port)
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                again = await receive(gateway.port, start=0)
                break
            await asyncio.sleep(0.02)
        took = time.monotonic() - begun

    assert len(again.mbo()) == 50_000
    assert took >= 0.4


async def test_faults_of_connecting_hold_for_so_many_connections() -> None:
    plan = ("hang-at-connect:1", "auth-fail:1", "version:1")
    async with serving(market(100), *plan) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read(1)
        writer.close()
        with pytest.raises(BentoError, match="Authentication failed"):
            await receive(gateway.port)
        newer = await receive(gateway.port)
        usual = await receive(gateway.port, start=0)
        struck = [one.fault.name for one in gateway.struck]

    assert (newer.version, usual.version) == (4, 3)
    assert len(usual.mbo()) == 100
    assert struck == [FaultName.HANG_AT_CONNECT, FaultName.AUTH_FAIL, FaultName.VERSION]


async def test_a_fault_without_a_place_strikes_every_session_at_once() -> None:
    async with serving(market(100), close_at_end=False) as gateway:
        clients = [asyncio.create_task(receive(gateway.port, start=0)) for _ in range(2)]
        while gateway.sessions < 2:
            await asyncio.sleep(0.01)
        gateway.strike(Fault.parse("error:internal-error"))
        seen = await asyncio.gather(*clients)
        gateway.strike(Fault.parse("cut"))
        later = asyncio.create_task(receive(gateway.port, start=0, seconds=0.2))

        assert [one.errors() for one in seen] == [[6], [6]]
        assert (await later).end == "silence"


async def test_the_feed_has_every_record_once_after_a_dozen_random_faults() -> None:
    records = market(500_000)
    gateway = LiveGateway(
        ArraySource(records),
        keys=KeyRing([DEFAULT_KEY]),
        clock=SystemClock(),
        plan=FaultPlan.random(7, records=len(records), count=12),
    )
    async with gateway:
        feed = ReadableFeed(
            host="127.0.0.1",
            port=gateway.port,
            key=DEFAULT_KEY,
            dataset="GLBX.MDP3",
            subscriptions=[Subscription("mbo", ("ALL_SYMBOLS",), "raw_symbol", start_ns=0)],
            clock=SystemClock(),
            timing=Timing(first_wait_seconds=0.01),
            reconnect_max_seconds=0.05,
        )
        running = asyncio.create_task(feed.run())
        received: list[MboArray] = []
        left = len(records)
        while left > 0:
            arrivals = await feed.get(65_536)
            chunks = [one.chunk for one in arrivals if isinstance(one.chunk, np.ndarray)]
            left -= sum(map(len, chunks))
            received += chunks
        feed.stop()
        await running
        struck = len(gateway.struck)

    assert struck == 12
    joined = np.concatenate(received)
    for ident in range(1, 10):
        expected = records[records["instrument_id"] == ident]
        assert joined[joined["instrument_id"] == ident].tobytes() == expected.tobytes()
