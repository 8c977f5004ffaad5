"""The process that reads the socket, run for real: ring, archive, notices, memory, its end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from ifd.clock import SystemClock
from ifd.errors import IngestLostError
from ifd.gateway import Subscription
from ifd.records import MBO_DTYPE, RTYPE_MBO, MboArray
from ifd.replay import read_mbo
from ifd.source import Arrival, Notice
from runtime.ingest import IngestOrder
from runtime.ingest_process import IngestProcess
from simulator.live import DEFAULT_KEY, ArraySource, FaultPlan, KeyRing
from simulator.live.gateway import LiveGateway

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.timeout(120)]

START_NS = 1_795_729_500_000_000_000
MEBIBYTE = 2**20


def market(count: int) -> MboArray:
    rng = np.random.default_rng(1)
    records = np.zeros(count, MBO_DTYPE)
    records["length"] = MBO_DTYPE.itemsize // 4
    records["rtype"] = RTYPE_MBO
    records["instrument_id"] = rng.integers(1, 1_000, count)
    records["ts_event"] = records["ts_recv"] = START_NS + np.arange(count) * 2_000
    records["order_id"] = np.arange(count)
    records["action"] = ord("A")
    records["side"] = ord("B")
    return records


@contextlib.asynccontextmanager
async def serving(records: MboArray, *faults: str) -> AsyncIterator[int]:
    gateway = LiveGateway(
        ArraySource(records),
        keys=KeyRing([DEFAULT_KEY]),
        clock=SystemClock(),
        plan=FaultPlan.parse(faults),
    )
    async with gateway:
        yield gateway.port


def order(port: int, directory: Path, **changes: Any) -> IngestOrder:
    usual = IngestOrder(
        host="127.0.0.1",
        port=port,
        dataset="GLBX.MDP3",
        subscriptions=(Subscription("mbo", ("ALL_SYMBOLS",), "raw_symbol", start_ns=0),),
        heartbeat_seconds=5,
        reconnect_max_seconds=1.0,
        replay_limit_seconds=None,
        spill_directory=None,
        spill_max_bytes=2**40,
        archive_directory=str(directory / "archive"),
        archive_flush_seconds=0.5,
        run_id=1,
        shard="nq",
        resume_from=(),
        descriptors=(),
    )
    return dataclasses.replace(usual, **changes)


def start(
    order: IngestOrder, *, queue_events: int = 50_000, key: str = DEFAULT_KEY
) -> IngestProcess:
    return IngestProcess(order, key=key, queue_events=queue_events)


class Taken:
    """What came out of the ring."""

    def __init__(self) -> None:
        self.records = 0
        self.arrays: list[MboArray] = []
        self.notices: list[Notice] = []

    async def take(self, ingest: IngestProcess, *, until: Callable[[Taken], bool]) -> None:
        """Take until satisfied, then stop the child and take what is left."""
        while items := await ingest.get(1 << 16):
            for item in items:
                if isinstance(item, Notice):
                    self.notices.append(item)
                elif isinstance(item, Arrival) and isinstance(item.chunk, np.ndarray):
                    self.arrays.append(item.chunk.copy())
                    self.records += len(item.chunk)
            if until(self):
                ingest.stop()

    def told(self, about: str) -> list[dict[str, Any]]:
        return [dict(notice.facts) for notice in self.notices if notice.about == about]


def archived(directory: Path) -> MboArray:
    return np.concatenate(list(read_mbo(sorted(directory.glob("archive/*/*/*.zst")))))


@pytest.mark.parametrize("policy", ["block", "spill"])
async def test_two_million_records_into_a_stalled_engine_are_all_in_ring_and_archive(
    tmp_path: Path, policy: str
) -> None:
    """The engine sleeps while a burst comes; the reading process stays small all the while."""
    served = market(2_000_000)
    async with serving(served) as port:
        spill = str(tmp_path / "spill") if policy == "spill" else None
        ingest = start(order(port, tmp_path, spill_directory=spill))
        async with asyncio.timeout(60):
            while not (ingest.memory["pauses"] or ingest.memory["spilled"]):
                await asyncio.sleep(0.01)
        await asyncio.sleep(1.0)
        taken = Taken()
        await taken.take(ingest, until=lambda taken: taken.records == len(served))
        metrics = ingest.metrics()
        ingest.end()

    assert np.array_equal(np.concatenate(taken.arrays), served)
    assert np.array_equal(archived(tmp_path), served)
    last = taken.told("status")[-1]
    assert (last["state"], last["caught_up"]) == ("closed", False)
    assert max(one["rss_bytes"] for one in taken.told("status")) < 220 * MEBIBYTE
    assert metrics["queue_depth"] == metrics["spill_depth"] == 0
    if policy == "block":
        assert metrics["queue_pauses"] > 10
        assert metrics["queue_waited_ms"] > 500
        assert metrics["queue_high_water"] <= 50_000
    else:
        assert metrics["spilled"] > 100_000
        assert metrics["spill_high_water_bytes"] > MEBIBYTE
        assert list((tmp_path / "spill").iterdir()) == []


async def test_what_it_tells_is_what_it_did(tmp_path: Path) -> None:
    served = market(50_000)
    async with serving(served, "close:20000") as port:
        ingest = start(order(port, tmp_path))
        taken = Taken()

        def caught_up(taken: Taken) -> bool:
            status = taken.told("status")
            return taken.records == len(served) and bool(status) and status[-1]["caught_up"]

        await taken.take(ingest, until=caught_up)
        ingest.end()

    assert [(gap["cause"], gap["state"]) for gap in taken.told("gap")] == [
        ("closed", "open"),
        ("closed", "replayed"),
    ]
    states = [status["state"] for status in taken.told("status")]
    assert {"live", "reconnecting", "closed"} <= set(states)
    stretch = taken.told("status")[-1]["stretches"][-1]
    assert (stretch["start_ns"], stretch["records"], stretch["open"]) == (START_NS, 50_000, False)
    closed = taken.told("segment")[-1]
    assert closed["sha256"] is not None
    assert Path(closed["path"]).stat().st_size == closed["bytes"]


async def test_a_key_that_is_refused_is_told_and_ends_it(tmp_path: Path) -> None:
    async with serving(market(10)) as port:
        ingest = start(order(port, tmp_path), key="db-some-other-key-00000000000000")
        taken = Taken()
        await taken.take(ingest, until=lambda _taken: False)
        ingest.end()

    (failed,) = taken.told("failed")
    assert "the gateway refused the key" in failed["error"]


async def test_an_archive_that_cannot_be_written_is_told_and_ends_it(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file where the directory should be")
    async with serving(market(10)) as port:
        ingest = start(order(port, tmp_path))
        taken = Taken()
        await taken.take(ingest, until=lambda _taken: False)
        ingest.end()

    assert any("the archive cannot be written" in one["error"] for one in taken.told("failed"))


async def test_killed_it_is_missed_once_everything_it_brought_is_taken(tmp_path: Path) -> None:
    served = market(5_000)
    async with serving(served) as port:
        ingest = start(order(port, tmp_path))
        async with asyncio.timeout(30):
            while ingest.memory["events_in"] < len(served):
                await asyncio.sleep(0.01)
        psutil.Process(ingest.pid).kill()

        taken = Taken()
        with pytest.raises(IngestLostError):
            await taken.take(ingest, until=lambda _taken: False)
        ingest.end()

    assert taken.records == len(served)


async def test_it_needs_no_database_no_calendar_and_no_compiler() -> None:
    script = (
        "import sys, runtime.ingest\n"
        "heavy = {'sqlalchemy', 'sqlmodel', 'numba', 'prefect', 'pandas_market_calendars'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


async def test_stopped_before_it_has_begun_it_has_lost_nothing(tmp_path: Path) -> None:
    async with serving(market(10)) as port:
        ingest = start(order(port, tmp_path))
        ingest.stop()
        taken = Taken()
        await taken.take(ingest, until=lambda _taken: False)
        ingest.end()

    assert taken.records == 0
