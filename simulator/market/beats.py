"""What happens by itself, beat after beat: the future moves, makers follow, others trade.

All of it is one point process. Trades excite trades (Hawkes, exponential kernel, thinned exactly:
between two beats every rate only falls), so they come in clusters; a trade that another excited
goes the same way in the same strike. The session's season is a U. Makers look at an expiry when the
future has moved by more than they tolerate, and refresh it book after book within a millisecond.
"""

from __future__ import annotations

import math
from typing import Final

from ifd.units import NANOS_PER_SECOND
from simulator.market.chain import CENTRE
from simulator.market.compiled import compiled
from simulator.market.matching import (
    HEDGE,
    STRANGER,
    add,
    begin,
    cancel,
    clear,
    end,
    take,
)
from simulator.market.quoting import fair, look, look_at, renew_one, requote
from simulator.market.state import (
    ACTIVITY,
    CAPACITY,
    DRIFT,
    END_NS,
    FUTURE,
    FUTURE_HEAT,
    FUTURE_SIDE,
    HALTED_UNTIL,
    LAST_OPTION,
    LAST_SIDE,
    MAKERS,
    MINUTE_VOLATILITY,
    NEXT_NS,
    OPTION_HEAT,
    PRICE_NS,
    PRICES,
    RUSH,
    START_NS,
    STRANGERS,
    TURMOIL,
    VOL_SHIFT,
    WAIT_HEAD,
    WAIT_TAIL,
    WAITING,
    WRITTEN,
    State,
)

FUTURE_QUOTES: Final = 3.0
SMALL_ORDERS: Final = 7.0
RENEWALS: Final = 6.0
FUTURE_TRADES: Final = 0.7
OPTION_TRADES: Final = 0.16
"""Beats a second at an activity of 1: the future's quotes, small orders of others, sizes renewed;
and the trades that nothing excited."""
BRANCHING: Final = 0.6
"""Trades that one trade excites, on average; below 1, or it never ends."""
DECAY: Final = 0.15
"""How fast excitement fades, 1/s."""
TOLERANCE: Final = 3.2
"""Points the future may move, at an activity of 1, before the keenest maker looks again."""
_OPTION_TAIL: Final = 1.6
_FUTURE_TAIL: Final = 1.5
"""Exponents of the power laws of trade sizes."""
_BIGGEST: Final = 60
_SHARE_IN_FUTURE: Final = 0.25
_MEAN_REVERSION_SECONDS: Final = 12 * 3_600.0
_BAND: Final = 700.0
"""Points around the centre that the future stays in."""
_VOL_REVERSION_SECONDS: Final = 900.0
_DRIFT_SECONDS: Final = 90.0
_IMPACT: Final = 0.02
"""Points the future moves for a future traded."""
_HEDGE_LOTS: Final = 40


@compiled
def open_market(st: State, ns: int) -> None:
    """Clear every book and let the makers quote: the opening burst."""
    for inst in range(len(st.books)):
        clear(st, inst, ns)
    for inst in range(len(st.books)):
        look_at(st, inst, ns)
    for group in range(st.looked_at.shape[0]):
        for maker in range(MAKERS):
            st.looked_at[group, maker] = st.levels[FUTURE]
    st.ints[NEXT_NS] = ns + 1


@compiled
def run(st: State, until_ns: int) -> bool:
    """Let happen what happens before `until_ns`; return False where the records must be taken."""
    ints = st.ints
    while ints[WRITTEN] < CAPACITY:
        waits = ints[WAIT_HEAD] < ints[WAIT_TAIL]
        head = ints[WAIT_HEAD] & (WAITING - 1)
        ns = ints[NEXT_NS]
        if waits and st.waiting[head].ns <= ns:
            ns = st.waiting[head].ns
        else:
            waits = False
        if ns >= until_ns:
            return True
        if waits:
            ints[WAIT_HEAD] += 1
            _react(st, st.waiting[head].arg, ns)
        else:
            pass_time(st, ns)
            if ns >= ints[HALTED_UNTIL]:
                _beat(st, ns)
            ints[NEXT_NS] = ns + 1 + int(st.rng.standard_exponential() / _rate(st, ns) * 1e9)
    return False


