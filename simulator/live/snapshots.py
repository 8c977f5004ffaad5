"""Order book snapshots as the exchange's feed gives them to a late joiner.

Per instrument a clear, then every resting order in the priority the exchange knows, all flagged as
snapshot, the last one completing the event. Orders keep the `ts_event` and `sequence` of their last
change; the clear and every `ts_recv` carry the time the snapshot was made.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from ifd.records import (
    ADD,
    CANCEL,
    CLEAR,
    F_BAD_TS_RECV,
    F_LAST,
    F_SNAPSHOT,
    MBO_DTYPE,
    MODIFY,
    NO_SIDE,
    MboArray,
)
from ifd.units import UNDEFINED_PRICE

_SNAPSHOT: Final = F_SNAPSHOT | F_BAD_TS_RECV
_FIELDS: Final = tuple(MBO_DTYPE.names or ())
_INSTRUMENT: Final = _FIELDS.index("instrument_id")
_ORDER: Final = _FIELDS.index("order_id")
_PRICE: Final = _FIELDS.index("price")
_SIZE: Final = _FIELDS.index("size")
_FLAGS: Final = _FIELDS.index("flags")
_ACTION: Final = _FIELDS.index("action")
_TS_RECV: Final = _FIELDS.index("ts_recv")
_TS_IN_DELTA: Final = _FIELDS.index("ts_in_delta")

Row = list[Any]  # Any: the fifteen integers of a record, typed by position


class OrderFollower:
    """Follows the stream and knows, per instrument, the orders that rest now, in priority."""

    def __init__(self) -> None:
        self._orders: dict[int, dict[int, Row]] = {}

    def follow(self, records: MboArray) -> None:
        """Apply the records that change books; trades and fills do not."""
        for record in records.tolist():
            self._apply(list(record))

    def snapshot(self, instrument_ids: Iterable[int], ns: int) -> MboArray:
        """Return the snapshot of these instruments, made at `ns`."""
        rows: list[tuple[int, ...]] = []
        for ident in instrument_ids:
            rows.append(_clear(ident, ns))
            for row in self._orders.get(ident, {}).values():
                order = list(row)
                order[_ACTION] = ADD
                order[_FLAGS] = _SNAPSHOT
                order[_TS_RECV] = ns
                order[_TS_IN_DELTA] = 0
                rows.append(tuple(order))
            last = list(rows[-1])
            last[_FLAGS] |= F_LAST
            rows[-1] = tuple(last)
        return np.array(rows, dtype=MBO_DTYPE)

    def _apply(self, row: Row) -> None:
        orders = self._orders.setdefault(row[_INSTRUMENT], {})
        action = row[_ACTION]
        if action == ADD:
            orders[row[_ORDER]] = row
        elif action == MODIFY:
            before = orders.get(row[_ORDER])
            # Only a smaller size at the same price keeps its place in the queue.
            if before and (row[_PRICE] != before[_PRICE] or row[_SIZE] > before[_SIZE]):
                del orders[row[_ORDER]]
            orders[row[_ORDER]] = row
        elif action == CANCEL:
            self._cancel(orders, row)
        elif action == CLEAR:
            orders.clear()

    def _cancel(self, orders: dict[int, Row], row: Row) -> None:
        before = orders.get(row[_ORDER])
        if before is None:
            return
        before[_SIZE] -= row[_SIZE]
        if before[_SIZE] <= 0:
            del orders[row[_ORDER]]


def _clear(ident: int, ns: int) -> tuple[int, ...]:
    values = dict.fromkeys(_FIELDS, 0) | {
        "length": MBO_DTYPE.itemsize // 4,
        "rtype": 0xA0,
        "publisher_id": 1,
        "instrument_id": ident,
        "ts_event": ns,
        "price": UNDEFINED_PRICE,
        "flags": _SNAPSHOT,
        "action": CLEAR,
        "side": NO_SIDE,
        "ts_recv": ns,
    }
    return tuple(values[name] for name in _FIELDS)
