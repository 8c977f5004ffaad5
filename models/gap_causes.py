"""Why market hours are missing, told from the runs' rows: what a dead process cannot record."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from ifd.coverage import Interval
from ifd.sessions import Session as MarketSession
from models.operations import StreamRunRow
from models.runs import is_stale

INFERRED: Final = frozenset({"crash", "late-start", "not-running", "unrecorded"})
"""Causes that are told from outside; every other is what the feed or the book met."""


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """The word for `gap.cause`, a sentence, and the run it concerns."""

    word: str
    detail: str
    run_id: int | None


def infer_cause(
    span: Interval, market: MarketSession, runs: Sequence[StreamRunRow], *, now_ns: int
) -> Cause:
    """Return why a span of a session was not received, though no gap was recorded.

    Parameters
    ----------
    runs : sequence of StreamRunRow
        Those of the shard, in the order they started.
    """
    start_ns, end_ns = span
    earlier = [
        run
        for run in runs
        if run.started_ns <= start_ns and lived_until(run, now_ns=now_ns) > market.open_ns
    ]
    if not earlier:
        # It may have started after the span: what it asked to be sent again ends the gap earlier.
        coming = next((run for run in runs if start_ns < run.started_ns < market.close_ns), None)
        if coming is None:
            return Cause("not-running", "no stream was running", None)
        return Cause("late-start", "the stream started after the session had opened", coming.id)
    run = earlier[-1]
    if lived_until(run, now_ns=now_ns) >= end_ns:
        if start_ns == market.open_ns:
            return Cause("late-start", "the stream received nothing at the open", run.id)
        return Cause(
            "unrecorded", "the stream was running, and noted neither records nor a gap", run.id
        )
    if run.status == "failed" or run.active_shard is not None:
        reason = run.error or "its process is gone, and it left no reason"
        return Cause("crash", f"run {run.id} ended early: {reason}", run.id)
    reason = run.stop_reason or "by itself"
    return Cause("not-running", f"run {run.id} ended before the session did: {reason}", run.id)


def is_alive(run: StreamRunRow, *, now_ns: int) -> bool:
    """Return True while a run may still write."""
    return run.active_shard is not None and not is_stale(run, now_ns=now_ns)


def lived_until(run: StreamRunRow, *, now_ns: int) -> int:
    """Return when a run ended, now for a living one; its last heartbeat when it left no word."""
    if is_alive(run, now_ns=now_ns):
        return now_ns
    return run.heartbeat_ns if run.ended_ns is None else run.ended_ns
