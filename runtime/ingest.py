"""The process that reads the socket: splits, archives, fills the ring; nothing else.

Started by the stream with its order on standard input and the ring's descriptors inherited; the key
comes in the environment. It knows no database and no engine: what it has to tell (its state, gaps,
stretches, segments) goes through the ring as notices, in their place among the records. On SIGTERM,
or when the stream is gone, it closes the connection, lets the archive reach the disk and ends.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import structlog

from ifd.clock import SystemClock
from ifd.errors import IfdError
from ifd.gateway import LiveFeed, RingMemory, RingWriter, SpillingWriter, Subscription
from ifd.gateway.intake import archive_trouble
from ifd.records import Chunk
from ifd.replay import read_chunks
from ifd.source import Notice
from sinks.archive import ArchiveWriter

log = structlog.get_logger("ingest")

KEY_VARIABLE: Final = "DATABENTO_API_KEY"
LOOK_SECONDS: Final = 0.05
STATUS_SECONDS: Final = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class IngestOrder:
    """What the process is to do; everything but the key.

    `resume_from` are the last files of the archive of this session, when an earlier run is to be
    continued; `spill_directory` is None when a full queue shall stop the socket instead.
    """

    host: str
    port: int
    dataset: str
    subscriptions: tuple[Subscription, ...]
    heartbeat_seconds: int
    reconnect_max_seconds: float
    replay_limit_seconds: float | None
    spill_directory: str | None
    spill_max_bytes: int
    archive_directory: str
    archive_flush_seconds: float
    run_id: int
    shard: str
    resume_from: tuple[str, ...]
    descriptors: tuple[int, ...]

    def to_json(self) -> str:
        """Return the order as one line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> IngestOrder:
        """Return the order of a line."""
        fields = json.loads(text)
        asked = [one | {"symbols": tuple(one["symbols"])} for one in fields["subscriptions"]]
        fields["subscriptions"] = tuple(Subscription(**one) for one in asked)
        for name in ("resume_from", "descriptors"):
            fields[name] = tuple(fields[name])
        return cls(**fields)


class Ingest:
    """Feed, archive and ring of one run, wired."""

    def __init__(self, order: IngestOrder, key: str) -> None:
        clock = SystemClock()
        memory = RingMemory.inherited(list(order.descriptors))
        memory.leave_reading_to_other()
        self._order = order
        self._queue = _make_queue(order, memory)
        self._archive = ArchiveWriter(
            Path(order.archive_directory),
            run_id=order.run_id,
            shard=order.shard,
            clock=clock,
            dataset=order.dataset,
            flush_seconds=order.archive_flush_seconds,
            on_segment=self._teller("segment"),
        )
        self._feed = LiveFeed(
            host=order.host,
            port=order.port,
            key=key,
            dataset=order.dataset,
            subscriptions=order.subscriptions,
            clock=clock,
            queue=self._queue,
            heartbeat_seconds=order.heartbeat_seconds,
            reconnect_max_seconds=order.reconnect_max_seconds,
            replay_limit_seconds=order.replay_limit_seconds,
            tap=self._archive.append,
            on_gap=self._teller("gap"),
        )
        self._told_state = ""
        self._told_at = 0.0
        self._process = psutil.Process()

    async def run(self) -> int:
        """Read until told to stop; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._feed.stop)
        code = 0
        reporting = asyncio.create_task(self._report())
        try:
            if self._order.resume_from:
                self._feed.remember(_chunks(self._order.resume_from))
            await self._feed.run()
        except IfdError as error:
            log.warning("ingest failed", error=str(error))
            code = self._fail(error)
        finally:
            reporting.cancel()
        code |= self._close_archive()
        self._tell_status()
        self._queue.close()
        await self._queue.finished()
        return code

    def _fail(self, error: Exception) -> int:
        self._queue.tell(Notice("failed", {"error": str(error)}))
        return 1

    def _close_archive(self) -> int:
        try:
            self._archive.close()
        except OSError as error:
            return self._fail(archive_trouble(error))
        return 0

    async def _report(self) -> None:
        """Keep the archive's promise while nothing comes, and tell the state when it changes."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self._archive.flush_if_due()
            except OSError as error:
                log.warning("archive waits for its disk", error=str(error))  # close says it too
                self._feed.stop()
            if self._queue.reader_lost:
                self._feed.stop()
            due = loop.time() - self._told_at >= STATUS_SECONDS
            if (due or self._feed.state != self._told_state) and not self._queue.notices_wait:
                self._told_at = loop.time()
                self._tell_status()

    def _tell_status(self) -> None:
        feed = self._feed
        self._told_state = feed.state
        status = {
            "state": feed.state,
            "caught_up": feed.caught_up,
            "last_error": feed.last_error,
            "unresolved_symbols": len(feed.unresolved_symbols),
            "rss_bytes": self._process.memory_info().rss,
            "counters": dataclasses.asdict(feed.counters),
            "stretches": [dataclasses.asdict(stretch) for stretch in feed.take_stretches()],
        }
        self._queue.tell(Notice("status", status))

    def _teller(self, about: str) -> Callable[[Any], None]:
        # Any: the dataclass of that notice.
        return lambda facts: self._queue.tell(Notice(about, _plain(dataclasses.asdict(facts))))


def _make_queue(order: IngestOrder, memory: RingMemory) -> RingWriter:
    if order.spill_directory is None:
        return RingWriter(memory)
    return SpillingWriter(memory, Path(order.spill_directory), max_bytes=order.spill_max_bytes)


def _chunks(paths: tuple[str, ...]) -> Iterator[Chunk]:
    for path in paths:
        yield from read_chunks(path)


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    # Any: JSON knows no paths.
    return {name: str(one) if isinstance(one, Path) else one for name, one in facts.items()}


def main() -> int:
    """Carry out the order on standard input."""
    order = IngestOrder.from_json(sys.stdin.readline())
    return asyncio.run(Ingest(order, os.environ[KEY_VARIABLE]).run())


if __name__ == "__main__":
    sys.exit(main())