@compiled
def season(st: State, ns: int) -> float:
    """Return how busy the time of day is, 1 on average: a U with a rush at both ends."""
    ints = st.ints
    if ints[END_NS] == 0:
        return 1.0
    x = (ns - ints[START_NS]) / (ints[END_NS] - ints[START_NS])
    return float(0.55 + 1.1 * (2.0 * x - 1.0) ** 2 + 1.5 * math.exp(-x / 0.012))


@compiled
def pass_time(st: State, ns: int) -> None:
    """Move the future and its volatility to `ns`, and let excitement fade."""
    levels, rng = st.levels, st.rng
    seconds = (ns - st.ints[PRICE_NS]) / NANOS_PER_SECOND
    if seconds <= 0.0:
        return
    st.ints[PRICE_NS] = ns
    away = CENTRE - levels[FUTURE]
    sigma = levels[MINUTE_VOLATILITY] / math.sqrt(60.0) * (1.0 + levels[TURMOIL])
    sigma *= math.sqrt(season(st, ns))
    step = sigma * math.sqrt(seconds) * rng.standard_normal()
    step += away * seconds / _MEAN_REVERSION_SECONDS + levels[DRIFT] * seconds
    levels[FUTURE] = min(max(levels[FUTURE] + step, CENTRE - _BAND), CENTRE + _BAND)
    vol_step = 0.0006 * math.sqrt(seconds / 60.0) * rng.standard_normal()
    levels[VOL_SHIFT] += vol_step - levels[VOL_SHIFT] * seconds / _VOL_REVERSION_SECONDS
    fade = math.exp(-DECAY * seconds)
    levels[OPTION_HEAT] *= fade
    levels[FUTURE_HEAT] *= fade
    slow = math.exp(-seconds / _DRIFT_SECONDS)
    levels[DRIFT] *= slow
    levels[TURMOIL] *= slow
    levels[RUSH] *= slow


@compiled
def excite(st: State, children: float) -> None:
    """Add to the excitement as much as lets so many option trades follow, on average."""
    st.levels[OPTION_HEAT] += children * DECAY


@compiled
def _rate(st: State, ns: int) -> float:
    levels = st.levels
    pace = levels[ACTIVITY] * season(st, ns)
    quiet = FUTURE_QUOTES + SMALL_ORDERS + RENEWALS + FUTURE_TRADES + OPTION_TRADES
    return float(pace * (quiet + levels[RUSH]) + levels[OPTION_HEAT] + levels[FUTURE_HEAT])


@compiled
def _beat(st: State, ns: int) -> None:
    _look_where_due(st, ns)
    levels, rng = st.levels, st.rng
    pace = levels[ACTIVITY] * season(st, ns)
    # Whatever lies above the sum was a candidate that thinning refuses.
    u = rng.random() * _rate(st, ns)
    for kind, rate in enumerate(
        (
            pace * FUTURE_QUOTES,
            pace * SMALL_ORDERS,
            pace * RENEWALS,
            pace * FUTURE_TRADES,
            levels[FUTURE_HEAT],
            pace * (OPTION_TRADES + levels[RUSH]),
            levels[OPTION_HEAT],
        )
    ):
        if u < rate:
            _happen(st, kind, ns)
            return
        u -= rate


@compiled
def _happen(st: State, kind: int, ns: int) -> None:
    rng = st.rng
    if kind == 0:
        requote(st, 0, int(rng.random() * MAKERS), fair(st, 0, ns), ns)
    elif kind == 1:
        inst = 0 if rng.random() < _SHARE_IN_FUTURE else draw_option(st)
        small_order(st, inst, ns)
    elif kind == 2:
        renew_one(st, draw_option(st), int(rng.random() * MAKERS), ns)
    elif kind in (3, 4):
        _trade_future(st, ns, kind == 4)
    else:
        _trade_option(st, ns, kind == 6)


