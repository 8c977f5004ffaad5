"""The matching engine: price, then time; everything it does is on the tape.

One event is one transaction in one instrument: all its records share `ts_event`, and only the last
carries F_LAST. A fill never changes a book by itself: the cancel (full) or modify (partial, or an
iceberg's next slice) that follows in the next packet of the same event does, as recorded from CME.
"""

from __future__ import annotations

from typing import Final

from ifd.records import ADD, ASK, BID, CANCEL, CLEAR, FILL, MODIFY, NO_SIDE, TRADE
from ifd.units import UNDEFINED_PRICE
from simulator.market.compiled import compiled
from simulator.market.definitions import FUTURES_CHANNEL, OPTIONS_CHANNEL, TICK
from simulator.market.state import (
    CHANNEL,
    EVENT_START,
    FREE,
    INSTRUMENT,
    LEVELS,
    MAKERS,
    NEXT_ID,
    PRICES,
    SEQUENCE,
    TS_EVENT,
    TS_IN_DELTA,
    TS_RECV,
    WAIT_HEAD,
    WAIT_TAIL,
    WAITING,
    WRITTEN,
    State,
)

QUOTES: Final = 2 * MAKERS * LEVELS
"""Owners from 1 to this are makers' rungs."""
STRANGER: Final = 1_000
"""Owners from here on are places in the list of strangers."""
PLANTED: Final = -1
"""Owner of an order that an episode rests."""
REACTION_NS: Final = 25_000_000
"""How long makers take to renew what was traded away."""
HEDGE: Final = 1 << 20
"""Added to a maker's number where a hedge waits, not an instrument."""
HEDGE_FROM: Final = 25.0
"""Delta, in futures, at which a maker hedges."""
_LAST_OF_EVENT: Final = 0x82
_TRANSIT_NS: Final = 110_000
_TRANSIT_SPREAD_NS: Final = 600_000
_SEND_TO_CAPTURE_NS: Final = 12_300
_FARTHEST: Final = 400
"""Ticks an aggressor may walk."""


@compiled
def begin(st: State, inst: int, ns: int) -> None:
    """Open an event; its `ts_event` is later than that of the event before."""
    ints = st.ints
    ints[EVENT_START] = ints[WRITTEN]
    ints[INSTRUMENT] = st.books[inst].ident
    ints[CHANNEL] = FUTURES_CHANNEL if inst == 0 else OPTIONS_CHANNEL
    ints[TS_EVENT] = max(ns, ints[TS_EVENT] + 1)
    next_packet(st)


@compiled
def next_packet(st: State) -> None:
    """Go on in the next packet of the channel, still in the same event."""
    u = st.rng.random()
    ints = st.ints
    ints[SEQUENCE] = ints[SEQUENCE] % 0xFFFF_FFFF + 1
    arrival = ints[TS_EVENT] + _TRANSIT_NS + int(u * u * u * _TRANSIT_SPREAD_NS)
    ints[TS_RECV] = max(arrival, ints[TS_RECV] + 1)
    ints[TS_IN_DELTA] = _SEND_TO_CAPTURE_NS + int(u * 3_000)


@compiled
def write(st: State, action: int, side: int, ident: int, price: int, size: int) -> None:
    """Append one record of the open event; `price` is in 1e-9, `side` its letter."""
    ints = st.ints
    record = st.out[ints[WRITTEN]]
    ints[WRITTEN] += 1
    record.instrument_id = ints[INSTRUMENT]
    record.ts_event = ints[TS_EVENT]
    record.order_id = ident
    record.price = price
    record.size = size
    record.flags = 0
    record.channel_id = ints[CHANNEL]
    record.action = action
    record.side = side
    record.ts_recv = ints[TS_RECV]
    record.ts_in_delta = ints[TS_IN_DELTA]
    record.sequence = ints[SEQUENCE]


@compiled
def end(st: State) -> None:
    """Close the event: the record written last, if any was, completes it."""
    if st.ints[WRITTEN] > st.ints[EVENT_START]:
        st.out[st.ints[WRITTEN] - 1].flags = _LAST_OF_EVENT


@compiled
def clear(st: State, inst: int, ns: int) -> None:
    """Write the clear that opens a session."""
    begin(st, inst, ns)
    write(st, CLEAR, NO_SIDE, 0, UNDEFINED_PRICE, 0)
    end(st)


