"""The live feed against a gateway on loopback: whatever it does, the records are whole."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import random
import socket
import struct
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import numpy as np
import pytest

from ifd.clock import SystemClock
from ifd.errors import (
    AuthenticationFailedError,
    EnvironmentProblemError,
    GatewayRefusedError,
    GatewayUnreachableError,
    UnsupportedDataError,
)
from ifd.gateway import FeedGap, Subscription, Timing
from ifd.records import MBO_DTYPE, RTYPE_MBO, MboArray
from ifd.replay import read_mbo
from ifd.source import Arrival
from tests.feeds import ReadableFeed

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.timeout(60)]

KEY = "db-feed-test-00000000000000000000"
MBO = Subscription("mbo", ("NQ.OPT",))
DEFINITIONS = Subscription("definition", ("NQ.OPT",), start_ns=0)
QUICK = Timing(
    connect_seconds=2.0,
    authenticate_seconds=0.3,
    silence_margin_seconds=0.0,
    first_wait_seconds=0.01,
)
START_NS = 1_795_729_500_000_000_000


def market(count: int, *, seed: int = 1) -> MboArray:
    """Orders in nine instruments, one a millisecond on average.

    Many share a timestamp, and instruments are out of event order among each other by up to a
    millisecond, as they are when they come over several channels.
    """
    rng = np.random.default_rng(seed)
    records = np.zeros(count, MBO_DTYPE)
    records["length"] = MBO_DTYPE.itemsize // 4
    records["rtype"] = RTYPE_MBO
    records["instrument_id"] = rng.integers(1, 10, count)
    clock = np.sort(rng.integers(0, count, count)) // 4 * 4_000_000
    channel_delay = records["instrument_id"].astype(np.int64) % 3 * 400_000
    records["ts_event"] = START_NS + clock - channel_delay
    records["ts_recv"] = START_NS + clock
    records["order_id"] = np.arange(1, count + 1)
    records["action"] = ord("A")
    records["side"] = ord("B")
    return records


def definition(instrument_id: int) -> bytes:
    return bytes(
        dbn.InstrumentDefMsg(
            publisher_id=1,
            instrument_id=instrument_id,
            ts_event=START_NS - 10**15,
            ts_recv=START_NS,
            min_price_increment=250_000_000,
            display_factor=10_000_000,
            raw_symbol=f"NQZ6 C{instrument_id}",
            asset="NQ",
            security_type="OOF",
            instrument_class=dbn.InstrumentClass.CALL,
            security_update_action=dbn.SecurityUpdateAction.ADD,
        )
    )


def system(code: dbn.SystemCode, text: str) -> bytes:
    return bytes(dbn.SystemMsg(ts_event=START_NS, msg=text, code=code))


def error(code: dbn.ErrorCode, text: str = "as the test wants it") -> bytes:
    return bytes(dbn.ErrorMsg(ts_event=START_NS, err=text, code=code))


@dataclasses.dataclass
class Turn:
    """What the gateway does with one connection.

    It sends records up to place `until`, then ends as `end` says: reset, close, hang, or stay.
    """

    until: int | None = None
    end: str = "stay"
    greeting: bytes = b"lsg_version=0.6.1\n"
    prelude: bytes = b""
    last_words: bytes = b""
    refusal: str | None = None
    header: bytes | None = None
    segments: tuple[int, int] = (1, 60_000)


class Gateway:
    """A gateway that speaks the live protocol as documented and breaks where it is told to.

    One `Turn` after the other, the last one again and again. A session without start begins at
    place 0 the first time and at `present` later; one with start gets what lies at or after it.
    """

    def __init__(
        self,
        records: MboArray,
        turns: Sequence[Turn] = (Turn(),),
        *,
        definitions: Sequence[bytes] = (),
        seed: int = 1,
    ) -> None:
        self.records = records
        self.turns = list(turns)
        self.definitions = definitions
        self.connections = 0
        self.present = 0
        self.requests: list[list[dict[str, str]]] = []
        self.port = 0
        self._random = random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[Gateway]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        turn = self.turns[min(self.connections, len(self.turns) - 1)]
        self.connections += 1
        try:
            if await self._authenticate(reader, writer, turn):
                await self._stream(reader, writer, turn)
                await self._end(reader, writer, turn)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client left
        finally:
            writer.close()

    async def _authenticate(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, turn: Turn
    ) -> bool:
        if turn.end == "mute":
            await reader.read()
            return False
        writer.write(turn.greeting + b"cram=some-challenge\n")
        fields = _fields(await reader.readuntil(b"\n"))
        expected = hashlib.sha256(f"some-challenge|{KEY}".encode()).hexdigest() + f"-{KEY[-5:]}"
        if turn.refusal is None and fields["auth"] != expected:
            turn = dataclasses.replace(turn, refusal="Authentication failed.")
        if turn.refusal is not None:
            writer.write(f"success=0|error={turn.refusal}\n".encode())
            return False
        assert fields["dataset"] == "GLBX.MDP3"
        assert fields["encoding"] == "dbn"
        writer.write(b"success=1|session_id=1\n")
        await writer.drain()
        return True

    async def _stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, turn: Turn
    ) -> None:
        requests = []
        while "start_session" not in (request := _fields(await reader.readuntil(b"\n"))):
            requests.append(request)
        self.requests.append(requests)
        writer.write(turn.header or session_header())
        writer.write(turn.prelude)
        for request in requests:
            await self._answer(writer, request, turn)

    async def _answer(
        self, writer: asyncio.StreamWriter, request: dict[str, str], turn: Turn
    ) -> None:
        start = request.get("start")
        writer.write(system(dbn.SystemCode.SUBSCRIPTION_ACK, f"{request['schema']} symbol"))
        if request["schema"] == "definition":
            writer.write(b"".join(self.definitions))
            writer.write(system(dbn.SystemCode.REPLAY_COMPLETED, "Finished definition replay"))
            return
        until = len(self.records) if turn.until is None else turn.until
        begin = 0 if start is not None or self.connections == 1 else self.present
        sent, late = self.records[begin:until], self.records[until:until]
        if start is not None:
            # Live begins somewhere after what was live already.
            known = int((sent["ts_event"][: self.present] >= int(start)).sum())
            sent = sent[sent["ts_event"] >= int(start)]
            caught_up = self._random.randint(min(known, len(sent)), len(sent))
            sent, late = sent[:caught_up], sent[caught_up:]
        await self._send(writer, sent.tobytes(), turn)
        whole = until == len(self.records) or self._random.random() < 0.5
        if start is not None and whole and not turn.last_words:
            writer.write(system(dbn.SystemCode.REPLAY_COMPLETED, "Finished mbo replay"))
        await self._send(writer, late.tobytes(), turn)
        self.present = max(self.present, until)
        writer.write(turn.last_words)
        await writer.drain()

    async def _send(self, writer: asyncio.StreamWriter, data: bytes, turn: Turn) -> None:
        place = 0
        while place < len(data):
            size = self._random.randint(*turn.segments)
            writer.write(data[place : place + size])
            place += size
            await writer.drain()
            await asyncio.sleep(0)

    async def _end(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, turn: Turn
    ) -> None:
        if turn.end == "reset":
            # What is in flight is lost, as on a broken line; how much is left to chance.
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        elif turn.end in ("stay", "hang"):
            await reader.read()


def _fields(line: bytes) -> dict[str, str]:
    return dict(part.split("=", 1) for part in line.decode().strip().split("|"))


def session_header(version: int = 3) -> bytes:
    return dbn.Metadata(
        dataset="GLBX.MDP3",
        start=START_NS,
        stype_in=None,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=None,
        version=version,
    ).encode()


def make_feed(port: int, *subscriptions: Subscription, **options: Any) -> ReadableFeed:
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "key": KEY,
        "dataset": "GLBX.MDP3",
        "clock": SystemClock(),
        "heartbeat_seconds": 30,
        "reconnect_max_seconds": 0.05,
        "timing": QUICK,
    }
    return ReadableFeed(subscriptions=subscriptions or (MBO,), **{**given, **options})


@dataclasses.dataclass
class Heard:
    """What a consumer took from a feed until it was satisfied."""

    arrivals: list[Arrival] = dataclasses.field(default_factory=list)
    orders: int = 0

    def take(self, arrivals: list[Arrival]) -> None:
        self.arrivals += arrivals
        self.orders += sum(len(one.chunk) for one in arrivals if isinstance(one.chunk, np.ndarray))

    @property
    def records(self) -> MboArray:
        arrays = [one.chunk for one in self.arrivals if isinstance(one.chunk, np.ndarray)]
        return np.concatenate(arrays) if arrays else np.zeros(0, MBO_DTYPE)

    def of_type(self, kind: type) -> list[Any]:
        return [one.chunk for one in self.arrivals if isinstance(one.chunk, kind)]


async def listen(
    feed: ReadableFeed,
    enough: Callable[[Heard], bool],
    *,
    max_records: int = 5_000,
    pause: Callable[[], Awaitable[None]] | None = None,
) -> Heard:
    """Run `feed` until `enough` is heard, then drain it."""
    heard = Heard()
    running = asyncio.create_task(feed.run())
    try:
        while arrivals := await feed.get(max_records):
            heard.take(arrivals)
            if pause is not None:
                await pause()
            if enough(heard):
                feed.stop()
        await running
    finally:
        running.cancel()
    return heard


def has(count: int) -> Callable[[Heard], bool]:
    return lambda heard: heard.orders >= count


async def settle(condition: Callable[[], bool]) -> None:
    """Wait for a condition with a deadline."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def orders_by_instrument(records: MboArray) -> dict[int, list[int]]:
    orders: dict[int, list[int]] = defaultdict(list)
    for record in records:
        orders[int(record["instrument_id"])].append(int(record["order_id"]))
    return orders


