"""The archive: every accepted record on disk as DBN, before the engine sees it.

A segment holds one hour of one run. It is a live capture as `databento.DBNStore` reads it: a
version 3 header without schema, then the records in the order of the wire. It grows by whole zstd
frames, each written in one go, so a process killed at any moment leaves a file that reads, short
of what was taken in since the last flush. The catalogue (`archive_file`) has a row from the
segment's beginning; checksum and counts are filled in when it is closed, by the writer or, after a
kill, by `sinks.archive_repair`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import databento_dbn as dbn
import numpy as np
import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Engine

from ifd.clock import Clock
from ifd.errors import DatabaseError
from ifd.records import NEWEST_VERSION, Chunk
from ifd.sessions import session_date
from ifd.units import NANOS_PER_SECOND
from models.base import transaction, upsert
from models.operations import ArchiveFileRow
from sinks.segments import Segment, Tally

log = structlog.get_logger("archive")

FRAME_BYTES: Final = 256 * 2**10
"""Records are compressed in pieces of about this size: a millisecond of the event loop each."""
_NANOS_PER_HOUR: Final = 3_600 * NANOS_PER_SECOND


class ArchiveWriter:
    """Writes the chunks of one run into segments; `append` is made to be the feed's tap.

    Everything is called from one thread.

    Parameters
    ----------
    directory : Path
        Root of the archive; segments lie in `<session date>/<shard>/`.
    flush_seconds : float
        What a kill may cost at most. `append` sees to it while records come; call `flush_if_due`
        about as often, for when they stop.
    """

    def __init__(
        self,
        directory: Path,
        engine: Engine,
        *,
        run_id: int,
        shard: str,
        clock: Clock,
        dataset: str = "GLBX.MDP3",
        flush_seconds: float = 1.0,
    ) -> None:
        self._directory = directory
        self._catalogue = _Catalogue(engine)
        self._run_id = run_id
        self._shard = shard
        self._clock = clock
        self._dataset = dataset
        self._flush_seconds = flush_seconds
        self._flushed = time.monotonic()
        self._pending: list[bytes | memoryview] = []
        self._pending_bytes = 0
        self._segment: Segment | None = None
        self._created_ns = 0
        self._tally = Tally()

    def append(self, chunk: Chunk) -> None:
        """Take in a chunk; it is on disk after the next flush.

        Raises
        ------
        OSError
            If the disk does not take it. The segment stays whole, without what did not fit.
        """
        if isinstance(chunk, np.ndarray):
            first_ts = int(chunk["ts_recv"][0])
            self._segment_for(first_ts)
            self._tally.count(len(chunk), first_ts, int(chunk["ts_recv"][-1]))
            self._keep(chunk.view(np.uint8).data)
        else:
            # Names and definitions come before the first order, and wait for its hour.
            self._tally.records += 1
            self._keep(bytes(chunk))
        if self._pending_bytes >= FRAME_BYTES:
            self.flush()
        else:
            self.flush_if_due()

    def flush_if_due(self) -> None:
        """Flush when the last time is `flush_seconds` ago."""
        if time.monotonic() - self._flushed >= self._flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Write what was taken in as one whole frame.

        Raises
        ------
        OSError
            If the disk does not take it.
        """
        self._flushed = time.monotonic()
        if self._pending:
            segment = self._segment or self._open(self._clock.now_ns())
            segment.write(b"".join(self._pending))
            self._pending.clear()
            self._pending_bytes = 0

    def close(self) -> None:
        """Flush, close the segment and complete its row.

        Raises
        ------
        OSError
            If the disk does not take the rest.
        DatabaseError
            If the catalogue cannot be written.
        """
        self._close_segment()
        self._catalogue.finish()

    def _keep(self, data: bytes | memoryview) -> None:
        self._pending.append(data)
        self._pending_bytes += len(data)

    def _segment_for(self, ts_recv: int) -> None:
        """See that the segment of an order's hour is open; once it has orders, none goes back."""
        segment = self._segment
        if segment is not None:
            dated = self._tally.first_ts is not None
            later = ts_recv // _NANOS_PER_HOUR > segment.start_ns // _NANOS_PER_HOUR
            if later or (not dated and session_date(ts_recv) != segment.date):
                self._close_segment()
        if self._segment is None:
            self._open(ts_recv)

    def _open(self, start_ns: int) -> Segment:
        segment = Segment(self._directory, self._shard, self._run_id, start_ns)
        self._segment = segment
        header = dbn.Metadata(
            dataset=self._dataset,
            start=start_ns,
            stype_in=None,
            stype_out=dbn.SType.from_str("instrument_id"),
            schema=None,
            version=NEWEST_VERSION,
        )
        segment.write(header.encode())
        self._created_ns = self._clock.now_ns()
        self._catalogue.save(self._row(segment))
        return segment

    def _close_segment(self) -> None:
        self.flush()
        segment = self._segment
        if segment is None:
            return
        segment.close()
        closed = {"sha256": segment.sha256, "closed_ns": self._clock.now_ns()}
        self._catalogue.save(self._row(segment) | closed)
        self._segment = None
        self._tally = Tally()

    def _row(self, segment: Segment) -> dict[str, Any]:
        return {
            "path": str(segment.path),
            "run_id": self._run_id,
            "shard": self._shard,
            "session_date": segment.date,
            "first_ts": self._tally.first_ts,
            "last_ts": self._tally.last_ts,
            "records": self._tally.records,
            "bytes": segment.bytes,
            "sha256": None,
            "created_ns": self._created_ns,
            "closed_ns": None,
        }


class _Catalogue:
    """Writes rows; while the database is away they wait for the next one, and for the end."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._unsaved: dict[str, dict[str, Any]] = {}

    def save(self, row: dict[str, Any]) -> None:
        self._unsaved[row["path"]] = row
        try:
            self._write()
        except sa.exc.OperationalError as error:
            log.warning("archive catalogue waits for the database", error=str(error.orig))

    def finish(self) -> None:
        try:
            self._write()
        except sa.exc.OperationalError as error:
            raise DatabaseError(
                f"the archive's files are whole, but the database took no note of them "
                f"({error.orig}): see that it is reachable and has room"
            ) from error

    def _write(self) -> None:
        if self._unsaved:
            with transaction(self._engine) as session:
                upsert(session, ArchiveFileRow, list(self._unsaved.values()))
            self._unsaved.clear()
