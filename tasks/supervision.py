"""Watch a stream's child from inside its flow run.

Not a Prefect task: a task records state for every step, and a stream runs for a day. While it
runs, Prefect hears one summary a minute, warnings from the child's log, and nothing else; the data
path has no Prefect in it, so an outage of its server is not felt.
"""

from __future__ import annotations

import signal
import threading
import time
from logging import Logger, LoggerAdapter
from pathlib import Path
from typing import Any, Final

from prefect import get_run_logger
from sqlalchemy.engine import Engine

from ifd.clock import Clock
from models.operations import StreamRunRow
from runtime.log_tail import LineBudget, LogTail, serious
from runtime.supervisor import RunningStream, ask_to_drain, close_run, watch

SUMMARY_SECONDS: Final = 60.0
WARNINGS_PER_MINUTE: Final = 10
DRAIN_WAIT_SECONDS: Final = 25.0
"""Prefect kills a cancelled run 30 s after it asked; the child may drain longer than that."""

RunLogger = Logger | LoggerAdapter[Any]  # Any: Prefect's own choice of logger


def supervise(
    stream: RunningStream, engine: Engine, *, clock: Clock, closes_ns: int | None
) -> StreamRunRow:
    """Return the final row of the run once its child has ended.

    When this process is told to end (a cancelled flow run, SIGTERM), the child is asked to drain
    and is given most of the time that Prefect leaves; a second signal cannot break that.
    """
    logger = get_run_logger()
    try:
        _follow(stream, engine, clock=clock, closes_ns=closes_ns, logger=logger)
    except BaseException:
        _ignore_sigterm()
        logger.warning("Told to end: asking the stream to drain")
        if not ask_to_drain(stream.process, wait_seconds=DRAIN_WAIT_SECONDS):
            logger.warning("The stream goes on draining as process %d", stream.process.pid)
        raise
    return close_run(stream, engine, now_ns=clock.now_ns())


def _follow(
    stream: RunningStream,
    engine: Engine,
    *,
    clock: Clock,
    closes_ns: int | None,
    logger: RunLogger,
) -> None:
    tail, budget = LogTail(stream.log), LineBudget(WARNINGS_PER_MINUTE)
    summary_due = time.monotonic() + SUMMARY_SECONDS
    status = ""
    for progress in watch(stream, engine, clock=clock, closes_ns=closes_ns):
        said = [progress.said] if progress.said else []
        for line in budget.take(said + serious(tail.read_lines())):
            logger.warning("%s", line)
        run = progress.run
        if run is not None and run.status != status:
            status = run.status
            logger.info("Stream is %s%s", status, f" (process {run.pid})" if run.pid else "")
        if time.monotonic() >= summary_due:
            summary_due += SUMMARY_SECONDS
            _log_minute(run, budget.renew(), stream.log, logger)
    for line in serious(tail.read_lines())[-WARNINGS_PER_MINUTE:]:
        logger.warning("%s", line)


def _log_minute(run: StreamRunRow | None, held_back: int, log: Path, logger: RunLogger) -> None:
    if run is not None:
        logger.info(
            "%d records, %d windows, %d signals, %d gaps, queue at most %d events, %d MiB",
            run.records,
            run.windows,
            run.signals,
            run.gaps,
            run.queue_high_water,
            run.peak_rss_bytes // 2**20,
        )
    if held_back:
        logger.warning("%d more warnings in the last minute; see %s", held_back, log)


def _ignore_sigterm() -> None:
    # Only a process's main thread may; elsewhere no signal would interrupt us anyway.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