def assert_same(received: MboArray, served: MboArray) -> None:
    """Nothing lost, nothing doubled, every instrument's order kept."""
    assert len(received) == len(served)
    assert orders_by_instrument(received) == orders_by_instrument(served)
    assert np.array_equal(np.sort(received, order="order_id"), served)


@pytest.mark.parametrize("segments", [(1, 70), (1, 5_000), (100_000, 300_000)])
async def test_however_the_network_cuts_the_bytes_the_records_are_those_served(
    segments: tuple[int, int],
) -> None:
    served = market(3_000)
    turn = Turn(segments=segments, prelude=bytes([6, 0x77]) + bytes(22))
    async with Gateway(served, [turn]).listening() as gateway:
        feed = make_feed(gateway.port)

        heard = await listen(feed, has(len(served)))

    assert np.array_equal(heard.records, served)
    assert feed.counters.records == len(served) + 1
    assert feed.counters.unknown_records == 1
    assert (feed.counters.gaps, feed.counters.reconnects) == (0, 0)
    assert feed.counters.last_ts_event == int(served["ts_event"].max())
    assert feed.state == "closed"


@pytest.mark.parametrize("seed", range(12))
async def test_a_feed_cut_again_and_again_is_the_feed_never_cut(seed: int) -> None:
    rng = random.Random(seed)
    served = market(20_000, seed=seed)
    places = sorted(rng.sample(range(500, len(served)), 5))
    ends = ("reset", "close")
    turns = [Turn(until=place, end=rng.choice(ends)) for place in places]
    gaps: list[FeedGap] = []
    archived: list[MboArray] = []
    async with Gateway(served, [*turns, Turn()], seed=seed).listening() as gateway:
        feed = make_feed(
            gateway.port,
            on_gap=gaps.append,
            tap=lambda chunk: (
                archived.append(chunk.copy()) if isinstance(chunk, np.ndarray) else None
            ),
        )

        heard = await listen(feed, lambda heard: heard.orders >= 20_000 and feed.caught_up)

    assert_same(heard.records, served)
    assert np.array_equal(np.concatenate(archived), heard.records)
    assert feed.counters.reconnects == 5
    assert feed.counters.gaps == len({gap.number for gap in gaps})
    assert {gap.number for gap in gaps if gap.state == "replayed"} == {g.number for g in gaps}


