"""Orders and names as the feed gives them, and a place to collect what the archive reports."""

from __future__ import annotations

from collections.abc import Callable

import databento_dbn as dbn
import numpy as np
import pytest

from ifd.records import MBO_DTYPE, RTYPE_MBO, MboArray
from ifd.units import NANOS_PER_SECOND
from sinks.segments import SegmentFacts

TEN_OCLOCK_NS = 1_795_705_200 * NANOS_PER_SECOND  # Thursday 2026-11-26, 15:00 UTC, 10:00 New York


@pytest.fixture
def ten_oclock_ns() -> int:
    return TEN_OCLOCK_NS


@pytest.fixture
def orders() -> Callable[..., MboArray]:
    """Make so many orders, numbered from `first_id`, a nanosecond apart from `ts_recv`."""

    def make(count: int, *, ts_recv: int = TEN_OCLOCK_NS, first_id: int = 1) -> MboArray:
        records = np.zeros(count, MBO_DTYPE)
        records["length"] = MBO_DTYPE.itemsize // 4
        records["rtype"] = RTYPE_MBO
        records["order_id"] = np.arange(first_id, first_id + count)
        records["ts_recv"] = ts_recv + np.arange(count)
        records["action"] = ord("A")
        records["side"] = ord("B")
        return records

    return make


@pytest.fixture
def mapping() -> Callable[..., dbn.SymbolMappingMsg]:
    """Make the name of an instrument."""

    def make(number: int = 1) -> dbn.SymbolMappingMsg:
        return dbn.SymbolMappingMsg(
            publisher_id=0,
            instrument_id=number,
            ts_event=TEN_OCLOCK_NS,
            stype_in=dbn.SType.PARENT,
            stype_in_symbol="NQ.OPT",
            stype_out=dbn.SType.RAW_SYMBOL,
            stype_out_symbol=f"NQZ6 C{number}",
            start_ts=0,
            end_ts=0,
        )

    return make


@pytest.fixture
def reports() -> list[SegmentFacts]:
    """What was reported of segments, in order."""
    return []