@compiled
def add(st: State, inst: int, side: int, price: int, size: int, owner: int) -> int:
    """Rest a new order in the open event and return its number."""
    ints = st.ints
    order = ints[FREE]
    ints[FREE] = st.orders[order].next
    ints[NEXT_ID] += 1
    st.orders[order].ident = ints[NEXT_ID]
    st.orders[order].inst = inst
    st.orders[order].side = side
    st.orders[order].size = size
    st.orders[order].owner = owner
    st.orders[order].hidden = 0
    st.orders[order].shown = size
    st.orders[order].label = -1
    queue(st, order, price)
    write(st, ADD, letter(side), ints[NEXT_ID], price_of(st, inst, price), size)
    return int(order)


@compiled
def move(st: State, order: int, price: int, size: int) -> None:
    """Change price and size; only fewer lots at the same price keep the place in the queue."""
    if price != st.orders[order].price or size > st.orders[order].size:
        unqueue(st, order)
        st.orders[order].size = size
        queue(st, order, price)
    st.orders[order].size = size
    inst = st.orders[order].inst
    side = letter(st.orders[order].side)
    write(st, MODIFY, side, st.orders[order].ident, price_of(st, inst, price), size)


@compiled
def cancel(st: State, order: int) -> None:
    """Take a whole order out of the book, and from its owner."""
    unqueue(st, order)
    disown(st, order)
    inst = st.orders[order].inst
    price = price_of(st, inst, st.orders[order].price)
    side = letter(st.orders[order].side)
    write(st, CANCEL, side, st.orders[order].ident, price, st.orders[order].size)
    st.orders[order].owner = 0
    st.orders[order].next = st.ints[FREE]
    st.ints[FREE] = order


@compiled
def take(st: State, inst: int, side: int, lots: int, levels: int, ns: int, label: int) -> int:
    """Trade an aggressive order against at most `levels` prices; return the lots done.

    What is not filled is cancelled (immediate or cancel). `label` is the planted episode it belongs
    to, or -1.
    """
    other = 1 - side
    price = st.best[inst, other]
    if (price <= 0 and other == 0) or price >= PRICES:
        return 0
    ints = st.ints
    begin(st, inst, ns)
    ints[NEXT_ID] += 1
    aggressor = ints[NEXT_ID]
    left, fills = lots, 0
    limit = price + (_FARTHEST if other == 1 else -_FARTHEST)
    while left > 0 and levels > 0 and price > 0 and price < PRICES and price != limit:
        order = st.queues[inst, other, price, 0]
        if order:
            first, traded = fills, 0
            while order and left > traded:
                size = min(st.orders[order].size, left - traded)
                st.fills[fills, 0] = order
                st.fills[fills, 1] = size
                fills += 1
                traded += size
                order = st.orders[order].next
            left -= traded
            levels -= 1
            at = price_of(st, inst, price)
            write(st, TRADE, letter(side), aggressor, at, traded)
            st.books[inst].print_side = side
            st.books[inst].print_ident = aggressor
            st.books[inst].print_price = at
            st.books[inst].print_lots = traded
            for k in range(first, fills):
                filled = st.fills[k, 0]
                write(st, FILL, letter(other), st.orders[filled].ident, at, st.fills[k, 1])
        price += 1 if other == 1 else -1
    next_packet(st)
    for k in range(fills):
        settle(st, st.fills[k, 0], st.fills[k, 1])
    end(st)
    note(st, label, lots - left)
    wait(st, inst)
    return lots - left


@compiled
def settle(st: State, order: int, filled: int) -> None:
    """Say what a fill leaves of a resting order."""
    account(st, order, filled)
    if st.orders[order].size > filled:
        move(st, order, st.orders[order].price, st.orders[order].size - filled)
    elif st.orders[order].hidden > 0:
        # The next slice of an iceberg, under the same id.
        slice_ = min(st.orders[order].shown, st.orders[order].hidden)
        st.orders[order].hidden -= slice_
        move(st, order, st.orders[order].price, slice_)
    else:
        cancel(st, order)