async def test_a_gap_is_told_when_it_opens_and_again_when_it_is_replayed() -> None:
    served = market(1_000)
    gaps: list[FeedGap] = []
    async with Gateway(served, [Turn(until=400, end="close"), Turn()]).listening() as gateway:
        feed = make_feed(gateway.port, on_gap=gaps.append)

        heard = await listen(feed, lambda heard: heard.orders == 1_000 and feed.caught_up)

    opened, closed = gaps
    assert (opened.number, opened.state, opened.cause, opened.end_ns) == (1, "open", "closed", None)
    assert opened.start_ns == int(served["ts_event"][:400].max())
    assert (closed.number, closed.state, closed.start_ns) == (1, "replayed", opened.start_ns)
    assert closed.end_ns is not None
    assert closed.end_ns >= closed.start_ns
    resumed = int(gateway.requests[1][0]["start"])
    assert opened.start_ns - 10**9 <= resumed <= opened.start_ns
    assert any(arrival.late for arrival in heard.arrivals)


async def test_a_replay_of_the_session_is_late_until_it_has_caught_up() -> None:
    served = market(2_000)
    async with Gateway(served).listening() as gateway:
        feed = make_feed(gateway.port, dataclasses.replace(MBO, start_ns=START_NS - 10**9))

        heard = await listen(feed, lambda heard: heard.orders == 2_000 and feed.caught_up)

    finished = next(
        place
        for place, arrival in enumerate(heard.arrivals)
        if isinstance(arrival.chunk, dbn.SystemMsg)
        and arrival.chunk.code == dbn.SystemCode.REPLAY_COMPLETED
    )
    assert all(arrival.late for arrival in heard.arrivals[: finished + 1])
    assert not any(arrival.late for arrival in heard.arrivals[finished + 1 :])
    assert gateway.requests[0][0]["start"] == str(START_NS - 10**9)


