"""What fills a hole becomes a segment of its own: the archive's other files are never rewritten.

It is written beside its place and renamed when it is whole, under a name that the hole alone
decides. So a file that is there is finished, whenever the process before died.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import zstandard

from ifd.clock import Clock
from ifd.replay import read_chunks
from ifd.units import NANOS_PER_SECOND, utc_from_ns
from models.operations import ArchiveFileRow
from runtime.backfill.fetch import Fetched
from runtime.backfill.hole import Hole
from runtime.merging import Received, merge_by_time
from runtime.session_archive import BACKFILL_PREFIX, received_between
from sinks.archive import FRAME_BYTES
from sinks.archive_repair import examine
from sinks.segments import COMPRESSION_LEVEL, SUFFIX, SegmentFacts, segment_header

_WRITING: Final = ".writing"
_CLOCK_MARGIN_NS: Final = 10 * NANOS_PER_SECOND
"""Capture follows the event: by event time, records captured so much later may belong."""


def segment_path(hole: Hole, archive_directory: Path) -> Path:
    """Return where the segment of a hole lies, or will."""
    begin = f"{utc_from_ns(hole.start_ns):%H%M%S}"
    name = f"{BACKFILL_PREFIX}{_kind(hole)}{begin}-{hole.start_ns}-{hole.end_ns}{SUFFIX}"
    return archive_directory.absolute() / hole.session_date / hole.shard / name


def working_directory(hole: Hole, backfill_directory: Path) -> Path:
    """Return where what is fetched for a hole waits until it is archived."""
    name = f"{_kind(hole)}{hole.session_date}-{hole.start_ns}-{hole.end_ns}"
    return backfill_directory / hole.shard / name


def write_segment(
    hole: Hole,
    fetched: Fetched,
    segments: Iterable[ArchiveFileRow],
    path: Path,
    *,
    lap_ns: int,
    dataset: str,
) -> None:
    """Write what was fetched and the archive has not, in order of time.

    Raises
    ------
    OSError
        If the disk does not take it.
    """
    margin_ns = lap_ns + _CLOCK_MARGIN_NS
    known = Received(received_between(segments, hole.start_ns - margin_ns, hole.end_ns + margin_ns))
    orders = merge_by_time(fetched.orders(hole, lap_ns))
    path.parent.mkdir(parents=True, exist_ok=True)
    writing = path.with_name(path.name + _WRITING)
    with writing.open("wb") as file:
        frames = _Frames(file)
        frames.add(segment_header(dataset, hole.start_ns - lap_ns))
        for definition in fetched.definitions():
            frames.add(bytes(definition))
        for records in orders:
            frames.add(known.new_of(records).tobytes())
        frames.flush()
        file.flush()
        os.fsync(file.fileno())
    writing.replace(path)


def instruments_of(path: Path) -> frozenset[int]:
    """Return the instruments that a segment has orders of."""
    found: set[int] = set()
    for chunk in read_chunks(path):
        if isinstance(chunk, np.ndarray):
            found.update(np.unique(chunk["instrument_id"]).tolist())
    return frozenset(found)


def facts_of(path: Path, *, clock: Clock) -> SegmentFacts:
    """Return what the catalogue says of a segment that is finished."""
    return examine(path, closed_ns=clock.now_ns())


def _kind(hole: Hole) -> str:
    return "doubts-" if hole.of_doubts else ""


class _Frames:
    """Whole records in zstd frames of about `FRAME_BYTES`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._buffer = bytearray()
        self._compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True)

    def add(self, records: bytes) -> None:
        self._buffer += records
        if len(self._buffer) >= FRAME_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._buffer:
            self._file.write(self._compressor.compress(bytes(self._buffer)))
            self._buffer.clear()
