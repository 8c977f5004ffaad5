"""Streams of records for properties: valid, hostile and impossible ones, on a few instruments."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from ifd.records import F_LAST, F_SNAPSHOT, MBO_DTYPE, RTYPE_MBO, MboArray
from ifd.symbols import Instrument
from ifd.units import NANOS_PER_SECOND, UNDEFINED_PRICE, UNDEFINED_TIMESTAMP

OPEN_NS = 1_791_207_000_000_000_000
FUTURE, CALL, PUT, SPREAD, STRANGER = 1, 11, 12, 13, 99
POINT = 1_000_000_000


def instrument(instrument_id: int, right: str | None, **changes: Any) -> Instrument:
    fields: dict[str, Any] = {
        "session_date": "2026-10-05",
        "instrument_id": instrument_id,
        "raw_symbol": f"NQZ6 {right}25000" if right else "NQZ6",
        "asset": "NQ",
        "instrument_class": right or "F",
        "underlying": "NQZ6",
        "underlying_id": FUTURE if right else 0,
        "expiration_ns": OPEN_NS + 10**16,
        "strike_price": 25_000 * POINT if right else None,
        "right": right,
        "multiplier": 20.0,
        "min_price_increment": POINT // 4,
        "user_defined": False,
    }
    return Instrument(**{**fields, **changes})


LISTED = (
    instrument(FUTURE, None),
    instrument(CALL, "C"),
    instrument(PUT, "P"),
    instrument(SPREAD, "C", raw_symbol="UD:1V: GN 1", user_defined=True),
    # From the next trading date on, the put's id names another strike.
    instrument(PUT, "P", raw_symbol="NQZ6 P24000", session_date="2026-10-06"),
)

weighted_actions = st.sampled_from("AAAAAAMMMCCCTTTTFFNR")
flags = st.sampled_from(
    [F_LAST] * 8 + [0] * 3 + [F_LAST | 2, F_SNAPSHOT | 8, F_SNAPSHOT | 8 | F_LAST, F_LAST | 4]
)
prices = st.integers(min_value=96, max_value=104).map(lambda points: points * POINT)
steps = st.sampled_from([0] * 4 + [1_000_000] * 6 + [400_000_000, 2_500_000_000, -700_000_000])


@st.composite
def streams(draw: st.DrawFn) -> MboArray:
    rows = []
    now = OPEN_NS
    for number in range(draw(st.integers(min_value=0, max_value=60))):
        now += draw(steps)
        if draw(st.integers(0, 200)) == 0:
            now += 36 * 3_600 * NANOS_PER_SECOND
        stamp = UNDEFINED_TIMESTAMP if draw(st.integers(0, 60)) == 0 else now
        rows.append(
            (
                14,
                RTYPE_MBO,
                1,
                draw(st.sampled_from([FUTURE, CALL, CALL, CALL, PUT, SPREAD, STRANGER])),
                stamp,
                draw(st.integers(min_value=0, max_value=12)),
                UNDEFINED_PRICE if draw(st.integers(0, 40)) == 0 else draw(prices),
                draw(st.integers(min_value=0, max_value=40)),
                draw(flags),
                0,
                ord(draw(weighted_actions)),
                ord(draw(st.sampled_from("BBBBAAAAN"))),
                now + 50_000,
                0,
                number,
            )
        )
    return np.array(rows, dtype=MBO_DTYPE)


def cut(records: MboArray, points: list[int]) -> list[MboArray]:
    return np.split(records, sorted(point % (len(records) + 1) for point in points))