async def test_definitions_sent_again_after_a_cut_are_not_news() -> None:
    served = market(1_000)
    known = [definition(number) for number in range(50)]
    gateway = Gateway(served, [Turn(until=300, end="reset"), Turn()], definitions=known)
    async with gateway.listening():
        feed = make_feed(gateway.port, DEFINITIONS, MBO)

        heard = await listen(feed, lambda heard: heard.orders == 1_000 and feed.caught_up)

    assert_same(heard.records, served)
    assert len(heard.of_type(dbn.InstrumentDefMsg)) == 50
    assert feed.counters.duplicates >= 50


async def test_a_wrong_key_ends_the_feed_and_says_so() -> None:
    async with Gateway(market(10)).listening() as gateway:
        feed = make_feed(gateway.port, key="db-some-other-key-00000000000000")

        with pytest.raises(AuthenticationFailedError, match=r"Authentication failed"):
            await listen(feed, has(1))

    assert gateway.connections == 1
    assert feed.state == "closed"


async def test_a_slow_consumer_slows_the_gateway_and_loses_nothing() -> None:
    served = market(60_000)
    async with Gateway(served, [Turn(segments=(50_000, 200_000))]).listening() as gateway:
        feed = make_feed(gateway.port, queue_events=2_000)

        heard = await listen(
            feed, has(len(served)), max_records=700, pause=lambda: asyncio.sleep(0.002)
        )

    assert np.array_equal(heard.records, served)
    assert max(arrival.records for arrival in heard.arrivals) <= 700
    assert 1_000 <= feed.counters.queue_high_water <= 2_000
    assert feed.counters.pauses > 5
    assert feed.counters.queue_depth == 0


