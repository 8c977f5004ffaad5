"""Decoded record batches: MBO records as numpy structured arrays, exactly as on the wire.

The file edge and the live edge both end here: bytes go in, cut anywhere, and chunks come out in
wire order. A run of MBO records becomes one array; every other record becomes the object of the
official decoder, upgraded to DBN version 3.
"""

from __future__ import annotations

from ifd.records.header import (
    HEADER_PREFIX_SIZE,
    decode_header,
    header_size,
    looks_like_records,
)
from ifd.records.layout import (
    ADD,
    ASK,
    BID,
    CANCEL,
    CLEAR,
    F_BAD_TS_RECV,
    F_LAST,
    F_MAYBE_BAD_BOOK,
    F_MBP,
    F_SNAPSHOT,
    F_TOB,
    FILL,
    MBO_DTYPE,
    MBO_SIZE,
    MODIFY,
    NEWEST_VERSION,
    NO_ACTION,
    NO_SIDE,
    RTYPE_MBO,
    TRADE,
    Chunk,
    MboArray,
    Octets,
)
from ifd.records.splitter import RecordSplitter

__all__ = [
    "ADD",
    "ASK",
    "BID",
    "CANCEL",
    "CLEAR",
    "FILL",
    "F_BAD_TS_RECV",
    "F_LAST",
    "F_MAYBE_BAD_BOOK",
    "F_MBP",
    "F_SNAPSHOT",
    "F_TOB",
    "HEADER_PREFIX_SIZE",
    "MBO_DTYPE",
    "MBO_SIZE",
    "MODIFY",
    "NEWEST_VERSION",
    "NO_ACTION",
    "NO_SIDE",
    "RTYPE_MBO",
    "TRADE",
    "Chunk",
    "MboArray",
    "Octets",
    "RecordSplitter",
    "decode_header",
    "header_size",
    "looks_like_records",
]
