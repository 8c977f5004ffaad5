"""The file edge: DBN files become the same chunks as the live feed gives.

Files are read as a stream, compressed with zstd (one frame or many) or not, of DBN version 1 to 3,
whatever their size. A file that is damaged or cut short is an error at the place where it shows,
after everything good before it has been given out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import databento_dbn as dbn
import numpy as np
import zstandard

from ifd.errors import CorruptFileError, CorruptStreamError, InputError, UnsupportedDataError
from ifd.records import (
    Chunk,
    MboArray,
    RecordSplitter,
    decode_header,
    header_size,
    looks_like_records,
)
from ifd.source import Arrival, Item
from ifd.symbols import Instrument, instrument_from_definition

_READ_SIZE: Final = 256 * 2**10
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE_MAGIC_TAIL: Final = b"\x2a\x4d\x18"
"""Last three bytes of a zstd skippable frame's magic; legacy DBZ files begin with one."""


def read_metadata(path: Path | str) -> dbn.Metadata:
    """Return the metadata of a DBN file.

    Raises
    ------
    InputError, CorruptFileError, UnsupportedDataError
        As `read_chunks`.
    """
    with _open(Path(path)) as file:
        return _Source(Path(path), file).metadata


def read_chunks(path: Path | str) -> Iterator[Chunk]:
    """Give the records of a DBN file in order: arrays of MBO, objects of every other type.

    Parameters
    ----------
    path : Path or str
        A DBN file of any schema, or a mixed recording of a live session.

    Raises
    ------
    InputError
        If there is no such file, or it may not be read.
    CorruptFileError
        If it is not DBN, is damaged, or ends in the middle of a record or of a zstd frame.
    UnsupportedDataError
        If it is of a newer version, the legacy DBZ, or a fragment without header.
    """
    with _open(Path(path)) as file:
        yield from _Source(Path(path), file).chunks()


def read_mbo(paths: Iterable[Path | str]) -> Iterator[MboArray]:
    """Give the MBO records of several files, one file after the other.

    Other records of a mixed recording are passed over.

    Raises
    ------
    InputError, CorruptFileError, UnsupportedDataError
        As `read_chunks`; UnsupportedDataError also if a file holds another schema.
    """
    for path in paths:
        yield from (chunk for chunk in _read_schema(path, "mbo") if isinstance(chunk, np.ndarray))


def read_definitions(path: Path | str) -> list[Instrument]:
    """Return the instruments of a file of definitions, in the order of the file.

    Raises
    ------
    InputError, CorruptFileError, UnsupportedDataError
        As `read_chunks`; UnsupportedDataError also if the file holds another schema.
    """
    return [
        instrument_from_definition(chunk)
        for chunk in _read_schema(path, "definition")
        if isinstance(chunk, dbn.InstrumentDefMsg)
    ]


class ReplaySource:
    """Recorded files as a source: what they hold, in order, as fast as it is taken.

    Parameters
    ----------
    paths : iterable of Path or str
        DBN files of any schema, in order.
    late : bool
        True when all of it has happened before, and nobody is to be alerted.
    """

    def __init__(self, paths: Iterable[Path | str], *, late: bool = False) -> None:
        self._chunks = itertools.chain.from_iterable(map(read_chunks, paths))
        self._late = late
        self._rest: MboArray | None = None
        self._stopped = False

    async def get(self, max_records: int) -> list[Item]:
        """Return the next chunk, or as much of it as was asked for; empty at the end.

        Raises
        ------
        InputError, CorruptFileError, UnsupportedDataError
            As `read_chunks`.
        """
        chunk: Chunk | None = self._rest if self._rest is not None else next(self._chunks, None)
        if chunk is None or self._stopped:
            return []
        self._rest = None
        if isinstance(chunk, np.ndarray) and len(chunk) > max_records:
            chunk, self._rest = chunk[:max_records], chunk[max_records:]
        return [Arrival(chunk, None, late=self._late)]

    def stop(self) -> None:
        """Give nothing more."""
        self._stopped = True