async def test_a_consumer_stalled_longer_than_the_silence_limit_does_not_cut_the_feed() -> None:
    served = market(5_000)
    async with Gateway(served).listening() as gateway:
        feed = make_feed(gateway.port, queue_events=500, heartbeat_seconds=0.2)
        running = asyncio.create_task(feed.run())
        await settle(lambda: feed.counters.queue_depth >= 250)

        await asyncio.sleep(0.7)

        assert feed.counters.reconnects == 0
        feed.stop()
        await running


async def test_stopping_leaves_what_is_queued_readable() -> None:
    async with Gateway(market(300)).listening() as gateway:
        feed = make_feed(gateway.port)
        running = asyncio.create_task(feed.run())
        await settle(lambda: feed.counters.records == 301)

        feed.stop()
        await running
        taken = [await feed.get(200), await feed.get(200), await feed.get(200)]

    assert [sum(arrival.records for arrival in part) for part in taken] == [200, 101, 0]
    assert gateway.connections == 1


async def test_stopping_interrupts_a_connection_that_hangs_and_a_wait() -> None:
    async with Gateway(market(1), [Turn(end="mute")]).listening() as gateway:
        hanging = make_feed(gateway.port, timing=Timing())
        waiting = make_feed(1, timing=Timing(first_wait_seconds=30))
        running = [asyncio.create_task(feed.run()) for feed in (hanging, waiting)]
        await settle(lambda: gateway.connections == 1 and waiting.state == "reconnecting")

        async with asyncio.timeout(2):
            hanging.stop()
            waiting.stop()
            await asyncio.gather(*running)

    assert await hanging.get(1) == []


async def test_a_gateway_that_is_not_there_yet_is_awaited() -> None:
    served = market(100)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    feed = make_feed(port)
    listening = asyncio.create_task(listen(feed, has(100)))
    await settle(lambda: feed.counters.reconnects >= 2)
    assert feed.last_error is not None
    assert "unreachable" in feed.last_error

    async with Gateway(served).listening(port):
        heard = await listening

    assert np.array_equal(heard.records, served)
    assert feed.counters.gaps == 0


async def test_a_tool_may_give_up_on_a_gateway_that_is_not_there() -> None:
    feed = make_feed(1, give_up_after_seconds=0.2)

    with pytest.raises(GatewayUnreachableError, match=r"127\.0\.0\.1:1 was not reached"):
        await listen(feed, has(1))


