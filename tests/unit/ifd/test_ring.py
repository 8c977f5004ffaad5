"""The queue between socket and engine: in shared memory, bounded, losing nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import databento_dbn as dbn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ifd.errors import EnvironmentProblemError, IngestLostError
from ifd.gateway import RingMemory, RingReader, RingWriter, SpillingWriter
from ifd.records import MBO_DTYPE, MboArray
from ifd.source import Arrival, Item, Notice

pytestmark = pytest.mark.asyncio

LARGE = 2**40


class Socket:
    """What the ring sees of a transport."""

    def __init__(self) -> None:
        self.reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def orders(count: int, first: int = 1) -> MboArray:
    records = np.zeros(count, MBO_DTYPE)
    records["order_id"] = np.arange(first, first + count)
    return records


def batch(count: int, first: int = 1) -> Arrival:
    return Arrival(orders(count, first), received_ns=first, late=bool(first % 2))


def own(item: Item) -> Item:
    """Copy an array, which is a view of the ring."""
    if isinstance(item, Arrival) and isinstance(item.chunk, np.ndarray):
        return dataclasses.replace(item, chunk=item.chunk.copy())
    return item


def ring(limit: int = 100) -> tuple[RingWriter, RingReader]:
    memory = RingMemory(limit)
    return RingWriter(memory), RingReader(memory)


async def take(reader: RingReader, wanted: int) -> list[int]:
    async with asyncio.timeout(60):
        return [one.records for one in await reader.get(wanted) if isinstance(one, Arrival)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def test_the_socket_is_left_unread_from_half_full_down_to_a_quarter() -> None:
    (writer, reader), socket = ring(100), Socket()
    writer.attach(socket)

    writer.put(batch(49))
    writer.publish()
    assert socket.reading
    writer.put(batch(1))
    writer.publish()
    assert not socket.reading
    await take(reader, 24)
    await take(reader, 1)
    await asyncio.sleep(0.1)
    assert not socket.reading  # what was handed out last is given back by the next call
    await take(reader, 1)

    await until(lambda: socket.reading)
    assert (writer.depth, writer.high_water, writer.pauses) == (25, 50, 1)
    assert writer.memory["waited_ns"] > 0
    await end(writer, reader)


async def end(writer: RingWriter, reader: RingReader) -> list[Item]:
    """Close, drain, and let the loop's descriptors go."""
    writer.close()
    left: list[Item] = []
    async with asyncio.timeout(10):
        while items := await reader.get(1_000):
            left += [own(item) for item in items]
        await writer.finished()
    writer.memory.close()
    return left


async def test_a_new_connection_begins_unread_while_the_engine_is_behind() -> None:
    (writer, reader), second = ring(100), Socket()
    writer.attach(Socket())
    writer.put(batch(60))
    writer.publish()
    writer.detach()

    writer.attach(second)
    assert not second.reading
    await take(reader, 60)
    reader_done = asyncio.create_task(reader.get(1))

    await until(lambda: second.reading)
    reader_done.cancel()
    await end(writer, reader)


async def test_arrays_are_cut_to_what_was_asked_for_and_messages_count_as_one() -> None:
    writer, reader = ring()
    writer.put(batch(10))
    writer.put(Arrival(dbn.SystemMsg(ts_event=1, msg="Heartbeat"), received_ns=2))
    writer.put(batch(3))
    writer.publish()

    assert [await take(reader, wanted) for wanted in (4, 7, 100)] == [[4], [6, 1], [3]]
    await end(writer, reader)


async def test_what_is_put_is_unseen_until_it_is_published() -> None:
    writer, reader = ring()
    waiting = asyncio.create_task(take(reader, 10))
    writer.put(batch(2))
    await asyncio.sleep(0.02)
    assert not waiting.done()

    writer.publish()

    assert await waiting == [2]
    await end(writer, reader)


async def test_a_closed_ring_gives_what_is_left_and_then_nothing() -> None:
    writer, reader = ring()
    writer.put(batch(2))
    writer.publish()
    writer.close()

    assert [await take(reader, 10), await take(reader, 10)] == [[2], []]
    writer.memory.close()


