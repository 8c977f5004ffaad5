"""The layout of records: one MBO record as a dtype, its codes, and the size of every type."""

from __future__ import annotations

from typing import Final, TypeAlias

import databento_dbn as dbn
import numpy as np
import numpy.typing as npt

MBO_DTYPE: Final = np.dtype(
    [
        ("length", "u1"),
        ("rtype", "u1"),
        ("publisher_id", "<u2"),
        ("instrument_id", "<u4"),
        ("ts_event", "<u8"),
        ("order_id", "<u8"),
        ("price", "<i8"),
        ("size", "<u4"),
        ("flags", "u1"),
        ("channel_id", "u1"),
        ("action", "u1"),
        ("side", "u1"),
        ("ts_recv", "<u8"),
        ("ts_in_delta", "<i4"),
        ("sequence", "<u4"),
    ]
)
"""One MBO record, 56 bytes; `action` and `side` are the ASCII codes of their letters."""

MboArray: TypeAlias = npt.NDArray[np.void]
"""A one-dimensional array of MBO_DTYPE."""
Chunk: TypeAlias = MboArray | dbn.DBNRecord
"""What a stream is made of, in wire order."""
Octets: TypeAlias = bytes | bytearray | memoryview

RTYPE_MBO: Final = 0xA0
F_LAST: Final = 0x80
F_TOB: Final = 0x40
F_SNAPSHOT: Final = 0x20
F_MBP: Final = 0x10
F_BAD_TS_RECV: Final = 0x08
F_MAYBE_BAD_BOOK: Final = 0x04

ADD: Final = ord("A")
MODIFY: Final = ord("M")
CANCEL: Final = ord("C")
CLEAR: Final = ord("R")
TRADE: Final = ord("T")
FILL: Final = ord("F")
NO_ACTION: Final = ord("N")

BID: Final = ord("B")
ASK: Final = ord("A")
NO_SIDE: Final = ord("N")

MBO_SIZE: Final = MBO_DTYPE.itemsize
TS_OUT_SIZE: Final = 8
"""What the gateway's send time adds to every record of a session that asked for it."""
MIN_RECORD_SIZE: Final = 16
"""The header that every DBN record begins with."""
NEWEST_VERSION: Final = 3

_SIZES: Final = {
    dbn.RType.MBP_0: 48,
    dbn.RType.MBP_1: 80,
    dbn.RType.MBP_10: 368,
    dbn.RType.OHLCV_DEPRECATED: 56,
    dbn.RType.OHLCV_1S: 56,
    dbn.RType.OHLCV_1M: 56,
    dbn.RType.OHLCV_1H: 56,
    dbn.RType.OHLCV_1D: 56,
    dbn.RType.OHLCV_EOD: 56,
    dbn.RType.STATUS: 40,
    dbn.RType.INSTRUMENT_DEF: 520,
    dbn.RType.IMBALANCE: 112,
    dbn.RType.ERROR: 320,
    dbn.RType.SYMBOL_MAPPING: 176,
    dbn.RType.SYSTEM: 320,
    dbn.RType.STATISTICS: 80,
    dbn.RType.CMBP_1: 80,
    dbn.RType.CBBO_1S: 80,
    dbn.RType.CBBO_1M: 80,
    dbn.RType.TCBBO: 80,
    dbn.RType.BBO_1S: 80,
    dbn.RType.BBO_1M: 80,
}
_SIZES_1: Final = {
    dbn.RType.INSTRUMENT_DEF: 360,
    dbn.RType.ERROR: 80,
    dbn.RType.SYMBOL_MAPPING: 80,
    dbn.RType.SYSTEM: 80,
    dbn.RType.STATISTICS: 64,
}
_SIZES_2: Final = {dbn.RType.INSTRUMENT_DEF: 400, dbn.RType.STATISTICS: 64}
_OLDER_SIZES: Final = {1: _SIZES_1, 2: _SIZES_2}


def smallest_sizes(version: int) -> dict[int, int]:
    """Return the smallest size of each known type, MBO aside, in a version of DBN.

    The decoder aborts on a shorter record (a Rust panic, which is no Exception), so it must never
    see one.
    """
    return {int(rtype): size for rtype, size in (_SIZES | _OLDER_SIZES.get(version, {})).items()}
