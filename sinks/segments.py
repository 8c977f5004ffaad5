"""One file of the archive: zstd frames, each whole, each of whole DBN records.

The name says whose it is, `<session date>/<shard>/<run>-<HHMMSS>.dbn.zst`, and the file says the
rest: a file that bears its name has its header, and every frame carries a checksum, so that damage
shows as damage and not as other prices.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import shutil
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final

import databento_dbn as dbn
import zstandard

from ifd.errors import CorruptFileError
from ifd.records import NEWEST_VERSION
from ifd.sessions import session_date
from ifd.units import utc_from_ns

SUFFIX: Final = ".dbn.zst"
COMPRESSION_LEVEL: Final = 3
"""A tenth smaller than level 1 at 5.7 million records a second on one core; docs/archive.md."""
_READ_SIZE: Final = 2**20


@dataclasses.dataclass(frozen=True, slots=True)
class SegmentFacts:
    """What the catalogue knows of a segment; times are ns UTC, those of orders their `ts_recv`.

    `sha256` and `closed_ns` are None while it is being written.
    """

    path: str
    run_id: int | None
    shard: str
    session_date: str
    first_ts: int | None
    last_ts: int | None
    records: int
    bytes: int
    sha256: str | None
    created_ns: int
    closed_ns: int | None


@dataclasses.dataclass(slots=True)
class Tally:
    """What a segment or a frame holds; times are `ts_recv` of orders, ns UTC."""

    records: int = 0
    first_ts: int | None = None
    last_ts: int | None = None

    def count(self, records: int, first_ts: int, last_ts: int) -> None:
        """Add orders."""
        self.records += records
        self.first_ts = first_ts if self.first_ts is None else self.first_ts
        self.last_ts = last_ts

    def add(self, later: Tally) -> None:
        """Add what comes after."""
        self.records += later.records
        self.first_ts = later.first_ts if self.first_ts is None else self.first_ts
        self.last_ts = self.last_ts if later.last_ts is None else later.last_ts


class Segment:
    """One file, which grows by whole frames or not at all.

    `start_ns` is the time its name, folder and session date come from; `tally` is what is on the
    disk.
    """

    def __init__(
        self,
        directory: Path,
        shard: str,
        run_id: int,
        start_ns: int,
        *,
        dataset: str,
        created_ns: int,
    ) -> None:
        self.tally = Tally()
        self._shard = shard
        self._run_id = run_id
        self._created_ns = created_ns
        self._closed_ns: int | None = None
        self._date = session_date(start_ns)
        self._bytes = 0
        self._hash = hashlib.sha256()
        self._compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True)
        folder = directory / self._date / shard
        folder.mkdir(parents=True, exist_ok=True)
        header = self._compressor.compress(segment_header(dataset, start_ns))
        self._file, self.path = _create(folder, f"{run_id}-{utc_from_ns(start_ns):%H%M%S}", header)
        self._count(header)

    @property
    def facts(self) -> SegmentFacts:
        """What is on the disk now."""
        closed = self._closed_ns is not None
        return SegmentFacts(
            path=str(self.path),
            run_id=self._run_id,
            shard=self._shard,
            session_date=self._date,
            first_ts=self.tally.first_ts,
            last_ts=self.tally.last_ts,
            records=self.tally.records,
            bytes=self._bytes,
            sha256=self._hash.hexdigest() if closed else None,
            created_ns=self._created_ns,
            closed_ns=self._closed_ns,
        )

    def write(self, data: bytes | bytearray, tally: Tally) -> None:
        """Append `data`, whole records counted in `tally`, as one frame.

        Raises
        ------
        OSError
            If the disk does not take it; the file is as before.
        """
        frame = self._compressor.compress(data)
        try:
            _write(self._file, frame)
        except OSError:
            self._file.truncate(self._bytes)
            self._file.seek(self._bytes)
            raise
        self._count(frame)
        self.tally.add(tally)

    def close(self, closed_ns: int) -> None:
        """Close the file once it is on the disk.

        Raises
        ------
        OSError
            If the disk did not take it after all.
        """
        os.fsync(self._file.fileno())
        self._file.close()
        self._closed_ns = closed_ns

    def _count(self, frame: bytes) -> None:
        self._bytes += len(frame)
        self._hash.update(frame)


def cut_to_whole_frames(path: Path) -> None:
    """Cut off what a kill left unfinished at the end of a segment.

    Bytes that are no beginning of a frame are damage, which no kill does: they are kept in a file
    beside it, `<name>.damaged`.

    Raises
    ------
    OSError
        If the file cannot be read or written.
    CorruptFileError
        If it does not even begin with a whole frame; it is left as it is.
    """
    with path.open("r+b") as file:
        whole, damaged = _whole_frames(file)
        if whole == 0:
            raise CorruptFileError(path, "it does not begin with a whole frame")
        if damaged:
            file.seek(whole)
            with path.with_name(f"{path.name}.damaged").open("wb") as beside:
                shutil.copyfileobj(file, beside)
        if file.seek(0, os.SEEK_END) > whole:
            file.truncate(whole)


def _whole_frames(file: BinaryIO) -> tuple[int, bool]:
    """Return how many bytes from the beginning are whole frames, and whether damage follows."""
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    read = whole = 0
    while block := file.read(_READ_SIZE):
        read += len(block)
        while block:
            try:
                frame.decompress(block)
            except zstandard.ZstdError:
                return whole, True
            if not frame.eof:
                break
            block = frame.unused_data
            whole = read - len(block)
            frame = decompressor.decompressobj()
    return whole, False


def segment_header(dataset: str, start_ns: int) -> bytes:
    """Return the DBN header of a segment: records of any schema, from `start_ns` on."""
    return dbn.Metadata(
        dataset=dataset,
        start=start_ns,
        stype_in=None,
        stype_out=dbn.SType.from_str("instrument_id"),
        schema=None,
        version=NEWEST_VERSION,
    ).encode()


def _write(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while len(rest):
        rest = rest[file.write(rest) :]


def _create(folder: Path, name: str, header: bytes) -> tuple[FileIO, Path]:
    # Under another name until the header is in it: killed before, it is no segment at all.
    part = folder / f".{name}.part"
    file = FileIO(part, "w")
    try:
        _write(file, header)
        return file, _link(part, folder, name)
    except OSError:
        file.close()
        raise
    finally:
        part.unlink()


def _link(part: Path, folder: Path, name: str) -> Path:
    # A segment is never written over: a second one of the same second gets a number.
    for number in itertools.count(1):
        path = folder / (f"{name}{SUFFIX}" if number == 1 else f"{name}-{number}{SUFFIX}")
        try:
            path.hardlink_to(part)
        except FileExistsError:
            continue
        return path
    raise AssertionError("itertools.count ends")
