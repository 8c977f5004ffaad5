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
def seek(levels: Structured, side: Any, key: int) -> Any:
    """Return the index, from the worst, of the first level of a side whose key is not below `key`.

    Looked for where it most often is: near the touch, where it was last, at the far end.
    """
    # Any: one element of SIDE_DTYPE, and numba's integer.
    begin, high = side.begin, side.count
    least = max(high - _NEAR, 0)
    while high > least:
        found = levels[begin + high - 1].key
        if found < key:
            return high
        high -= 1
        if found == key:
            return high
    if high == 0 or levels[begin].key >= key:
        return 0
    if side.hint < high and levels[begin + side.hint].key == key:
        return side.hint
    low = 1
    while low < high:
        middle = (low + high) >> 1
        if levels[begin + middle].key < key:
            low = middle + 1
        else:
            high = middle
    side.hint = low
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
    index = seek(levels, side, key)
    if index == side.count or levels[side.begin + index].key != key:
        insert_level(counts, levels, sides, owner, index, key)
    level = levels[sides[owner].begin + index]
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
    index = seek(levels, side, key_of(order.price, order.owner))
    level = levels[side.begin + index]
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
    index = seek(levels, side, key_of(order.price, order.owner))
    gone = order.size - size
    levels[side.begin + index].size -= gone
    side.removed += gone
    order.size = size
    side.changed = 1


@part
def insert_level(
    counts: Integers, levels: Structured, sides: Structured, owner: int, index: int, key: int
) -> None:
    """Make room for a level at `index`, moving the shorter part of the side, and begin it empty."""
    side = sides[owner]
    is_low = 2 * index < side.count
    room = side.begin - side.offset
    if not is_low:
        room = side.capacity - side.count - room
    if room == 0:
        if 2 * side.count > side.capacity or side.capacity == 0:
            widen(counts, levels, side)
        else:
            centre(levels, side)
    if is_low:
        side.begin -= 1
        for position in range(side.begin, side.begin + index):
            copy_level(levels, position + 1, position)
    else:
        for position in range(side.begin + side.count, side.begin + index, -1):
            copy_level(levels, position - 1, position)
    side.count += 1
    level = levels[side.begin + index]
    level.key = key
    level.size = 0
    level.orders = 0
    level.first = level.last = -1


@part
def remove_level(levels: Structured, sides: Structured, owner: int, index: int) -> None:
    """Close the gap that an emptied level leaves, moving the shorter part of the side."""
    side = sides[owner]
    side.count -= 1
    if 2 * index < side.count:
        for position in range(side.begin + index, side.begin, -1):
            copy_level(levels, position - 1, position)
        side.begin += 1
    else:
        for position in range(side.begin + index, side.begin + side.count):
            copy_level(levels, position + 1, position)


@part
def centre(levels: Structured, side: Any) -> None:
    """Move a side to the middle of its block, where a drifting market has pushed it to an end."""
    # Any: one element of SIDE_DTYPE.
    before = side.begin
    after = side.offset + (side.capacity - side.count) // 2
    if after < before:
        for index in range(side.count):
            copy_level(levels, before + index, after + index)
    else:
        for index in range(side.count - 1, -1, -1):
            copy_level(levels, before + index, after + index)
    side.begin = after


@part
def widen(counts: Integers, levels: Structured, side: Any) -> None:
    """Move a side to the middle of a block of twice the size, and leave the old one to others."""
    # Any: one element of SIDE_DTYPE.
    before, capacity, begin = side.offset, side.capacity, side.begin
    larger = max(2 * capacity, SMALLEST_BLOCK)
    free = FREE_BLOCKS + class_of(larger)
    offset = counts[free]
    if offset >= 0:
        counts[free] = levels[offset].first
    else:
        offset = counts[LEVELS_TOP]
        counts[LEVELS_TOP] = offset + larger
        counts[LARGEST_BLOCK] = max(counts[LARGEST_BLOCK], larger)
    side.offset = offset
    side.capacity = larger
    side.begin = offset + (larger - side.count) // 2
    for index in range(side.count):
        copy_level(levels, begin + index, side.begin + index)
    if capacity:
        free = FREE_BLOCKS + class_of(capacity)
        levels[before].first = counts[free]
        counts[free] = before


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