@pytest.mark.parametrize(
    ("turn", "cause"),
    [
        (Turn(end="mute"), "timeout"),
        (Turn(greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n"), "corrupt"),
        (Turn(greeting=b"\xff\xfe\x00\n"), "corrupt"),
        (Turn(until=0, header=b"SSH-2.0-OpenSSH_9.6 and more\r\n"), "corrupt"),
        (Turn(until=0, end="close"), "closed"),
        (Turn(until=0, end="reset"), "reset"),
    ],
    ids=["hang at connect", "http", "bytes", "ssh after the key", "close", "reset"],
)
async def test_a_bad_first_connection_is_tried_again(turn: Turn, cause: str) -> None:
    served = market(100)
    async with Gateway(served, [turn, Turn()]).listening() as gateway:
        gateway.present = 0
        feed = make_feed(gateway.port)

        heard = await listen(feed, has(100))

    assert np.array_equal(heard.records, served)
    assert feed.last_error is not None
    assert f"({cause})" in feed.last_error


async def test_silence_is_taken_for_a_dead_gateway() -> None:
    served = market(500)
    gaps: list[FeedGap] = []
    async with Gateway(served, [Turn(until=200, end="hang"), Turn()]).listening() as gateway:
        feed = make_feed(gateway.port, heartbeat_seconds=1, on_gap=gaps.append)

        heard = await listen(feed, lambda heard: heard.orders == 500 and feed.caught_up)

    assert_same(heard.records, served)
    assert [gap.cause for gap in gaps] == ["silence", "silence"]


async def test_garbage_in_the_stream_is_never_taken_for_records() -> None:
    served = market(500)
    rubbish = Turn(until=200, last_words=bytes([3, 9, 9, 9]) * 50, end="hang")
    async with Gateway(served, [rubbish, Turn()]).listening() as gateway:
        feed = make_feed(gateway.port)

        heard = await listen(feed, lambda heard: heard.orders == 500 and feed.caught_up)

    assert_same(heard.records, served)
    assert feed.last_error is not None
    assert "(corrupt)" in feed.last_error


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (dbn.ErrorCode.AUTH_FAILED, AuthenticationFailedError),
        (dbn.ErrorCode.API_KEY_DEACTIVATED, AuthenticationFailedError),
        (dbn.ErrorCode.CONNECTION_LIMIT_EXCEEDED, GatewayRefusedError),
        (dbn.ErrorCode.INVALID_SUBSCRIPTION, GatewayRefusedError),
    ],
    ids=str,
)
async def test_what_cannot_get_better_ends_the_feed(
    code: dbn.ErrorCode, expected: type[Exception]
) -> None:
    turn = Turn(until=0, last_words=error(code), end="close")
    async with Gateway(market(1), [turn]).listening() as gateway:
        with pytest.raises(expected, match="as the test wants it"):
            await listen(make_feed(gateway.port), has(1))

    assert gateway.connections == 1


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (dbn.ErrorCode.CONNECTION_LIMIT_EXCEEDED, "error"),
        (dbn.ErrorCode.INTERNAL_ERROR, "error"),
        (dbn.ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING, "skipped"),
    ],
    ids=str,
)
async def test_what_may_pass_is_answered_by_coming_back_for_what_was_missed(
    code: dbn.ErrorCode, cause: str
) -> None:
    served = market(500)
    gaps: list[FeedGap] = []
    bad = Turn(until=200, last_words=error(code), end="close")
    async with Gateway(served, [bad, Turn()]).listening() as gateway:
        feed = make_feed(gateway.port, on_gap=gaps.append)

        heard = await listen(feed, lambda heard: heard.orders == 500 and feed.caught_up)

    assert_same(heard.records, served)
    assert [gap.cause for gap in gaps] == [cause, cause]


async def test_a_symbol_that_means_nothing_is_noted_and_the_others_stream() -> None:
    prelude = error(dbn.ErrorCode.SYMBOL_RESOLUTION_FAILED, "QN9.OPT means nothing")
    async with Gateway(market(100), [Turn(prelude=prelude)]).listening() as gateway:
        feed = make_feed(gateway.port)

        await listen(feed, has(100))

    assert feed.unresolved_symbols == ("QN9.OPT means nothing",)
    assert feed.counters.reconnects == 0


async def test_a_replay_too_old_to_be_had_leaves_an_open_gap_with_both_ends() -> None:
    served = market(600)
    gaps: list[FeedGap] = []
    aged = Turn(until=0, last_words=error(dbn.ErrorCode.REPLAY_DATA_AGED_OUT), end="close")
    turns = [Turn(until=200, end="close"), aged, Turn()]
    gateway = Gateway(served, turns)
    async with gateway.listening():
        feed = make_feed(gateway.port, DEFINITIONS, MBO, on_gap=gaps.append)
        running = asyncio.create_task(listen(feed, has(300)))
        await settle(lambda: feed.counters.reconnects >= 1)
        gateway.present = 500

        heard = await running

    assert heard.records["order_id"].tolist() == [*range(1, 201), *range(501, 601)]
    assert [(gap.state, gap.cause) for gap in gaps] == [("open", "closed"), ("open", "closed")]
    assert gaps[1].end_ns == int(served["ts_event"][500])
    last = {request["schema"]: request for request in gateway.requests[-1]}
    assert "start" not in last["mbo"]
    assert last["mbo"]["snapshot"] == "1"


async def test_a_newer_dbn_version_ends_the_feed() -> None:
    newer = b"DBN\x04" + session_header()[4:]
    async with Gateway(market(1), [Turn(header=newer)]).listening() as gateway:
        with pytest.raises(UnsupportedDataError, match="version 4"):
            await listen(make_feed(gateway.port), has(1))


