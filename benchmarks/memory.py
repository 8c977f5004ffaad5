"""Five thousand instruments with half a million orders, ten times over, in a process of its own.

`python -m benchmarks.memory` prints its resident memory after each replay as JSON.
"""

from __future__ import annotations

import json
import time
from typing import Final

import numpy as np
import psutil

from ifd.params import WindowParams
from ifd.records import ADD, CANCEL, CLEAR, F_LAST, MBO_DTYPE, MODIFY, NO_SIDE, RTYPE_MBO, MboArray
from ifd.symbols import Instrument
from ifd.units import NANOS_PER_SECOND, PRICE_SCALE
from ifd.windows.stage import WindowStage

INSTRUMENTS: Final = 5_000
ORDERS_EACH: Final = 101
CHANGES: Final = 500_000
REPLAYS: Final = 10
_MICRO_BATCH: Final = 2_048
_OPENING_NS: Final = 1_791_207_000_000_000_000
_STEP_NS: Final = 60_000
_REPLAY_NS: Final = 600 * NANOS_PER_SECOND


def main() -> None:
    """Replay, and print memory, orders held and the longest wait for one micro-batch."""
    stage = WindowStage(WindowParams())
    stage.define(_instruments())
    records = session()
    times = records["ts_event"].copy()
    megabytes, longest = [], 0.0
    orders = 0
    for replay in range(REPLAYS):
        records["ts_event"] = times + np.uint64(replay * _REPLAY_NS)
        records["ts_recv"] = records["ts_event"]
        for first in range(0, len(records), _MICRO_BATCH):
            begun = time.perf_counter()
            stage.pass_over(records[first : first + _MICRO_BATCH])
            longest = max(longest, time.perf_counter() - begun)
            stage.take_windows()
        orders = sum(stage.book(one).orders for one in range(1, INSTRUMENTS + 1))
        megabytes.append(psutil.Process().memory_info().rss / 2**20)
    print(
        json.dumps(
            {
                "instruments": INSTRUMENTS,
                "orders": orders,
                "megabytes": megabytes,
                "longest_ms": longest * 1e3,
            }
        )
    )


def session() -> MboArray:
    """Return records that clear every book, fill it, and then change orders at random."""
    random = np.random.default_rng(1)
    count = INSTRUMENTS * ORDERS_EACH
    records = np.zeros(INSTRUMENTS + count + CHANGES, MBO_DTYPE)
    records["length"], records["rtype"], records["flags"] = 14, RTYPE_MBO, F_LAST
    records["ts_event"] = _OPENING_NS + np.arange(len(records)) * _STEP_NS
    clears, adds, changes = np.split(records, [INSTRUMENTS, INSTRUMENTS + count])
    clears["action"], clears["side"] = CLEAR, NO_SIDE
    clears["instrument_id"] = np.arange(1, INSTRUMENTS + 1)
    adds["action"] = ADD
    adds["order_id"] = random.permutation(count)
    # In pairs: one in five orders leaves and comes back, the others are changed twice.
    changes["order_id"] = np.repeat(random.integers(0, count, CHANGES // 2), 2)
    changes["action"] = MODIFY
    leaves = np.flatnonzero(random.random(CHANGES // 2) < 0.2) * 2
    changes["action"][leaves] = CANCEL
    changes["action"][leaves + 1] = ADD
    for orders in (adds, changes):
        orders["instrument_id"] = 1 + orders["order_id"] % INSTRUMENTS
        is_ask = (orders["order_id"] // INSTRUMENTS) % 2 == 1
        orders["side"] = np.where(is_ask, ord("A"), ord("B"))
        away = random.integers(1, 30, len(orders))
        orders["price"] = (100 + np.where(is_ask, away, -away)) * PRICE_SCALE
        orders["size"] = random.integers(1, 50, len(orders))
    changes["size"][leaves] = 50
    return records


def _instruments() -> list[Instrument]:
    return [
        Instrument(
            session_date="2026-10-05",
            instrument_id=number,
            raw_symbol=f"C{number}",
            asset="NQ",
            instrument_class="C",
            underlying="NQZ6",
            underlying_id=0,
            expiration_ns=_OPENING_NS + 10**16,
            strike_price=25_000 * PRICE_SCALE,
            right="C",
            multiplier=20.0,
            min_price_increment=PRICE_SCALE,
            user_defined=False,
        )
        for number in range(1, INSTRUMENTS + 1)
    ]


if __name__ == "__main__":
    main()
