"""Makers: each keeps a ladder of bids and asks around its fair value in every instrument.

Ladders lie on a grid, so a small move of the future re-prices one rung a side instead of all: the
rung that is now farthest becomes the best. What a maker holds draws its fair value the other way,
so a one-sided flow pushes prices and leaves them when it ends. A maker never crosses: a ladder that
would is pushed back behind the other side's best, until that side has moved too.
"""

from __future__ import annotations

import math
from typing import Final

from simulator.market.compiled import compiled
from simulator.market.matching import QUOTES, STRANGER, add, begin, cancel, end, move
from simulator.market.pricing import call_delta, fair_value
from simulator.market.state import (
    FUTURE,
    LEVELS,
    MAKERS,
    PRICES,
    TICKS_PER_POINT,
    VOL_SHIFT,
    Small,
    State,
)

WIDENING: Final = 0.004
"""What an option's maker adds to half its spread, as a share of the fair value."""
_SKEW: Final = 0.03
"""Ticks of fair value for each lot held."""
_MOST_SKEW: Final = 8.0
_MARGIN: Final = LEVELS * 4
"""Ticks at both ends of a book that stay free."""
_STEP_NS: Final = 18_000
"""Between two books in one refresh of a maker."""


@compiled
def fair(st: State, inst: int, ns: int) -> float:
    """Return an instrument's fair value in ticks above its base, and keep its delta."""
    future = st.levels[FUTURE]
    if inst == 0:
        return float(future * TICKS_PER_POINT - st.books[0].base)
    sigma = max(st.books[inst].smile + st.levels[VOL_SHIFT], 0.05)
    life = st.books[inst].expiry - ns
    delta = call_delta(future, st.books[inst].strike, life, sigma)
    st.books[inst].delta = delta if st.books[inst].is_call else delta - 1.0
    value = fair_value(future, st.books[inst].strike, life, sigma, st.books[inst].is_call)
    return float(value * TICKS_PER_POINT)


@compiled
def look(st: State, group: int, maker: int, ns: int) -> None:
    """Let a maker bring its quotes of a whole expiry up to date, book after book."""
    st.looked_at[group, maker] = st.levels[FUTURE]
    for inst in range(1, len(st.books)):
        if st.books[inst].group == group and ns >= st.books[inst].frozen_until:
            ns += _STEP_NS
            # What it holds is worked off elsewhere, slowly.
            st.makers[inst, maker].held *= 0.998
            requote(st, inst, maker, fair(st, inst, ns), ns)


@compiled
def look_at(st: State, inst: int, ns: int) -> None:
    """Let every maker bring its quotes of one instrument up to date."""
    if ns < st.books[inst].frozen_until:
        return
    value = fair(st, inst, ns)
    for maker in range(MAKERS):
        requote(st, inst, maker, value, ns)


@compiled
def requote(st: State, inst: int, maker: int, value: float, ns: int) -> None:
    """Bring both ladders around `value` (ticks), as one event.

    Small orders of others that the market has run over are withdrawn rather than be in the way.
    """
    step = st.makers[inst, maker].step
    half = st.makers[inst, maker].half
    if inst != 0:
        half += WIDENING * value
        skew = _SKEW * st.makers[inst, maker].held
        value -= max(-_MOST_SKEW, min(skew, _MOST_SKEW))
    bid = math.floor((value - half) / step) * step
    ask = max(math.ceil((value + half) / step) * step, step)
    ask = min(ask, PRICES - _MARGIN)
    bid = min(bid, ask - step)
    begin(st, inst, ns)
    _withdraw_run_over(st, inst, bid, ask)
    if ask > _lowest_own_ask(st, inst, maker):
        # Rising: out of the way first.
        _requote_asks(st, inst, maker, ask)
        _requote_bids(st, inst, maker, bid)
    else:
        _requote_bids(st, inst, maker, bid)
        _requote_asks(st, inst, maker, ask)
    end(st)


