"""After a kill: segments that nobody closed are cut to whole frames and counted.

Nothing here needs a database, so that a process that only archives can mend what the one before
it left. Who knows which files are closed, and on whose disk, is `sinks.catalogue`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import structlog

from ifd.errors import InputError
from ifd.replay import read_chunks, read_metadata
from sinks.segments import SUFFIX, SegmentFacts, Tally, cut_to_whole_frames

log = structlog.get_logger("archive")


def repair_directory(
    directory: Path,
    shard: str,
    session_date: str,
    *,
    closed: Collection[Path] = (),
    writing_run: int | None = None,
) -> list[SegmentFacts]:
    """Cut the segments of one session to whole frames, and return what each holds.

    To be called by whoever holds the shard: a segment another process still writes would be cut.
    A file that is no segment is left as it is and not returned; `ifd archive verify` names it.

    Parameters
    ----------
    directory : Path
        Root of the archive.
    closed : collection of Path
        Files that are known to be whole: they are not read again.
    writing_run : int, optional
        The run whose segments are being written now, and are left alone.

    Raises
    ------
    OSError
        If a file cannot be read or written.
    """
    folder = directory.absolute() / session_date / shard
    whole = {path.absolute() for path in closed}
    for part in sorted(folder.glob(".*.part")):
        # Killed between making a file and naming it: nothing but a header is in there.
        if run_of(part) != writing_run:
            part.unlink()
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        written = writing_run is not None and run_of(path) == writing_run
        if path not in whole and not written:
            try:
                found.append(repair_segment(path))
            except InputError as error:
                log.warning("no segment of the archive", path=str(path), error=str(error))
    return found


def repair_segment(path: Path) -> SegmentFacts:
    """Cut a segment to whole frames and return what it holds, as of its last change.

    Raises
    ------
    OSError
        If the file cannot be read or written.
    InputError
        If it is no segment; it is left as it is.
    """
    changed_ns = path.stat().st_mtime_ns
    cut_to_whole_frames(path)
    return examine(path, closed_ns=changed_ns)


def examine(
    path: Path, *, closed_ns: int, on_records: Callable[[int], None] = lambda _records: None
) -> SegmentFacts:
    """Read a segment from beginning to end and return what it holds.

    Parameters
    ----------
    closed_ns : int
        When it was written last, ns UTC.
    on_records : callable
        Told how many more records were read.

    Raises
    ------
    InputError
        If it cannot be read.
    CorruptFileError
        If it is damaged.
    """
    tally = count_records(path, on_records)
    return SegmentFacts(
        path=str(path),
        run_id=run_of(path),
        shard=path.parent.name,
        session_date=path.parent.parent.name,
        first_ts=tally.first_ts,
        last_ts=tally.last_ts,
        records=tally.records,
        bytes=path.stat().st_size,
        sha256=checksum(path),
        created_ns=read_metadata(path).start,
        closed_ns=closed_ns,
    )


def count_records(path: Path, on_records: Callable[[int], None]) -> Tally:
    """Return how many records a segment holds, and the times of its first and last order."""
    tally = Tally()
    for chunk in read_chunks(path):
        before = tally.records
        if isinstance(chunk, np.ndarray):
            tally.count(len(chunk), int(chunk["ts_recv"][0]), int(chunk["ts_recv"][-1]))
        else:
            tally.records += 1
        on_records(tally.records - before)
    return tally


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run_of(path: Path) -> int | None:
    """Return the run that wrote a segment, as its name says, or None when it says nothing."""
    number = path.name.lstrip(".").partition("-")[0]
    return int(number) if number.isdecimal() else None