@compiled
def account(st: State, order: int, filled: int) -> None:
    """Book a fill to whoever rested the order."""
    note(st, st.orders[order].label, filled)
    owner = st.orders[order].owner
    if owner < 1 or owner > QUOTES:
        return
    maker = (owner - 1) // (2 * LEVELS)
    inst = st.orders[order].inst
    signed = filled if st.orders[order].side == 0 else -filled
    st.makers[inst, maker].held += signed
    st.chain_delta[maker] += signed * st.books[inst].delta
    if abs(st.chain_delta[maker]) > HEDGE_FROM and inst != 0:
        wait(st, HEDGE + maker)


@compiled
def note(st: State, label: int, lots: int) -> None:
    """Add lots to a planted episode's truth."""
    if label < 0 or lots == 0:
        return
    if st.labels[label].lots == 0:
        st.labels[label].first = st.ints[TS_EVENT]
    st.labels[label].last = st.ints[TS_EVENT]
    st.labels[label].lots += lots


@compiled
def wait(st: State, arg: int) -> None:
    """Let makers react to what just traded, a little later; once is enough for all of a moment."""
    ints = st.ints
    last = (ints[WAIT_TAIL] - 1) & (WAITING - 1)
    if ints[WAIT_TAIL] > ints[WAIT_HEAD] and st.waiting[last].arg == arg:
        return
    place = ints[WAIT_TAIL] & (WAITING - 1)
    st.waiting[place].ns = ints[TS_EVENT] + REACTION_NS
    st.waiting[place].arg = arg
    ints[WAIT_TAIL] += 1


@compiled
def queue(st: State, order: int, price: int) -> None:
    """Put an order at the back of a price."""
    inst, side = st.orders[order].inst, st.orders[order].side
    last = st.queues[inst, side, price, 1]
    st.orders[order].price = price
    st.orders[order].next = 0
    st.orders[order].prev = last
    if last:
        st.orders[last].next = order
    else:
        st.queues[inst, side, price, 0] = order
    st.queues[inst, side, price, 1] = order
    best = st.best[inst, side]
    st.best[inst, side] = max(best, price) if side == 0 else min(best, price)


@compiled
def unqueue(st: State, order: int) -> None:
    """Take an order out of its price."""
    inst, side, price = st.orders[order].inst, st.orders[order].side, st.orders[order].price
    before, after = st.orders[order].prev, st.orders[order].next
    if before:
        st.orders[before].next = after
    else:
        st.queues[inst, side, price, 0] = after
    if after:
        st.orders[after].prev = before
    else:
        st.queues[inst, side, price, 1] = before
    if st.queues[inst, side, price, 0] == 0 and st.best[inst, side] == price:
        if side == 0:
            while price > 0 and st.queues[inst, 0, price, 0] == 0:
                price -= 1
        else:
            while price < PRICES and st.queues[inst, 1, price, 0] == 0:
                price += 1
        st.best[inst, side] = price


@compiled
def disown(st: State, order: int) -> None:
    """Let an order's owner forget it."""
    owner, inst = st.orders[order].owner, st.orders[order].inst
    if 1 <= owner <= QUOTES:
        rung = owner - 1
        st.quotes[inst, rung // (2 * LEVELS), rung // LEVELS % 2, rung % LEVELS] = 0
    elif owner >= STRANGER:
        place = owner - STRANGER
        st.books[inst].strangers -= 1
        last = st.strangers[inst, st.books[inst].strangers]
        st.strangers[inst, place] = last
        st.orders[last].owner = owner


@compiled
def depth(st: State, inst: int, side: int, levels: int) -> int:
    """Return the lots resting in the first `levels` prices of a side."""
    price, found = st.best[inst, side], 0
    walked = 0
    while levels > 0 and 0 < price < PRICES and walked < _FARTHEST:
        order = st.queues[inst, side, price, 0]
        levels -= 1 if order else 0
        while order:
            found += st.orders[order].size
            order = st.orders[order].next
        price += 1 if side == 1 else -1
        walked += 1
    return found


@compiled
def letter(side: int) -> int:
    """Return a side as on the wire."""
    return BID if side == 0 else ASK


@compiled
def price_of(st: State, inst: int, price: int) -> int:
    """Return a price in 1e-9."""
    return int((st.books[inst].base + price) * TICK)