async def test_a_queue_too_small_for_one_read_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 64"):
        RingMemory(10)


async def test_what_is_read_off_the_socket_always_fits() -> None:
    """However small the records of one read are, and whatever is in the ring already."""
    writer, reader = ring(64)
    while room := writer.room_bytes // 40:
        for _ in range(min(room, 5)):
            writer.put(Arrival(dbn.StatusMsg(1, 1, 1, 1, dbn.StatusAction.HALT), received_ns=1))
        writer.publish()

    assert writer.depth == 64
    await end(writer, reader)


async def test_a_full_ring_can_still_say_so() -> None:
    writer, reader = ring(64)
    writer.put(batch(64))
    writer.publish()

    writer.tell(Notice("status", {"state": "live", "last_error": None}))

    items = await end(writer, reader)
    assert items[-1] == Notice("status", {"state": "live", "last_error": None})


async def test_notices_that_find_no_room_wait_for_it_in_their_order() -> None:
    writer, reader = ring(64)
    told = [Notice("status", {"number": number, "padding": "x" * 3_000}) for number in range(900)]

    for notice in told:
        writer.tell(notice)

    assert writer.notices_wait
    assert await end(writer, reader) == told


async def test_a_reader_that_is_gone_is_noticed() -> None:
    writer, _ = ring()
    writer.memory.leave_reading_to_other()  # and there is no other

    writer.put(batch(1))
    writer.publish()

    assert writer.reader_lost
    async with asyncio.timeout(1):
        await writer.finished()


async def test_a_writer_that_ends_without_a_word_is_an_error_once_all_is_taken() -> None:
    """A process that is killed closes its end of the pipe and nothing else."""
    memory = RingMemory(100)
    reader = RingReader(memory)
    script = (
        "import sys, os, numpy as np\n"
        "from ifd.gateway import RingMemory, RingWriter\n"
        "from ifd.source import Arrival\n"
        "from ifd.records import MBO_DTYPE\n"
        "writer = RingWriter(RingMemory.inherited([int(one) for one in sys.argv[1:]]))\n"
        "writer.put(Arrival(np.zeros(3, MBO_DTYPE), 1))\n"
        "writer.publish()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    descriptors = [str(one) for one in memory.descriptors]
    child = subprocess.Popen(
        [sys.executable, "-c", script, *descriptors], pass_fds=memory.descriptors
    )
    memory.leave_writing_to_other()

    taken = await take(reader, 100)
    with pytest.raises(IngestLostError, match="goes on from there"):
        async with asyncio.timeout(10):
            await reader.get(1)

    assert taken == [3]
    assert child.wait() == -9
    memory.close()


def make_writer(policy: str, memory: RingMemory, directory: Path) -> RingWriter:
    if policy == "block":
        return RingWriter(memory)
    return SpillingWriter(memory, directory, max_bytes=LARGE)


items = st.lists(
    st.one_of(
        st.integers(1, 40).map(lambda count: ("orders", count)),
        st.just(("record", 1)),
        st.integers(0, 300).map(lambda size: ("notice", size)),
        st.integers(1, 200).map(lambda wanted: ("get", wanted)),
    ),
    max_size=60,
)


@given(items)
@settings(max_examples=150)
@pytest.mark.parametrize("policy", ["block", "spill"])
async def test_everything_comes_out_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, policy: str, script: list[tuple[str, int]]
) -> None:
    memory = RingMemory(200)
    writer = make_writer(policy, memory, tmp_path_factory.getbasetemp() / "spill")
    reader = RingReader(memory)
    put: list[object] = []
    taken: list[object] = []

    def note(found: list[Item]) -> None:
        for item in map(own, found):
            if isinstance(item, Arrival) and isinstance(item.chunk, np.ndarray):
                taken.extend((n, item.received_ns) for n in item.chunk["order_id"].tolist())
            else:
                taken.append(item if isinstance(item, Notice) else (item.chunk.msg, item.late))

    for place, (what, size) in enumerate(script):
        if what == "get":
            if reader.depth:
                note(await reader.get(size))
        elif what == "notice":
            writer.tell(Notice("status", {"place": place, "padding": "x" * size}))
            put.append(Notice("status", {"place": place, "padding": "x" * size}))
        elif writer.room_bytes >= 1_024:
            if what == "orders":
                writer.put(batch(size, first=1_000 * place))
                put.extend((1_000 * place + n, 1_000 * place) for n in range(size))
            else:
                message = dbn.SystemMsg(ts_event=1, msg=f"word {place}")
                writer.put(Arrival(message, 5, late=place % 3 == 0))
                put.append((f"word {place}", place % 3 == 0))
            writer.publish()
    note(await end(writer, reader))

    assert [one for one in taken if not isinstance(one, Notice)] == [
        one for one in put if not isinstance(one, Notice)
    ]
    assert [one for one in taken if isinstance(one, Notice)] == [
        one for one in put if isinstance(one, Notice)
    ]
    assert memory["high_water"] <= 200 or policy == "spill"


