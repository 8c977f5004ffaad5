"""The body of a download: DBN header and records as one zstd frame, made while it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import databento_dbn as dbn
import zstandard

from simulator.historical.library import Library, query_days
from simulator.historical.query import RangeQuery
from simulator.session_files import Interval, Mapping

_COMPRESSION_LEVEL: Final = 1


def compressed_body(library: Library, query: RangeQuery, not_found: list[str]) -> Iterator[bytes]:
    """Give the answer to a query in pieces, none of them empty."""
    compressor = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL, write_checksum=True)
    frame = compressor.compressobj()
    pieces = [frame.compress(_header(library, query, not_found))]
    for records in library.select(query):
        pieces.append(frame.compress(records.tobytes()))
        if any(pieces):
            yield b"".join(pieces)
            pieces.clear()
    pieces.append(frame.flush())
    yield b"".join(pieces)


def _header(library: Library, query: RangeQuery, not_found: list[str]) -> bytes:
    intervals = library.symbology.intervals(query.symbols, query.stype_in, query_days(query))
    return dbn.Metadata(
        dataset=query.dataset,
        start=query.start_ns,
        end=query.end_ns,
        limit=query.limit,
        stype_in=dbn.SType.from_str(query.stype_in),
        stype_out=dbn.SType.from_str("instrument_id"),
        schema=dbn.Schema.from_str(query.schema),
        symbols=list(query.symbols),
        not_found=not_found,
        mappings=[
            Mapping(name, [Interval(one.first, one.after, one.symbol) for one in found])
            for (_, name), found in intervals.items()
        ],
    ).encode()
