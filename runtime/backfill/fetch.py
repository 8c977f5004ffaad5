"""The two ways to the records of a hole: the live gateway sends them again, or history sells them.

A replay costs nothing and is thrown away when it breaks. History is kept slice by slice until the
hole is filled, so that nothing is paid twice.
"""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import databento_dbn as dbn
import numpy as np

from config.settings import Settings
from ifd.clock import Clock
from ifd.errors import GatewayUnreachableError
from ifd.gateway import LiveFeed, RingMemory, RingReader, RingWriter, Subscription
from ifd.gateway.historical import HistoricalSource, Purse
from ifd.records import F_SNAPSHOT, Chunk, MboArray
from ifd.replay import read_chunks
from ifd.source import Arrival
from runtime.backfill.hole import Hole, history_of, overlap_ns
from sinks.archive import ArchiveWriter

GIVE_UP_SECONDS: Final = 30.0
"""A replay that brings nothing for so long is a failure."""
LOOK_SECONDS: Final = 0.05
_QUEUE_EVENTS: Final = 50_000
_BATCH_RECORDS: Final = 1 << 16

OnReceived = Callable[[dict[str, int]], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched: files in order of time, a tuple for each source that runs beside others.

    `by_event` says that it was chosen by event time, else by capture time; `records` counts all
    that came, definitions and what the archive has included.
    """

    sources: tuple[tuple[Path, ...], ...]
    by_event: bool
    records: int
    micro_dollars: int

    def definitions(self) -> Iterator[dbn.InstrumentDefMsg]:
        """Give the definitions of all files."""
        for path in (path for source in self.sources for path in source):
            yield from (one for one in read_chunks(path) if isinstance(one, dbn.InstrumentDefMsg))

    def orders(self, hole: Hole, lap_ns: int) -> list[Iterator[MboArray]]:
        """Give the orders of the hole and of `lap_ns` on both sides, a stream for each source.

        Snapshots are left out: they tell of orders that are there already. Of doubtful books only
        their own time is given: what is new beside it says nothing about them.
        """
        field = "ts_event" if self.by_event or hole.of_doubts else "ts_recv"
        span = hole.start_ns - lap_ns, hole.end_ns + lap_ns
        if hole.of_doubts:
            span = hole.start_ns, hole.end_ns + 1
        return [_orders(source, field, span) for source in self.sources]


def buy(
    hole: Hole, settings: Settings, source: HistoricalSource, purse: Purse, directory: Path
) -> Fetched:
    """Buy the records of a hole from history; what is in `directory` already is not paid again.

    Raises
    ------
    HistoryError, AuthenticationFailedError
        As `HistoricalSource.fetch`.
    """
    results = [source.fetch(request, directory, purse) for request in history_of(hole, settings)]
    by_symbol: dict[tuple[int, str], list[Path]] = {}
    for number, result in enumerate(results):
        for path in result.files:
            # Slices of one parent follow each other in time; parents run side by side.
            by_symbol.setdefault((number, path.name.split("_")[2]), []).append(path)
    return Fetched(
        sources=tuple(tuple(paths) for paths in by_symbol.values()),
        by_event=False,
        records=sum(result.records for result in results),
        micro_dollars=sum(result.micro_dollars for result in results),
    )


def replay(
    hole: Hole, settings: Settings, directory: Path, *, clock: Clock, on_received: OnReceived
) -> Fetched:
    """Have the live gateway send a hole again, in a session of its own that ends behind it.

    Parameters
    ----------
    on_received : callable
        Told at the end, whichever it is, how many bytes came of each schema.

    Raises
    ------
    FeedError
        If the gateway refuses, or sends nothing.
    """
    shutil.rmtree(directory, ignore_errors=True)  # what an attempt that died had received
    return asyncio.run(_replay(hole, settings, directory, clock, on_received))


async def _replay(
    hole: Hole, settings: Settings, directory: Path, clock: Clock, on_received: OnReceived
) -> Fetched:
    files: dict[str, None] = {}
    archive = ArchiveWriter(
        directory,
        run_id=0,
        shard=hole.shard,
        clock=clock,
        dataset=settings.feed.dataset,
        on_segment=lambda facts: files.setdefault(facts.path),
    )
    memory = RingMemory(_QUEUE_EVENTS)
    reader, writer = RingReader(memory), RingWriter(memory)
    watch = _Watch(archive, until_ns=hole.end_ns + overlap_ns(settings))
    feed = _feed(hole, settings, writer, watch, clock)
    running = asyncio.create_task(_run(feed, writer))
    stopping = asyncio.create_task(_stop_behind(feed, watch))
    try:
        received = 0
        while items := await reader.get(_BATCH_RECORDS):
            received += sum(item.records for item in items if isinstance(item, Arrival))
            await asyncio.sleep(0)
        await running
    finally:
        stopping.cancel()
        on_received(feed.counters.bytes_by_schema)
        archive.close()
    if not watch.complete:
        feed_at = settings.feed
        raise GatewayUnreachableError(
            feed_at.gateway_host, feed_at.port, "the replay ended before the hole did"
        )
    return Fetched(
        sources=(tuple(Path(path) for path in files),),
        by_event=True,
        records=received,
        micro_dollars=0,
    )


def _feed(
    hole: Hole, settings: Settings, writer: RingWriter, watch: _Watch, clock: Clock
) -> LiveFeed:
    start_ns = hole.start_ns - overlap_ns(settings)
    return LiveFeed(
        host=settings.feed.gateway_host,
        port=settings.feed.port,
        key=settings.require_databento_key(),
        dataset=settings.feed.dataset,
        subscriptions=_subscriptions(hole, settings, start_ns),
        clock=clock,
        queue=writer,
        heartbeat_seconds=settings.feed.heartbeat_seconds,
        reconnect_max_seconds=settings.feed.reconnect_max_seconds,
        give_up_after_seconds=GIVE_UP_SECONDS,
        tap=watch.see,
    )


def _subscriptions(hole: Hole, settings: Settings, start_ns: int) -> list[Subscription]:
    if hole.of_doubts:  # they are defined already
        return [Subscription("mbo", hole.symbols, stype_in="raw_symbol", start_ns=start_ns)]
    symbols = (*settings.feed.parents, *settings.feed.futures)
    return [
        Subscription("definition", symbols, start_ns=0),
        Subscription("mbo", symbols, start_ns=start_ns),
    ]


class _Watch:
    """Passes what comes on to the archive until it is beyond the hole."""

    def __init__(self, archive: ArchiveWriter, *, until_ns: int) -> None:
        self.complete = False
        self._archive = archive
        self._until_ns = until_ns

    def see(self, chunk: Chunk) -> None:
        if not self.complete:
            self._archive.append(chunk)
        if isinstance(chunk, np.ndarray):
            self.complete = self.complete or int(chunk["ts_event"][-1]) >= self._until_ns


async def _run(feed: LiveFeed, writer: RingWriter) -> None:
    try:
        await feed.run()
    finally:
        writer.close()


async def _stop_behind(feed: LiveFeed, watch: _Watch) -> None:
    # A market that has closed sends nothing beyond the hole: then the end of the replay is its end.
    while True:
        if watch.complete or feed.caught_up:
            watch.complete = True
            feed.stop()
            return
        await asyncio.sleep(LOOK_SECONDS)


def _orders(paths: tuple[Path, ...], field: str, span: tuple[int, int]) -> Iterator[MboArray]:
    for path in paths:
        for chunk in read_chunks(path):
            if isinstance(chunk, np.ndarray):
                times = chunk[field]
                inside = (times >= span[0]) & (times < span[1])
                wanted = chunk[inside & (chunk["flags"] & F_SNAPSHOT == 0)]
                if len(wanted):
                    yield wanted