async def test_an_archive_that_cannot_be_written_ends_the_feed() -> None:
    def full(_chunk: object) -> None:
        raise OSError(28, "No space left on device")

    async with Gateway(market(10)).listening() as gateway:
        with pytest.raises(EnvironmentProblemError, match="No space left"):
            await listen(make_feed(gateway.port, tap=full), has(1))


async def test_a_key_refused_for_its_connections_is_refused_only_at_the_start() -> None:
    limit = Turn(refusal="User has reached their open connection limit")
    served = market(500)
    async with Gateway(served, [limit]).listening() as gateway:
        with pytest.raises(GatewayRefusedError, match="connection limit"):
            await listen(make_feed(gateway.port), has(1))
    later = [Turn(until=200, end="reset"), limit, Turn()]
    async with Gateway(served, later).listening() as gateway:
        heard = await listen(make_feed(gateway.port), has(500))

    assert_same(heard.records, served)


async def test_a_snapshot_cut_in_the_middle_is_asked_for_again() -> None:
    served = market(500)
    served["flags"][:100] = 0x20
    asked = dataclasses.replace(MBO, snapshot=True)
    gaps: list[FeedGap] = []
    gateway = Gateway(served, [Turn(until=50, end="close"), Turn()])
    async with gateway.listening():
        feed = make_feed(gateway.port, DEFINITIONS, asked, on_gap=gaps.append)
        running = asyncio.create_task(listen(feed, has(550)))
        await settle(lambda: feed.counters.reconnects >= 1)
        gateway.present = 0

        heard = await running

    assert heard.records["order_id"].tolist() == [*range(1, 51), *range(1, 501)]
    assert [request[1]["snapshot"] for request in gateway.requests] == ["1", "1"]
    assert [gap.state for gap in gaps] == ["open", "open"]
    assert gaps[1].end_ns == int(served["ts_recv"][0])


@asynccontextmanager
async def local_exchange(directory: Path, scratch: Path) -> AsyncIterator[tuple[int, Any]]:
    """Serve recorded files as the local exchange does; give its port and its control input."""
    ready = scratch / "ready.json"
    command = [sys.executable, "-m", "simulator", "--ready-file", str(ready), "--control"]
    process = await asyncio.create_subprocess_exec(
        *command,
        *("--serve", str(directory), "--speed", "0", "--key", KEY),
        *("--replay-hours", "0"),  # orders of a snapshot may be days old
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(30):
            while not ready.is_file():
                await asyncio.sleep(0.02)
        yield json.loads(ready.read_text())["port"], process.stdin
    finally:
        process.terminate()
        await process.wait()


async def test_a_recorded_session_over_tcp_is_the_file_even_when_the_line_is_cut(
    data_dir: Path, tmp_path: Path
) -> None:
    """Real snapshot and live events, served by the local exchange, cut within the snapshot."""
    directory = data_dir / "glbx/esm4_20240508"
    recorded = np.concatenate(list(read_mbo(directory.glob("*_mbo_*.dbn.zst"))))
    async with local_exchange(directory, tmp_path) as (port, control):
        feed = make_feed(
            port,
            dataclasses.replace(DEFINITIONS, symbols=("ES.FUT",)),
            dataclasses.replace(MBO, symbols=("ES.FUT",)),
            queue_events=1_000,
        )

        async def cut_once() -> None:
            if feed.counters.reconnects == 0 and feed.counters.records > 4_000:
                control.write(b"cut\n")
                await settle(lambda: feed.counters.reconnects > 0 or feed.counters.pauses > 0)
            await asyncio.sleep(0.001)

        heard = await listen(
            feed,
            lambda heard: heard.orders >= len(recorded) and feed.caught_up,
            max_records=400,
            pause=cut_once,
        )

    assert np.array_equal(heard.records, recorded)
    assert feed.counters.reconnects >= 1
    assert [message.raw_symbol for message in heard.of_type(dbn.InstrumentDefMsg)] == ["ESM4"]