@compiled
def _look_where_due(st: State, ns: int) -> None:
    future = st.levels[FUTURE]
    scale = TOLERANCE / math.sqrt(st.levels[ACTIVITY])
    for group in range(st.looked_at.shape[0]):
        for maker in range(MAKERS):
            if abs(future - st.looked_at[group, maker]) > scale * (1.0 + 0.35 * maker):
                look(st, group, maker, ns)


@compiled
def _react(st: State, arg: int, ns: int) -> None:
    if arg < HEDGE:
        if ns >= st.ints[HALTED_UNTIL]:
            look_at(st, arg, ns)
        return
    maker = arg - HEDGE
    delta = st.chain_delta[maker]
    lots = min(int(abs(delta)), _HEDGE_LOTS)
    if lots > 0 and ns >= st.ints[HALTED_UNTIL]:
        side = 1 if delta > 0 else 0
        done = take(st, 0, side, lots, 4, ns, -1)
        st.chain_delta[maker] += done if side == 0 else -done
        press(st, done if side == 0 else -done)


@compiled
def press(st: State, signed_lots: float) -> None:
    """Let trading in the future move its price."""
    st.levels[FUTURE] += _IMPACT * signed_lots


@compiled
def draw_option(st: State) -> int:
    """Return an option, the busier ones more often."""
    books = st.books
    low, high = 1, len(books) - 1
    u = st.rng.random() * books[high].weight
    while low < high:
        middle = (low + high) // 2
        if books[middle].weight > u:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def draw_lots(st: State, tail: float) -> int:
    """Return an ordinary trade's size: a power law, cut where it would be news."""
    return min(int((1.0 - st.rng.random()) ** (-1.0 / tail)), _BIGGEST)


@compiled
def _trade_future(st: State, ns: int, excited: bool) -> None:
    ints, rng = st.ints, st.rng
    if not excited or rng.random() < 0.3:
        ints[FUTURE_SIDE] = int(rng.random() * 2.0)
    done = take(st, 0, ints[FUTURE_SIDE], draw_lots(st, _FUTURE_TAIL), 2, ns, -1)
    press(st, 0.5 * done if ints[FUTURE_SIDE] == 0 else -0.5 * done)
    st.levels[FUTURE_HEAT] += BRANCHING * DECAY


@compiled
def _trade_option(st: State, ns: int, excited: bool) -> None:
    ints, rng = st.ints, st.rng
    if not excited or rng.random() < 0.4:
        ints[LAST_OPTION] = draw_option(st)
        ints[LAST_SIDE] = int(rng.random() * 2.0)
    take(st, ints[LAST_OPTION], ints[LAST_SIDE], draw_lots(st, _OPTION_TAIL), 2, ns, -1)
    excite(st, BRANCHING)


@compiled
def small_order(st: State, inst: int, ns: int) -> None:
    """Let somebody who makes no market add a small order near the touch, or pull one."""
    rng = st.rng
    count = st.books[inst].strangers
    if count and (count >= STRANGERS or rng.random() < 0.5):
        begin(st, inst, ns)
        cancel(st, st.strangers[inst, int(rng.random() * count)])
        end(st)
        return
    bid, ask = st.best[inst, 0], st.best[inst, 1]
    if bid <= 0 or ask >= PRICES:
        return
    behind = int(rng.standard_exponential() / 0.7) - 1
    side = int(rng.random() * 2.0)
    price = min(bid - behind, ask - 1) if side == 0 else max(ask + behind, bid + 1)
    if price < 1 or price >= PRICES:
        return
    begin(st, inst, ns)
    order = add(st, inst, side, price, 1 + int(rng.random() * 5.0), STRANGER + count)
    st.strangers[inst, count] = order
    st.books[inst].strangers = count + 1
    end(st)
