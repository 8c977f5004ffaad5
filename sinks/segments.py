"""One file of the archive: zstd frames, each whole, each of whole DBN records."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final

import zstandard

from ifd.sessions import session_date
from ifd.units import utc_from_ns

_COMPRESSION_LEVEL: Final = 3
_READ_SIZE: Final = 2**20


@dataclasses.dataclass(slots=True)
class Tally:
    """What a segment holds; times are `ts_recv` of orders, ns UTC."""

    records: int = 0
    first_ts: int | None = None
    last_ts: int | None = None

    def count(self, records: int, first_ts: int, last_ts: int) -> None:
        """Add orders."""
        self.records += records
        self.first_ts = first_ts if self.first_ts is None else self.first_ts
        self.last_ts = last_ts


class Segment:
    """One file, which grows by whole frames or not at all.

    `start_ns` is the time its name, folder and session date come from, `bytes` its size.
    """

    def __init__(self, directory: Path, shard: str, run_id: int, start_ns: int) -> None:
        self.start_ns = start_ns
        self.date = session_date(start_ns)
        self.bytes = 0
        self._hash = hashlib.sha256()
        self._compressor = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL)
        folder = directory / self.date / shard
        folder.mkdir(parents=True, exist_ok=True)
        self._file, self.path = _create(folder, f"{run_id}-{utc_from_ns(start_ns):%H%M%S}")

    @property
    def sha256(self) -> str:
        """Checksum of the file so far, as hexadecimal digits."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Append `data` as one frame.

        Raises
        ------
        OSError
            If the disk does not take it; the file is as before.
        """
        frame = self._compressor.compress(data)
        try:
            _write(self._file, frame)
        except OSError:
            self._file.truncate(self.bytes)
            self._file.seek(self.bytes)
            raise
        self.bytes += len(frame)
        self._hash.update(frame)

    def close(self) -> None:
        """Close the file once it is on the disk."""
        os.fsync(self._file.fileno())
        self._file.close()


def cut_to_whole_frames(path: Path) -> int:
    """Cut off what a kill left unfinished at the end of a segment; return how many bytes that was.

    Raises
    ------
    OSError
        If the file cannot be read or written.
    """
    with path.open("r+b") as file:
        whole = _whole_frames(file)
        cut = file.seek(0, os.SEEK_END) - whole
        file.truncate(whole)
    return cut


def _whole_frames(file: BinaryIO) -> int:
    """Return how many bytes from the beginning are whole frames."""
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    read = whole = 0
    while block := file.read(_READ_SIZE):
        read += len(block)
        while block:
            try:
                frame.decompress(block)
            except zstandard.ZstdError:
                return whole
            if not frame.eof:
                break
            block = frame.unused_data
            whole = read - len(block)
            frame = decompressor.decompressobj()
    return whole


def _write(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while len(rest):
        rest = rest[file.write(rest) :]


def _create(folder: Path, name: str) -> tuple[FileIO, Path]:
    # A segment is never written over: a second one of the same second gets a number.
    path, number = folder / f"{name}.dbn.zst", 1
    while True:
        try:
            return FileIO(path, "xb"), path
        except FileExistsError:
            number += 1
            path = folder / f"{name}-{number}.dbn.zst"
