"""What planted episodes do to the market, beyond trading: rest, withdraw, storm, halt, repeat."""

from __future__ import annotations

from ifd.records import TRADE
from simulator.market.compiled import compiled
from simulator.market.matching import (
    PLANTED,
    add,
    begin,
    cancel,
    end,
    letter,
    move,
    take,
    write,
)
from simulator.market.quoting import look, pull_all, usual_lots
from simulator.market.state import (
    HALTED_UNTIL,
    LEVELS,
    MAKERS,
    PRICES,
    State,
)


@compiled
def rest(
    st: State, inst: int, side: int, behind: int, shown: int, hidden: int, ns: int, label: int
) -> bool:
    """Rest a planted order `behind` ticks behind the touch (negative: it improves the price).

    Fills of it count for `label`. An iceberg shows `shown` lots and hides more. Returns False where
    a side of the book is empty.
    """
    bid, ask = st.best[inst, 0], st.best[inst, 1]
    if bid <= 0 or ask >= PRICES:
        return False
    price = min(bid - behind, ask - 1) if side == 0 else max(ask + behind, bid + 1)
    if price < 1 or price >= PRICES:
        return False
    begin(st, inst, ns)
    order = add(st, inst, side, price, shown, PLANTED)
    st.orders[order].hidden = hidden
    st.orders[order].label = label
    end(st)
    return True


@compiled
def withdraw(st: State, label: int, ns: int) -> int:
    """Cancel every resting order of a planted episode; return the lots left, hidden ones too."""
    left = 0
    for order in range(1, len(st.orders)):
        one = st.orders[order]
        if one.owner == PLANTED and one.label == label:
            left += one.size + one.hidden
            begin(st, one.inst, ns)
            cancel(st, order)
            end(st)
    return left


@compiled
def storm(st: State, group: int, ns: int) -> None:
    """Let every maker renew all its sizes in one expiry, within milliseconds."""
    for inst in range(1, len(st.books)):
        if st.books[inst].group != group:
            continue
        for maker in range(MAKERS):
            ns += 9_000
            begin(st, inst, ns)
            for side in range(2):
                for rung in range(LEVELS):
                    order = st.quotes[inst, maker, side, rung]
                    if order:
                        move(st, order, st.orders[order].price, usual_lots(st, inst, maker))
            end(st)


@compiled
def halt(st: State, ns: int, until_ns: int) -> None:
    """Stop trading: makers pull everything, and nothing happens before `until_ns`."""
    st.ints[HALTED_UNTIL] = until_ns
    for inst in range(len(st.books)):
        pull_all(st, inst, ns)


@compiled
def freeze(st: State, group: int, until_ns: int) -> None:
    """Let the quotes of one expiry go stale: no maker looks at it before `until_ns`."""
    for inst in range(1, len(st.books)):
        if st.books[inst].group == group:
            st.books[inst].frozen_until = until_ns


@compiled
def look_everywhere(st: State, ns: int) -> None:
    """Let every maker bring every quote up to date."""
    for group in range(st.looked_at.shape[0]):
        for maker in range(MAKERS):
            look(st, group, maker, ns)


@compiled
def repeat_print(st: State, inst: int, ns: int) -> None:
    """Send the last trade print of an instrument again, as a feed that replays a chunk does.

    Only the print: the book's own records of it would name orders that are gone.
    """
    book = st.books[inst]
    if book.print_lots > 0:
        begin(st, inst, ns)
        write(
            st, TRADE, letter(book.print_side), book.print_ident, book.print_price, book.print_lots
        )
        end(st)


@compiled
def cross(st: State, inst: int, side: int, lots: int, ns: int, label: int) -> int:
    """Let a dealer show `lots` at the touch and have them taken at once: one fat print."""
    if not rest(st, inst, 1 - side, 0, lots, 0, ns, -1):
        return 0
    return take(st, inst, side, lots, 1, ns + 2_000_000, label)
