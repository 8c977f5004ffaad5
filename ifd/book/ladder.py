"""One side of a compiled book: a sorted block of levels, and the queue of orders at each."""

from __future__ import annotations

from typing import Any, Final

from ifd.book.state import (
    FREE_BLOCKS,
    LARGEST_BLOCK,
    LEVELS_TOP,
    SMALLEST_BLOCK,
    Integers,
    Structured,
)
from ifd.compiled import part

_NEAR: Final = 8
"""Levels from the touch that are looked at one by one, before halving: most of what happens."""


@part
def key_of(price: int, owner: int) -> int:
    """Return a price as a key: complemented for asks, so that the greatest is best."""
    return price ^ -(owner & 1)


@part
def seek(levels: Structured, offset: int, count: int, key: int) -> Any:
    """Return the index in a block of the first level whose key is not below `key`."""
    # Any: numba's integer.
    high = count
    least = max(count - _NEAR, 0)
    while high > least:
        found = levels[offset + high - 1].key
        if found < key:
            return high
        high -= 1
        if found == key:
            return high
    low = 0
    while low < high:
        middle = (low + high) >> 1
        if levels[offset + middle].key < key:
            low = middle + 1
        else:
            high = middle
    return low


@part
def place(
    counts: Integers, orders: Structured, levels: Structured, sides: Structured, slot: int
) -> None:
    """Put an order at the back of the level of its price, making the level if there is none."""
    order = orders[slot]
    owner = order.owner
    side = sides[owner]
    key = key_of(order.price, owner)
    index = seek(levels, side.offset, side.count, key)
    if index == side.count or levels[side.offset + index].key != key:
        insert_level(counts, levels, sides, owner, index, key)
    level = levels[sides[owner].offset + index]
    order.before = level.last
    order.behind = -1
    if level.last >= 0:
        orders[level.last].behind = slot
    else:
        level.first = slot
    level.last = slot
    level.size += order.size
    level.orders += 1
    side.changed = 1


@part
def withdraw(orders: Structured, levels: Structured, sides: Structured, slot: int) -> None:
    """Take an order out of its level, and the level away if it was the last."""
    order = orders[slot]
    side = sides[order.owner]
    index = seek(levels, side.offset, side.count, key_of(order.price, order.owner))
    level = levels[side.offset + index]
    if order.before >= 0:
        orders[order.before].behind = order.behind
    else:
        level.first = order.behind
    if order.behind >= 0:
        orders[order.behind].before = order.before
    else:
        level.last = order.before
    level.size -= order.size
    level.orders -= 1
    if level.orders == 0:
        remove_level(levels, sides, order.owner, index)
    side.changed = 1


@part
def shrink(orders: Structured, levels: Structured, sides: Structured, slot: int, size: int) -> None:
    """Take lots off an order where it stands: it keeps its place in the queue."""
    order = orders[slot]
    side = sides[order.owner]
    index = seek(levels, side.offset, side.count, key_of(order.price, order.owner))
    gone = order.size - size
    levels[side.offset + index].size -= gone
    side.removed += gone
    order.size = size
    side.changed = 1


@part
def insert_level(
    counts: Integers, levels: Structured, sides: Structured, owner: int, index: int, key: int
) -> None:
    """Make room for a level at `index` of a side's block, and begin it empty."""
    if sides[owner].count == sides[owner].capacity:
        widen(counts, levels, sides, owner)
    side = sides[owner]
    position = side.offset + side.count
    while position > side.offset + index:
        copy_level(levels, position - 1, position)
        position -= 1
    level = levels[position]
    level.key = key
    level.size = 0
    level.orders = 0
    level.first = level.last = -1
    side.count += 1


@part
def remove_level(levels: Structured, sides: Structured, owner: int, index: int) -> None:
    """Close the gap that an emptied level leaves."""
    side = sides[owner]
    side.count -= 1
    for position in range(side.offset + index, side.offset + side.count):
        copy_level(levels, position + 1, position)


@part
def widen(counts: Integers, levels: Structured, sides: Structured, owner: int) -> None:
    """Move a side into a block of twice the size, and leave the old one to others."""
    side = sides[owner]
    before, capacity = side.offset, side.capacity
    larger = max(2 * capacity, SMALLEST_BLOCK)
    free = FREE_BLOCKS + class_of(larger)
    offset = counts[free]
    if offset >= 0:
        counts[free] = levels[offset].first
    else:
        offset = counts[LEVELS_TOP]
        counts[LEVELS_TOP] = offset + larger
        counts[LARGEST_BLOCK] = max(counts[LARGEST_BLOCK], larger)
    for index in range(side.count):
        copy_level(levels, before + index, offset + index)
    if capacity:
        free = FREE_BLOCKS + class_of(capacity)
        levels[before].first = counts[free]
        counts[free] = before
    side.offset = offset
    side.capacity = larger


@part
def class_of(capacity: int) -> Any:
    """Return the power of two that a block's capacity is."""
    # Any: numba's integer.
    power = 0
    while capacity > 1:
        capacity >>= 1
        power += 1
    return power


@part
def copy_level(levels: Structured, source: int, target: int) -> None:
    """Copy one level over another."""
    # Field by field: numba copies a whole record byte by byte.
    one, other = levels[source], levels[target]
    other.key = one.key
    other.size = one.size
    other.orders = one.orders
    other.first = one.first
    other.last = one.last