def _read_schema(path: Path | str, wanted: str) -> Iterator[Chunk]:
    with _open(Path(path)) as file:
        source = _Source(Path(path), file)
        schema = source.metadata.schema
        if schema is not None and str(schema) != wanted:
            raise UnsupportedDataError(
                f"{path} holds schema {schema}, but {wanted} is needed here: "
                f"request the data again with schema={wanted}"
            )
        yield from source.chunks()


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


class _Source:
    """One open DBN file: its header is read at once, its records when asked for."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._splitter: RecordSplitter | None = None
        # One generator for the file's whole life: leaving a loop over a fresh one would close it.
        self._blocks = self._read_blocks(file)
        self.metadata, self._begun = self._read_header()

    def _read_header(self) -> tuple[dbn.Metadata, bytes]:
        begun = bytearray()
        for block in self._blocks:
            begun += block
            self._require_dbn(begun)
            try:
                size = header_size(begun)
                if len(begun) >= size:
                    return decode_header(begun[:size]), bytes(begun[size:])
            except CorruptStreamError as error:
                raise CorruptFileError(self._path, str(error)) from error
            except UnsupportedDataError as error:
                raise UnsupportedDataError(f"{self._path}: {error}") from error
        reason = "it ends within its header" if begun else "it is empty"
        raise CorruptFileError(self._path, reason)

    def _require_dbn(self, begun: bytearray) -> None:
        if begun.startswith(b"DBN") or b"DBN".startswith(bytes(begun)):
            return
        if looks_like_records(begun):
            raise UnsupportedDataError(
                f"{self._path} is a DBN fragment without its header, so its version is unknown: "
                "request the data again as a whole file"
            )
        raise CorruptFileError(self._path, "it does not begin as a DBN file does")

    def chunks(self) -> Iterator[Chunk]:
        splitter = RecordSplitter(version=self.metadata.version, ts_out=self.metadata.ts_out)
        self._splitter = splitter
        for block in itertools.chain([self._begun], self._blocks):
            yield from splitter.feed(block)
            if splitter.damage is not None:
                raise self._corrupt(str(splitter.damage))
        if splitter.remainder:
            raise self._corrupt("it ends in the middle of a record")

    def _read_blocks(self, file: BinaryIO) -> Iterator[bytes]:
        try:
            yield from _plain_blocks(self._path, file)
        except zstandard.ZstdError as error:
            raise self._corrupt(f"its compression is damaged ({error})") from error
        except EOFError as error:
            raise self._corrupt(str(error)) from error
        except OSError as error:
            raise InputError(f"{self._path} cannot be read: {error.strerror or error}") from error

    def _corrupt(self, reason: str) -> CorruptFileError:
        splitter = self._splitter
        return CorruptFileError(self._path, reason, records=splitter.records if splitter else 0)


def _plain_blocks(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """Give the file's bytes, decompressed where they are zstd, in blocks of any size."""
    first = file.read(_READ_SIZE)
    if first[1:4] == _SKIPPABLE_MAGIC_TAIL:
        raise UnsupportedDataError(
            f"{path} is in the legacy DBZ format, which is not read here: "
            "request the data again as DBN"
        )
    if first.startswith(_ZSTD_MAGIC):
        yield from _decompressed(first, file)
        return
    while first:
        yield first
        first = file.read(_READ_SIZE)


def _decompressed(block: bytes, file: BinaryIO) -> Iterator[bytes]:
    # Frame by frame: zstandard's stream_reader takes a file cut within a frame for a whole one.
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    begun = False
    while block:
        while block:
            begun = True
            plain = frame.decompress(block)
            block = b""
            if frame.eof:
                block = frame.unused_data
                frame = decompressor.decompressobj()
                begun = False
            if plain:
                yield plain
        block = file.read(_READ_SIZE)
    if begun:
        raise EOFError("it ends in the middle of a zstd frame")
