"""The stream: feed, engine, tables and archive in one process, with no orchestrator inside.

Started as a child by the `stream` flow (or by `ifd up --no-prefect`) with the id of a run that was
claimed for it. Everything it shares goes through the run's row: heartbeat and counters out, the
stop flag in. It drains on that flag, on SIGTERM or SIGINT, and when its parent is gone; a second
signal cannot break the drain. Exit 0: drained. Exit 1: failed, and the row says why.

The socket and the engine share one event loop: the engine takes micro-batches from the feed's
bounded queue and lets the socket be read between two of them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import sys
import time
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
from ifd.gateway import Arrival, FeedGap, LiveFeed, Subscription
from ifd.pipeline import Output, Pipeline
from ifd.sessions import session_date
from ifd.symbols import Instrument, instrument_from_definition
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND
from models.base import make_engine, transaction
from models.baselines import load_baselines
from models.operations import CoverageRow, GapRow, HealthSampleRow, StreamRunRow
from models.runs import end_run, forget_health
from sinks.archive import ArchiveWriter
from sinks.archive_repair import close_abandoned
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
        self._archive = ArchiveWriter(
            settings.archive.directory,
            engine,
            run_id=run_id,
            shard=settings.feed.shard,
            clock=clock,
            flush_seconds=settings.archive.flush_seconds,
        )
        self._feed = self._make_feed()
        self._health = _Health()
        self._parent = os.getppid()
        self._reason: str | None = None
        self._unstored: list[Instrument] = []
        self._gap_ids: dict[int, int] = {}
        self._unstored_gaps: dict[int, FeedGap] = {}
        self._database_away = False

    def _make_feed(self) -> LiveFeed:
        feed = self._settings.feed
        start_ns = None
        if feed.replay_minutes:
            start_ns = self._clock.now_ns() - feed.replay_minutes * NANOS_PER_MINUTE
        symbols = (*feed.parents, *feed.futures)
        return LiveFeed(
            host=feed.gateway_host,
            port=feed.port,
            key=self._settings.require_databento_key(),
            dataset=feed.dataset,
            subscriptions=[
                # From the beginning of the session: otherwise only new listings are sent.
                Subscription("definition", symbols, start_ns=0),
                Subscription("mbo", symbols, start_ns=start_ns, snapshot=start_ns is None),
            ],
            clock=self._clock,
            queue_events=feed.queue_events,
            heartbeat_seconds=feed.heartbeat_seconds,
            reconnect_max_seconds=feed.reconnect_max_seconds,
            tap=self._archive.append,
            on_gap=self._record_gap,
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
        tidying = asyncio.create_task(asyncio.to_thread(self._tidy_up))
        feeding = asyncio.create_task(self._feed.run())
        beating = asyncio.create_task(self._beat())
        try:
            await self._consume()
            await feeding
            await tidying
        finally:
            self._feed.stop()
            beating.cancel()
            self._drain()
        log.info("stream drained", run_id=self._run_id, reason=self._reason)

    def _tidy_up(self) -> None:
        """Close what a killed run of this shard left open, and forget old health samples.

        In a thread, for it reads whole files.
        """
        forget_health(self._engine, before_ns=self._clock.now_ns() - KEEP_HEALTH_NS)
        closed = close_abandoned(
            self._engine,
            shard=self._settings.feed.shard,
            run_id=self._run_id,
            clock=self._clock,
        )
        if closed:
            log.info("segments of a killed run closed", files=[str(path) for path in closed])

    def _ask_to_stop(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason
            log.info("stream asked to stop", run_id=self._run_id, reason=reason)
            self._feed.stop()

    async def _consume(self) -> None:
        flushed = time.monotonic()
        while arrivals := await self._feed.get(MICRO_BATCH_RECORDS):
            for arrival in arrivals:
                self._take(arrival)
            if self._database_away or time.monotonic() - flushed >= FLUSH_SECONDS:
                await self._flush()
                flushed = time.monotonic()
            await asyncio.sleep(0)

    def _take(self, arrival: Arrival) -> None:
        chunk = arrival.chunk
        if isinstance(chunk, np.ndarray):
            received_ns = arrival.received_ns
            stamps = chunk["ts_recv"]
            self._health.count(int(stamps[0]), int(stamps[-1]), received_ns)
            self._write(self._pipeline.update(chunk), received_ns, late=arrival.late)
        elif isinstance(chunk, dbn.InstrumentDefMsg):
            instrument = instrument_from_definition(chunk)
            self._pipeline.define([instrument])
            self._unstored.append(instrument)

    def _write(self, output: Output, received_ns: int | None, *, late: bool) -> None:
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
        for gap in list(self._unstored_gaps.values()):
            self._record_gap(gap)
        self._writer.flush()

    def _note_database(self, error: sa.exc.OperationalError) -> None:
        self._health.database_errors += 1
        log.warning("database away", run_id=self._run_id, error=str(error.orig))

    def _drain(self) -> None:
        self._archive.flush()  # first: what was received must not depend on the database
        self._write(self._pipeline.finish(), None, late=True)
        self._flush_once()
        self._archive.close()
        with transaction(self._engine) as session:
            self._update_row(session.get_one(StreamRunRow, self._run_id))
            if self._health.first_ts is not None and self._health.last_ts is not None:
                session.add(
                    CoverageRow(
                        run_id=self._run_id,
                        shard=self._settings.feed.shard,
                        session_date=self._session_date,
                        dbn_schema="mbo",
                        start_ns=self._health.first_ts,
                        end_ns=self._health.last_ts,
                        records=self._pipeline.counters.records,
                    )
                )

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
        self._archive.flush_if_due()
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
        run.gaps = self._feed.counters.gaps
        run.queue_high_water = self._feed.counters.queue_high_water
        run.peak_rss_bytes = _peak_rss_bytes()

    def _metrics(self, now_ns: int) -> dict[str, Any]:
        feed, engine = self._feed.counters, self._pipeline.counters
        return {
            **self._health.take_rates(now_ns, engine.records),
            "feed_state": self._feed.state,
            "feed_error": self._feed.last_error,
            "caught_up": self._feed.caught_up,
            "records": engine.records,
            "bytes": feed.bytes,
            "queue_depth": feed.queue_depth,
            "queue_high_water": feed.queue_high_water,
            "reconnects": feed.reconnects,
            "gaps": feed.gaps,
            "unknown_records": feed.unknown_records,
            "unresolved_symbols": len(self._feed.unresolved_symbols),
            "unknown_orders": engine.unknown_orders,
            "undefined_records": engine.undefined_records,
            "windows": engine.windows,
            "signals": engine.signals,
            "database_errors": self._health.database_errors,
            "rss_bytes": psutil.Process().memory_info().rss,
        }

    def _record_gap(self, gap: FeedGap) -> None:
        """Store a gap when it opens, and again when it is known how it ended."""
        try:
            with transaction(self._engine) as session:
                row = session.get(GapRow, self._gap_ids.get(gap.number, -1)) or GapRow(
                    run_id=self._run_id,
                    shard=self._settings.feed.shard,
                    session_date=session_date(gap.start_ns),
                    start_ns=gap.start_ns,
                    cause=gap.cause,
                    detail=gap.detail,
                    state=gap.state,
                    detected_ns=gap.detected_ns,
                )
                row.end_ns, row.state = gap.end_ns, gap.state
                session.add(row)
                session.flush()
                assert row.id is not None
                self._gap_ids[gap.number] = row.id
                self._unstored_gaps.pop(gap.number, None)
        except sa.exc.OperationalError as error:  # the next flush stores it
            self._unstored_gaps[gap.number] = gap
            self._note_database(error)


class _Health:
    """What the stream counts besides the feed's and the engine's own counters."""

    def __init__(self) -> None:
        self.first_ts: int | None = None
        self.last_ts: int | None = None
        self.last_received_ns: int | None = None
        self.database_errors = 0
        self._lag_ns = 0
        self._rate_from: tuple[int, int] | None = None

    def count(self, ts_recv_first: int, ts_recv_last: int, received_ns: int) -> None:
        """Take note of an array of records and when it came off the socket."""
        if self.first_ts is None:
            self.first_ts = ts_recv_first
        self.last_ts = ts_recv_last
        self.last_received_ns = received_ns
        self._lag_ns = received_ns - ts_recv_last

    def take_rates(self, now_ns: int, records: int) -> dict[str, float]:
        """Return records a second since the last call, and the newest record's age on arrival."""
        before_ns, before = self._rate_from or (now_ns - NANOS_PER_SECOND, records)
        self._rate_from = (now_ns, records)
        seconds = max(now_ns - before_ns, 1) / NANOS_PER_SECOND
        return {
            "records_per_s": round((records - before) / seconds, 1),
            "lag_ms": round(self._lag_ns / 1e6, 3),
        }


def _peak_rss_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


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
