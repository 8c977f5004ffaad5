"""Readers of one blast, each run in a process of its own: `python -m benchmarks.feed_readers NAME`.

Each reads what `benchmarks.blaster` serves and prints one JSON line: records, seconds from the
first record to the last, peak memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import psutil

from ifd.clock import SystemClock
from ifd.gateway import LiveFeed, RingMemory, RingReader, RingWriter, Subscription
from ifd.gateway.protocol import BulkProtocol
from ifd.records import MBO_SIZE, Chunk
from ifd.source import Arrival
from runtime.health import peak_rss_bytes

KEY: Final = "db-benchmark-0000000000000000000"
HANDSHAKE: Final = b"auth=x|dataset=GLBX.MDP3\nschema=mbo|symbols=A\nstart_session=0\n"
RING_EVENTS: Final = 2**18
BATCH: Final = 2**16


def bare(port: int, total: int) -> dict[str, Any]:
    """Read into one buffer and look at nothing: the floor."""
    buffer = memoryview(bytearray(2**20))
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(HANDSHAKE)
        octets, begin = connection.recv_into(buffer), time.perf_counter()
        while octets < total * MBO_SIZE and (read := connection.recv_into(buffer)):
            octets += read
    return {"records": octets // MBO_SIZE, "seconds": time.perf_counter() - begin}


def callback(port: int, total: int) -> dict[str, Any]:
    """Count in the provider's own per-record callback."""
    import databento

    seen, begin = 0, 0.0

    def count(record: object) -> None:
        nonlocal seen, begin
        if seen == 0:
            begin = time.perf_counter()
        seen += 1

    client = databento.Live(key=KEY, gateway="127.0.0.1", port=port)
    client.add_callback(count)
    client.subscribe(dataset="GLBX.MDP3", schema="mbo", symbols="NQ.OPT", stype_in="parent")
    client.start()
    client.block_for_close()
    return {"records": seen, "seconds": time.perf_counter() - begin}


def columns(port: int, total: int) -> dict[str, Any]:
    """Take arrays off the socket by our protocol and read a column of each."""
    return asyncio.run(_columns(port, total))


async def _columns(port: int, total: int) -> dict[str, Any]:
    seen, lots, begin = 0, 0, 0.0

    def receive(chunks: list[Chunk]) -> None:
        nonlocal seen, lots, begin
        if seen == 0:
            begin = time.perf_counter()
        for chunk in chunks:
            assert isinstance(chunk, np.ndarray)
            seen += len(chunk)
            lots += int(chunk["size"].sum())

    def make() -> BulkProtocol:
        return BulkProtocol(
            key=KEY,
            dataset="GLBX.MDP3",
            heartbeat_seconds=30,
            receive=receive,
            room_bytes=lambda: 2**20,
        )

    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(make, "127.0.0.1", port)
    await protocol.authenticated
    protocol.subscribe(schema="mbo", symbols="NQ.OPT", stype_in="parent")
    protocol.start()
    await protocol.disconnected
    assert lots == seen == total
    return {"records": seen, "seconds": time.perf_counter() - begin}


def feed(port: int, _total: int, descriptors: list[int]) -> dict[str, Any]:
    """Run the whole feed into a ring that another process reads: one half of `pair`."""
    memory = RingMemory.inherited(descriptors)
    memory.leave_reading_to_other()
    return asyncio.run(_feed(port, memory))


async def _feed(port: int, memory: RingMemory) -> dict[str, Any]:
    writer = RingWriter(memory)
    ended = asyncio.Event()
    live = LiveFeed(
        host="127.0.0.1",
        port=port,
        key=KEY,
        dataset="GLBX.MDP3",
        subscriptions=[Subscription("mbo", ("NQ.OPT",))],
        clock=SystemClock(),
        queue=writer,
        on_gap=lambda _gap: ended.set(),
    )
    resident: list[int] = []

    async def watch() -> None:
        while True:
            resident.append(psutil.Process().memory_info().rss)
            await asyncio.sleep(0.1)

    running, watching = asyncio.create_task(live.run()), asyncio.create_task(watch())
    await ended.wait()
    live.stop()
    await running
    writer.close()
    await writer.finished()
    watching.cancel()
    half = resident[len(resident) // 2 :]
    return {"grown_bytes": max(half) - half[0], "pauses": writer.pauses}


def pair(port: int, total: int) -> dict[str, Any]:
    """Read a ring that a `feed` in another process fills; look at every record."""
    seen, begin = 0, 0.0

    def take(arrival: Arrival) -> None:
        nonlocal seen, begin
        if seen == 0:
            begin = time.perf_counter()
        assert isinstance(arrival.chunk, np.ndarray)
        seen += len(arrival.chunk)
        arrival.chunk["size"].sum()

    told = _read_ring(port, total, take)
    return {"records": seen, "seconds": time.perf_counter() - begin, "ingest": told}


def latency(port: int, total: int) -> dict[str, Any]:
    """Measure from the sender's stamp to the record in the hands of the other process."""
    clock, ages, socket_ages = SystemClock(), [], []

    def take(arrival: Arrival) -> None:
        assert isinstance(arrival.chunk, np.ndarray)
        sent_ns = int(arrival.chunk["ts_recv"][0])
        ages.append(clock.now_ns() - sent_ns)
        assert arrival.received_ns is not None
        socket_ages.append(arrival.received_ns - sent_ns)

    _read_ring(port, total, take)
    return {"records": total, **_percentiles(ages), "socket": _percentiles(socket_ages)}


def control(_port: int, _total: int) -> dict[str, Any]:
    """Measure how late a bare sleep of a millisecond ends on this machine, now."""
    late = []
    for _ in range(3_000):
        begin = time.perf_counter_ns()
        time.sleep(0.001)
        late.append(time.perf_counter_ns() - begin - 1_000_000)
    return {"records": 0, **_percentiles(late)}


def _read_ring(port: int, total: int, take: Callable[[Arrival], None]) -> dict[str, Any]:
    # Any: what the other process measured.
    memory = RingMemory(RING_EVENTS)
    command = [sys.executable, "-m", "benchmarks.feed_readers", "feed", str(port), str(total)]
    child = subprocess.Popen(
        [*command, *map(str, memory.descriptors)],
        pass_fds=memory.descriptors,
        stdout=subprocess.PIPE,
    )
    memory.leave_writing_to_other()

    async def read() -> None:
        reader = RingReader(memory)
        while items := await reader.get(BATCH):
            for item in items:
                if isinstance(item, Arrival) and isinstance(item.chunk, np.ndarray):
                    take(item)

    asyncio.run(read())
    said, _ = child.communicate()
    told: dict[str, Any] = json.loads(said.splitlines()[-1])  # behind what was logged
    return told


def _percentiles(nanos: list[int]) -> dict[str, float]:
    p50, p99 = np.percentile(nanos, [50, 99])
    return {"p50_ms": round(p50 / 1e6, 3), "p99_ms": round(p99 / 1e6, 3)}


def main() -> None:
    """Run one reader and print what it measured."""
    name, port, total, *descriptors = sys.argv[1:]
    if name == "feed":
        measured = feed(int(port), int(total), [int(one) for one in descriptors])
    else:
        readers = (bare, callback, columns, pair, latency, control)
        reader = {one.__name__: one for one in readers}[name]
        measured = reader(int(port), int(total))
    measured["peak_rss_bytes"] = peak_rss_bytes()
    print(json.dumps(measured), flush=True)
    os._exit(0)  # the provider's client leaves a thread behind


if __name__ == "__main__":
    main()
