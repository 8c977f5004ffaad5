"""Orders in their pool: found by (instrument, order id), taken from free slots and given back."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ifd.book.state import (
    BUCKETS,
    FREE_ORDER,
    HALF,
    LIVE_ORDERS,
    POOL_TOP,
    Integers,
    Structured,
)
from ifd.compiled import part

# Odd multipliers of MurmurHash3's finisher and of Fibonacci hashing.
_MIX: Final = np.uint64(0xFF51_AFD7_ED55_8CCD)
_SPREAD: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
_TOP_BITS: Final = np.uint64(33)

Buckets = npt.NDArray[np.int32]


@part
def bucket_of(counts: Integers, book: int, order_id: Any) -> Any:
    """Return the bucket of an order under linear hashing."""
    # Any: numba's integers; an unsigned and a signed one would become a float.
    mixed = (np.uint64(order_id) ^ (np.uint64(book) * _SPREAD)) * _MIX
    number = np.int64(mixed >> _TOP_BITS)
    half = counts[HALF]
    bucket = number & (2 * half - 1)
    return bucket if bucket < counts[BUCKETS] else number & (half - 1)


@part
def find_order(
    counts: Integers, orders: Structured, buckets: Buckets, book: int, order_id: Any
) -> Any:
    """Return the slot of an order, or -1."""
    slot = buckets[bucket_of(counts, book, order_id)]
    while slot >= 0:
        order = orders[slot]
        if order.order_id == order_id and order.owner >> 1 == book:
            return slot
        slot = order.chain
    return slot


@part
def take_slot(
    counts: Integers, orders: Structured, buckets: Buckets, book: int, order_id: Any
) -> Any:
    """Return a slot for a new order, which `find_order` finds from now on."""
    slot = counts[FREE_ORDER]
    if slot >= 0:
        counts[FREE_ORDER] = orders[slot].chain
    else:
        slot = counts[POOL_TOP]
        counts[POOL_TOP] = slot + 1
    counts[LIVE_ORDERS] += 1
    # Twice as many buckets as orders; while orders come, buckets come two at a time.
    if counts[BUCKETS] < 2 * counts[LIVE_ORDERS]:
        split_bucket(counts, orders, buckets)
        split_bucket(counts, orders, buckets)
    bucket = bucket_of(counts, book, order_id)
    order = orders[slot]
    order.order_id = order_id
    order.chain = buckets[bucket]
    buckets[bucket] = slot
    return slot


@part
def give_back(counts: Integers, orders: Structured, buckets: Buckets, book: int, slot: int) -> None:
    """Forget an order."""
    order = orders[slot]
    bucket = bucket_of(counts, book, order.order_id)
    found = buckets[bucket]
    if found == slot:
        buckets[bucket] = order.chain
    else:
        while orders[found].chain != slot:
            found = orders[found].chain
        orders[found].chain = order.chain
    order.chain = counts[FREE_ORDER]
    counts[FREE_ORDER] = slot
    counts[LIVE_ORDERS] -= 1


@part
def split_bucket(counts: Integers, orders: Structured, buckets: Buckets) -> None:
    """Add one bucket, and move there what now belongs to it."""
    new = counts[BUCKETS]
    half = counts[HALF]
    old = new - half
    counts[BUCKETS] = new + 1
    slot = buckets[old]
    buckets[old] = -1
    buckets[new] = -1
    while slot >= 0:
        order = orders[slot]
        behind = order.chain
        bucket = bucket_of(counts, order.owner >> 1, order.order_id)
        order.chain = buckets[bucket]
        buckets[bucket] = slot
        slot = behind
    if new + 1 == 2 * half:
        counts[HALF] = 2 * half