@pytest.mark.parametrize("policy", ["block", "spill"])
async def test_a_million_events_into_a_stalled_engine_are_all_there_when_it_wakes(
    tmp_path: Path, policy: str
) -> None:
    """Bounded memory: the ring's own, and at most one block of the file."""
    memory = RingMemory(50_000)
    writer = make_writer(policy, memory, tmp_path)
    reader = RingReader(memory)
    socket = Socket()
    writer.attach(socket)
    total, sent, read = 1_000_000, 0, 0
    stalled = resident_bytes()

    async def send() -> None:
        nonlocal sent
        while sent < total:
            if not socket.reading:
                await asyncio.sleep(0)
                continue
            count = min(writer.room_bytes // MBO_DTYPE.itemsize, total - sent, 10_000)
            writer.put(Arrival(orders(count, first=sent), received_ns=1))
            writer.publish()
            sent += count
            await asyncio.sleep(0)
        writer.close()

    sending = asyncio.create_task(send())
    await until(lambda: sent == total or not socket.reading)
    if policy == "block":
        assert 25_000 <= sent <= 50_000
    else:
        assert sent == total
        assert memory["spill_depth"] > 900_000
    grown = resident_bytes() - stalled
    async with asyncio.timeout(60):
        while arrivals := await reader.get(20_000):
            for arrival in arrivals:
                assert isinstance(arrival, Arrival)
                assert isinstance(arrival.chunk, np.ndarray)
                ids = arrival.chunk["order_id"]
                assert np.array_equal(ids, np.arange(read, read + len(ids)))
                read += len(ids)
        await sending
        await writer.finished()

    assert read == total
    assert grown < 30 * 2**20
    assert memory["high_water"] == (writer.high_water if policy == "block" else total)
    memory.close()


def resident_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


async def test_a_spill_that_reaches_its_limit_stops_the_socket(tmp_path: Path) -> None:
    memory = RingMemory(1_000)
    writer, reader, socket = (
        SpillingWriter(memory, tmp_path, max_bytes=2**20),
        RingReader(memory),
        Socket(),
    )
    writer.attach(socket)
    put = 0
    while socket.reading:
        writer.put(batch(500, first=put))
        writer.publish()
        put += 500

    assert put > 15_000
    left = await end(writer, reader)

    assert sum(item.records for item in left if isinstance(item, Arrival)) == put
    assert memory["spill_high_water_bytes"] >= 2**20
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
async def test_a_disk_that_takes_no_more_is_said_and_not_swallowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - the writer closes it
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_options: full)
    memory = RingMemory(64)
    writer, reader = SpillingWriter(memory, tmp_path, max_bytes=LARGE), RingReader(memory)

    with pytest.raises(EnvironmentProblemError, match=r"takes no more events .*No space left"):
        writer.put(batch(100))

    await end(writer, reader)
