"""What was downloaded, looked at from beginning to end: whole, of its schema, within its range."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import databento_dbn as dbn
import numpy as np
import zstandard

from ifd.errors import CorruptStreamError, InputError
from ifd.gateway.historical.request import HistoricalRequest
from ifd.records import HEADER_PREFIX_SIZE, header_size
from ifd.replay import read_chunks, read_metadata

_READ_SIZE: Final = 256 * 2**10
_ZSTD_BLOCK: Final = 128 * 2**10
"""What a compressed block holds at most: the part of a broken transfer that cannot be counted."""


def verified_bytes(path: Path, request: HistoricalRequest) -> tuple[int, int]:
    """Return records and uncompressed bytes of a file that is what `request` asked for.

    Raises
    ------
    InputError
        If it is damaged or cut short, of another schema, or holds a record outside the range.
    """
    metadata = read_metadata(path)
    asked = request.dataset, request.schema
    if (metadata.dataset, str(metadata.schema)) != asked:
        raise InputError(f"{path} holds {metadata.dataset} {metadata.schema}, not {asked}")
    records = octets = 0
    for chunk in read_chunks(path):
        if isinstance(chunk, np.ndarray):
            times = chunk["ts_recv"]
            first, last = int(times.min()), int(times.max())
            records, octets = records + len(chunk), octets + chunk.nbytes
        else:
            first = last = _index_time(chunk)
            records, octets = records + 1, octets + chunk.record_size()
        if first < request.start_ns or last >= request.end_ns:
            raise InputError(f"{path} holds records outside the range that was asked for")
    return records, octets


def received_bytes(part: Path) -> int:
    """Return how many uncompressed bytes of records a broken download can have cost at most.

    The compressed block it broke in is counted whole.
    """
    frame = zstandard.ZstdDecompressor().decompressobj()
    plain = 0
    head = b""
    with part.open("rb") as file:
        while block := file.read(_READ_SIZE):
            try:
                piece = frame.decompress(block)
            except zstandard.ZstdError:
                break  # what is beyond cannot be read, and so counts as the block it broke in
            plain += len(piece)
            head = head or piece
            if frame.eof:
                return max(plain - _header_bytes(head), 0)
    return max(plain - _header_bytes(head), 0) + _ZSTD_BLOCK if part.stat().st_size else 0


def _header_bytes(head: bytes) -> int:
    if len(head) < HEADER_PREFIX_SIZE:
        return 0
    try:
        return header_size(head)
    except CorruptStreamError:
        return 0


def _index_time(record: dbn.DBNRecord) -> int:
    return int(record.ts_index)
