"""The archive: every accepted record on disk as DBN, before the engine sees it.

A segment holds one hour of one run. It is a live capture as `databento.DBNStore` reads it: a
version 3 header without schema, then the records in the order of the wire. It grows by whole zstd
frames, so a process killed at any moment leaves a file that reads (`sinks.archive_repair` cuts off
a half-written frame), short of what was taken in since the last flush. Compressing and writing are
done on a thread of their own, which needs no interpreter lock for either; the caller only copies.
No database is needed: what a segment holds is reported, and `sinks.catalogue` keeps it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from ifd.clock import Clock
from ifd.records import Chunk
from ifd.sessions import session_date
from ifd.units import NANOS_PER_SECOND
from sinks.segments import Segment, SegmentFacts, Tally
from sinks.steps import Steps

FRAME_BYTES: Final = 2**20
"""Records are compressed in pieces of about this size: three milliseconds of the writing thread."""
OUTSTANDING_BYTES: Final = 16 * 2**20
"""Records that may wait for the disk; then `append` waits, and with it the socket."""
REPORT_SECONDS: Final = 5.0
_NANOS_PER_HOUR: Final = 3_600 * NANOS_PER_SECOND


class ArchiveWriter:
    """Writes the chunks of one run into segments; `append` is made to be the feed's tap.

    Everything is called from one thread, and `on_segment` is called in it. What the disk did not
    take is kept and tried again with the next call, in order; only what a call refused by raising
    was not taken in.

    Parameters
    ----------
    directory : Path
        Root of the archive; segments lie in `<session date>/<shard>/`, and their reported paths are
        absolute.
    flush_seconds : float
        What a kill may cost at most. `append` sees to it while records come; call `flush_if_due`
        about as often, for when they stop.
    on_segment : callable
        Told what is on the disk: when a segment is begun, every few seconds while it grows, and
        when it is closed, then with its checksum.
    """

    def __init__(
        self,
        directory: Path,
        *,
        run_id: int,
        shard: str,
        clock: Clock,
        dataset: str = "GLBX.MDP3",
        flush_seconds: float = 1.0,
        on_segment: Callable[[SegmentFacts], None],
    ) -> None:
        self._directory = directory.absolute()
        self._run_id = run_id
        self._shard = shard
        self._clock = clock
        self._dataset = dataset
        self._flush_seconds = flush_seconds
        self._on_segment = on_segment
        self._flushed = time.monotonic()
        self._buffer = bytearray()
        self._tally = Tally()
        self._start_ns: int | None = None
        self._dated = False
        # Of the writing thread, which the caller's steps follow in order.
        self._steps = Steps("archive", limit=OUTSTANDING_BYTES)
        self._segment: Segment | None = None
        self._reports: deque[SegmentFacts] = deque()
        self._reported = 0.0

    def append(self, chunk: Chunk) -> None:
        """Copy a chunk; it is on disk after the next flush.

        Raises
        ------
        OSError
            If the disk did not take what came before. `chunk` was not taken in; what came before
            is kept and tried again, and no segment ends within a frame.
        """
        self._steps.wait_for_room()
        self._settle()
        if isinstance(chunk, np.ndarray):
            first_ts = int(chunk["ts_recv"][0])
            self._segment_for(first_ts)
            self._tally.count(len(chunk), first_ts, int(chunk["ts_recv"][-1]))
            self._buffer += chunk.view(np.uint8).data
            self._dated = True
        else:
            # Names and definitions come before the first order, and wait for its hour.
            self._tally.records += 1
            self._buffer += bytes(chunk)
        if len(self._buffer) >= FRAME_BYTES or self._is_due():
            self._put_frame()

    def flush_if_due(self) -> None:
        """Hand over what was taken in when the last time is `flush_seconds` ago; do not wait.

        Raises
        ------
        OSError
            If the disk did not take what came before; it is tried again.
        """
        self._settle()
        if self._is_due():
            self._put_frame()

    def flush(self) -> None:
        """Write what was taken in, and wait until it is written.

        Raises
        ------
        OSError
            If the disk does not take it; the next call tries again.
        """
        self._put_frame()
        self._steps.wait()
        self._settle()

    def close(self) -> None:
        """Flush and close the segment; afterwards nothing can be appended.

        Raises
        ------
        OSError
            If the disk does not take the rest; another call tries again.
        """
        self._close_segment()
        self._steps.wait()
        self._settle()
        self._steps.end()

    def _settle(self) -> None:
        self._steps.settle()
        while self._reports:
            self._on_segment(self._reports.popleft())

    def _is_due(self) -> bool:
        return time.monotonic() - self._flushed >= self._flush_seconds

    def _put_frame(self) -> None:
        self._flushed = time.monotonic()
        if not self._buffer:
            return
        if self._start_ns is None:
            self._open(self._clock.now_ns())
        self._steps.put(partial(self._write, self._buffer, self._tally), len(self._buffer))
        self._buffer, self._tally = bytearray(), Tally()

    def _segment_for(self, ts_recv: int) -> None:
        """See that the segment of an order's hour is open; once it has orders, none goes back."""
        start_ns = self._start_ns
        if start_ns is not None:
            later = ts_recv // _NANOS_PER_HOUR > start_ns // _NANOS_PER_HOUR
            if later or (not self._dated and session_date(ts_recv) != session_date(start_ns)):
                self._close_segment()
        if self._start_ns is None:
            self._open(ts_recv)

    def _open(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._steps.put(partial(self._create, start_ns))

    def _close_segment(self) -> None:
        self._put_frame()
        if self._start_ns is not None:
            self._steps.put(self._finish)
            self._start_ns = None
            self._dated = False

    # What follows runs on the writing thread.

    def _create(self, start_ns: int) -> None:
        self._segment = Segment(
            self._directory,
            self._shard,
            self._run_id,
            start_ns,
            dataset=self._dataset,
            created_ns=self._clock.now_ns(),
        )
        self._report(self._segment)

    def _write(self, data: bytearray, tally: Tally) -> None:
        assert self._segment is not None
        self._segment.write(data, tally)
        if time.monotonic() - self._reported >= REPORT_SECONDS:
            self._report(self._segment)

    def _finish(self) -> None:
        assert self._segment is not None
        self._segment.close(self._clock.now_ns())
        self._report(self._segment)
        self._segment = None

    def _report(self, segment: Segment) -> None:
        self._reported = time.monotonic()
        self._reports.append(segment.facts)