@compiled
def renew_one(st: State, inst: int, maker: int, ns: int) -> None:
    """Renew the size of one order: while the market stands still, makers still adjust."""
    side = int(st.rng.random() * 2.0)
    order = st.quotes[inst, maker, side, int(st.rng.random() * LEVELS)]
    if order:
        begin(st, inst, ns)
        move(st, order, st.orders[order].price, usual_lots(st, inst, maker))
        end(st)


@compiled
def pull_all(st: State, inst: int, ns: int) -> None:
    """Withdraw every maker's quotes of one instrument, as one event."""
    begin(st, inst, ns)
    for maker in range(MAKERS):
        for side in range(2):
            for rung in range(LEVELS):
                order = st.quotes[inst, maker, side, rung]
                if order:
                    cancel(st, order)
    end(st)


@compiled
def usual_lots(st: State, inst: int, maker: int) -> int:
    """Return the size of a maker's next order."""
    return 1 + int(st.makers[inst, maker].lots * (0.6 + 0.8 * st.rng.random()))


@compiled
def _withdraw_run_over(st: State, inst: int, bid: int, ask: int) -> None:
    place = st.books[inst].strangers - 1
    while place >= 0:
        order = st.strangers[inst, place]
        price = st.orders[order].price
        over = price >= ask if st.orders[order].side == 0 else price <= bid
        if over:
            cancel(st, order)
        place -= 1


@compiled
def _lowest_own_ask(st: State, inst: int, maker: int) -> int:
    lowest = PRICES
    for rung in range(LEVELS):
        order = st.quotes[inst, maker, 1, rung]
        if order:
            lowest = min(lowest, st.orders[order].price)
    return lowest


@compiled
def _requote_bids(st: State, inst: int, maker: int, best: int) -> None:
    step = st.makers[inst, maker].step
    best = min(best, (st.best[inst, 1] - 1) // step * step)
    _move_ladder(st, inst, maker, 0, best, -step)


@compiled
def _requote_asks(st: State, inst: int, maker: int, best: int) -> None:
    step = st.makers[inst, maker].step
    best = max(best, (st.best[inst, 0] // step + 1) * step)
    _move_ladder(st, inst, maker, 1, best, step)


@compiled
def _move_ladder(st: State, inst: int, maker: int, side: int, best: int, step: int) -> None:
    """Let a ladder's rungs be `best`, `best + step` and so on; what is far off fills what lacks."""
    quotes = st.quotes[inst, maker, side]
    usual = st.makers[inst, maker].lots
    for rung in range(LEVELS):
        price = best + rung * step
        if price < 1 or price >= PRICES or _has_price(st, quotes, price):
            continue
        lots = usual_lots(st, inst, maker)
        spare = _spare_rung(st, quotes, best, step)
        if spare >= 0:
            move(st, quotes[spare], price, lots)
        else:
            place = _empty_rung(quotes)
            owner = 1 + (maker * 2 + side) * LEVELS + place
            quotes[place] = add(st, inst, side, price, lots, owner)
    for place in range(LEVELS):
        order = quotes[place]
        if order == 0:
            continue
        if not _is_wanted(st, order, best, step):
            cancel(st, order)
        elif 3 * st.orders[order].size < usual:
            move(st, order, st.orders[order].price, usual_lots(st, inst, maker))


@compiled
def _has_price(st: State, quotes: Small, price: int) -> bool:
    for place in range(LEVELS):
        order = quotes[place]
        if order and st.orders[order].price == price:
            return True
    return False


@compiled
def _is_wanted(st: State, order: int, best: int, step: int) -> bool:
    away = st.orders[order].price - best
    return bool(away % step == 0 and 0 <= away // step < LEVELS)


@compiled
def _spare_rung(st: State, quotes: Small, best: int, step: int) -> int:
    for place in range(LEVELS):
        order = quotes[place]
        if order and not _is_wanted(st, order, best, step):
            return place
    return -1


@compiled
def _empty_rung(quotes: Small) -> int:
    for place in range(LEVELS):
        if quotes[place] == 0:
            return place
    return -1


assert QUOTES < STRANGER
