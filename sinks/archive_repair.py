"""After a kill: the segments that nobody closed are cut to whole frames, counted and closed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import structlog
from sqlalchemy.engine import Engine
from sqlmodel import col, select

from ifd.clock import Clock
from ifd.replay import read_chunks
from models.base import transaction
from models.operations import ArchiveFileRow
from sinks.segments import Tally, cut_to_whole_frames

log = structlog.get_logger("archive")


def close_abandoned(engine: Engine, *, shard: str, run_id: int, clock: Clock) -> list[Path]:
    """Close the segments of earlier runs of `shard`, and return which those were.

    To be called by a run that holds the shard, so that no other run is still writing. The row of
    a file that is gone is closed with nothing in it and without a checksum.

    Parameters
    ----------
    run_id : int
        The run that is beginning; its own segments are left alone.
    """
    closed = []
    with transaction(engine) as session:
        rows = session.exec(
            select(ArchiveFileRow).where(
                ArchiveFileRow.shard == shard,
                col(ArchiveFileRow.closed_ns).is_(None),
                col(ArchiveFileRow.run_id) != run_id,
            )
        )
        for row in rows:
            _complete(row)
            row.closed_ns = clock.now_ns()
            session.add(row)
            closed.append(Path(row.path))
    return closed


def _complete(row: ArchiveFileRow) -> None:
    path = Path(row.path)
    if not path.is_file():
        log.warning("abandoned segment is gone", path=row.path)
        return
    cut = cut_to_whole_frames(path)
    tally = Tally()
    for chunk in read_chunks(path):
        if isinstance(chunk, np.ndarray):
            tally.count(len(chunk), int(chunk["ts_recv"][0]), int(chunk["ts_recv"][-1]))
        else:
            tally.records += 1
    row.records, row.first_ts, row.last_ts = tally.records, tally.first_ts, tally.last_ts
    row.bytes = path.stat().st_size
    with path.open("rb") as file:
        row.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    log.info("abandoned segment closed", path=row.path, records=row.records, bytes_cut=cut)
