"""The stream: the engine between feed and tables, with no orchestrator inside.

Started as a child by the `stream` flow (or by `ifd up --no-prefect`) with the id of a run that was
claimed for it. Everything it shares goes through the run's row: heartbeat and counters out, the
stop flag in. It drains on that flag, on SIGTERM or SIGINT, and when its parent is gone; a second
signal cannot break the drain. Exit 0: drained. Exit 1: failed, and the row says why.

The socket is read, and the archive written, by a child of its own (`runtime.ingest`); the engine
takes micro-batches from the ring between them. A run that finds an archive of its session first
replays it, muted, and goes on where it ends: beginning and recovering are one path.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

import databento_dbn as dbn
import numpy as np
import psutil
import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Engine

from config.settings import Settings, load_settings
from ifd.clock import Clock, SystemClock
from ifd.errors import DatabaseError, IfdError
from ifd.gateway import Subscription
from ifd.pipeline import Output, Pipeline
from ifd.replay import ReplaySource
from ifd.sessions import session_date
from ifd.source import Item, Notice, Source
from ifd.symbols import Instrument, instrument_from_definition
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND
from models.base import make_engine, transaction
from models.baselines import load_baselines
from models.operations import HealthSampleRow, StreamRunRow
from models.runs import end_run, forget_health
from runtime.feed_record import FeedRecord
from runtime.health import Health, peak_rss_bytes
from runtime.ingest import IngestOrder
from runtime.ingest_process import IngestProcess
from runtime.resuming import close_stretches, files_to_resume
from runtime.trading_status import TradingStatus
from sinks.catalogue import close_abandoned
from sinks.tables import TableWriter, store_params

log = structlog.get_logger("stream")

MICRO_BATCH_RECORDS: Final = 2_048
"""Small enough that the socket waits a millisecond for the engine at most."""
FLUSH_SECONDS: Final = 0.25
BEAT_SECONDS: Final = 1.0
DATABASE_PATIENCE_SECONDS: Final = 60.0
KEEP_HEALTH_NS: Final = 7 * 24 * 3_600 * NANOS_PER_SECOND


class Stream:
    """One run from the socket to the tables."""

    def __init__(self, settings: Settings, engine: Engine, run_id: int, clock: Clock) -> None:
        self._settings = settings
        self._engine = engine
        self._run_id = run_id
        self._clock = clock
        self._session_date = session_date(clock.now_ns())
        self._params = settings.engine_params()
        self._pipeline = Pipeline(self._params, baselines=load_baselines(engine, self._params))
        self._writer = TableWriter(
            engine,
            run_id=run_id,
            source=settings.source,
            params_fingerprint=self._params.fingerprint(),
            alert_channel=settings.alert_channel,
            alert_min_confidence=settings.alerts.min_confidence,
            clock=clock,
        )
        self._record = FeedRecord(engine, run_id=run_id, shard=settings.feed.shard, clock=clock)
        self._ingest: IngestProcess | None = None
        self._source: Source | None = None
        self._health = Health()
        self._trading = TradingStatus()
        self._parent = os.getppid()
        self._reason: str | None = None
        self._unstored: list[Instrument] = []
        self._database_away = False

    def _start_ingest(self, resume_from: list[Path]) -> IngestProcess:
        feed = self._settings.feed
        start_ns = None
        if feed.replay_minutes:
            start_ns = self._clock.now_ns() - feed.replay_minutes * NANOS_PER_MINUTE
        symbols = (*feed.parents, *feed.futures)
        order = IngestOrder(
            host=feed.gateway_host,
            port=feed.port,
            dataset=feed.dataset,
            subscriptions=(
                # From the beginning of the session: otherwise only new listings are sent.
                Subscription("definition", symbols, start_ns=0),
                Subscription("status", symbols),
                Subscription("mbo", symbols, start_ns=start_ns, snapshot=start_ns is None),
            ),
            heartbeat_seconds=feed.heartbeat_seconds,
            reconnect_max_seconds=feed.reconnect_max_seconds,
            replay_limit_seconds=feed.resume_minutes * 60.0,
            spill_directory=str(feed.spill_directory) if feed.queue_policy == "spill" else None,
            spill_max_bytes=int(feed.spill_max_gib * 2**30),
            archive_directory=str(self._settings.archive.directory),
            archive_flush_seconds=self._settings.archive.flush_seconds,
            run_id=self._run_id,
            shard=feed.shard,
            resume_from=tuple(str(path) for path in resume_from[-2:]),
            descriptors=(),
        )
        return IngestProcess(
            order,
            key=self._settings.require_databento_key(),
            queue_events=feed.queue_events,
        )

    async def run(self) -> None:
        """Stream until asked to stop, then drain: everything received is stored before it returns.

        Raises
        ------
        FeedError
            If the gateway refuses the key or the subscription.
        DatabaseError
            If the database stays away longer than the stream can wait.
        """
        store_params(self._engine, self._params, clock=self._clock)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask_to_stop, signal.Signals(number).name)
        beating = asyncio.create_task(self._beat())
        resumed = await asyncio.to_thread(self._tidy_up)
        if resumed:
            log.info("resuming", run_id=self._run_id, files=[str(path) for path in resumed])
        self._ingest = self._start_ingest(resumed)
        try:
            for source in (ReplaySource(resumed, late=True), self._ingest):
                await self._consume(source)
        finally:
            self._ingest.end()
            beating.cancel()
            self._drain()
            for number in (signal.SIGTERM, signal.SIGINT):
                # The loop would restore the default: a signal now would cost the row its end.
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)
        log.info("stream drained", run_id=self._run_id, reason=self._reason)

    def _tidy_up(self) -> list[Path]:
        """Close what a killed run of this shard left open; return what is to be resumed.

        In a thread, for it reads whole files.
        """
        forget_health(self._engine, before_ns=self._clock.now_ns() - KEEP_HEALTH_NS)
        feed = self._settings.feed
        closed = close_abandoned(
            self._engine,
            self._settings.archive.directory,
            shard=feed.shard,
            run_id=self._run_id,
            clock=self._clock,
        )
        if closed:
            log.info("segments of a killed run closed", files=[str(path) for path in closed])
        close_stretches(self._engine, feed.shard, run_id=self._run_id)
        return files_to_resume(
            self._engine,
            feed.shard,
            self._session_date,
            not_before_ns=self._clock.now_ns() - feed.resume_minutes * NANOS_PER_MINUTE,
            runs_after_ns=feed.resume_runs_after_ns,
        )

    def _ask_to_stop(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason
            log.info("stream asked to stop", run_id=self._run_id, reason=reason)
            if self._source is not None:
                self._source.stop()

    async def _consume(self, source: Source) -> None:
        flushed = time.monotonic()
        self._source = source
        if self._reason is not None:
            source.stop()
        while items := await source.get(MICRO_BATCH_RECORDS):
            for item in items:
                self._take(item)
            if self._database_away or time.monotonic() - flushed >= FLUSH_SECONDS:
                await self._flush()
                flushed = time.monotonic()
            await asyncio.sleep(0)

    def _take(self, item: Item) -> None:
        if isinstance(item, Notice):
            self._record.heed(item)
        elif isinstance(item.chunk, np.ndarray):
            if item.received_ns is not None:
                self._health.count(int(item.chunk["ts_recv"][-1]), item.received_ns)
            self._write(self._pipeline.update(item.chunk), item.received_ns, late=item.late)
        elif isinstance(item.chunk, dbn.InstrumentDefMsg):
            instrument = instrument_from_definition(item.chunk)
            self._pipeline.define([instrument])
            self._unstored.append(instrument)
        elif isinstance(item.chunk, dbn.StatusMsg):
            self._trading.heed(item.chunk)

    def _write(self, output: Output, received_ns: int | None, *, late: bool) -> None:
        for fault in output.faults:
            self._record.doubt(fault)
        try:
            self._writer.write(output, received_ns=received_ns, late=late)
        except sa.exc.OperationalError as error:  # the writer keeps it; the flush tries again
            self._database_away = True
            self._note_database(error)

    async def _flush(self) -> None:
        """Write what is pending; while the database is away keep it, say so, and slow the feed."""
        deadline = time.monotonic() + DATABASE_PATIENCE_SECONDS
        while True:
            try:
                self._flush_once()
            except sa.exc.OperationalError as error:
                self._note_database(error)
                if time.monotonic() > deadline:
                    raise DatabaseError(
                        f"the database was away for {DATABASE_PATIENCE_SECONDS:.0f} s: {error.orig}"
                    ) from error
                await asyncio.sleep(1.0)
            else:
                self._database_away = False
                return

    def _flush_once(self) -> None:
        if self._unstored:
            self._writer.define(self._unstored)
            self._unstored.clear()
        self._record.store()
        self._writer.flush()

    def _note_database(self, error: sa.exc.OperationalError) -> None:
        self._health.database_errors += 1
        log.warning("database away", run_id=self._run_id, error=str(error.orig))

    def _drain(self) -> None:
        self._write(self._pipeline.finish(), None, late=True)
        self._flush_once()
        self._record.finish()
        with transaction(self._engine) as session:
            self._update_row(session.get_one(StreamRunRow, self._run_id))

    async def _beat(self) -> None:
        """Every second: heartbeat and counters out, stop flag in. Never lets the stream fail."""
        while True:
            try:
                self._beat_once()
            except sa.exc.OperationalError as error:
                self._note_database(error)
            if os.getppid() != self._parent:
                self._ask_to_stop("the process that started the stream is gone")
            await asyncio.sleep(BEAT_SECONDS)

    def _beat_once(self) -> None:
        now_ns = self._clock.now_ns()
        with transaction(self._engine) as session:
            run = session.get_one(StreamRunRow, self._run_id)
            self._update_row(run)
            run.heartbeat_ns = now_ns
            session.add(
                HealthSampleRow(
                    ts_ns=now_ns,
                    component="stream",
                    run_id=self._run_id,
                    metrics=self._metrics(now_ns),
                )
            )
            stop_reason = run.stop_reason if run.stop_requested_ns is not None else None
        if stop_reason is not None:
            self._ask_to_stop(stop_reason)

    def _update_row(self, run: StreamRunRow) -> None:
        run.pid = os.getpid()
        run.status = "streaming" if self._reason is None else "draining"
        run.stop_reason = run.stop_reason or self._reason
        run.last_record_ns = self._health.last_received_ns
        run.records = self._pipeline.counters.records
        run.windows = self._pipeline.counters.windows
        run.signals = self._pipeline.counters.signals
        run.gaps = self._record.counters.get("gaps", 0)
        run.feed_state = self._record.state
        run.caught_up = self._record.caught_up
        run.peak_rss_bytes = peak_rss_bytes()
        if self._ingest is not None:
            run.queue_high_water = self._ingest.memory["high_water"]

    def _metrics(self, now_ns: int) -> dict[str, Any]:
        # Any: numbers and texts.
        engine, feed = self._pipeline.counters, self._record
        return {
            **self._health.take_rates(now_ns, engine.records),
            **feed.metrics(),
            **(self._ingest.metrics() if self._ingest is not None else {}),
            "records": engine.records,
            "unknown_orders": engine.unknown_orders,
            "undefined_records": engine.undefined_records,
            "windows": engine.windows,
            "signals": engine.signals,
            "halted_instruments": self._trading.halted,
            "database_errors": self._health.database_errors,
            "rss_bytes": psutil.Process().memory_info().rss,
        }


def main() -> int:
    """Run the stream of a claimed run; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runtime.stream", description=__doc__)
    parser.add_argument("--run-id", type=int, required=True)
    parser.add_argument("--database", default=None)
    parser.add_argument("--profile", default=None)
    arguments = parser.parse_args()
    clock = SystemClock()
    settings = load_settings(profile=arguments.profile, database_url=arguments.database)
    engine = make_engine(settings.database_url)
    try:
        asyncio.run(Stream(settings, engine, arguments.run_id, clock).run())
    except (IfdError, sa.exc.SQLAlchemyError, OSError) as error:
        log.exception("stream failed", run_id=arguments.run_id)
        end_run(engine, arguments.run_id, status="failed", now_ns=clock.now_ns(), error=str(error))
        return 1
    end_run(engine, arguments.run_id, status="drained", now_ns=clock.now_ns())
    return 0


if __name__ == "__main__":
    sys.exit(main())
