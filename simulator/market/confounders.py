"""What looks like an institution and is none: storms, news, volatility desks, spoofs, faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ifd.units import NANOS_PER_MILLISECOND, NANOS_PER_SECOND
from simulator.market.beats import excite
from simulator.market.interventions import (
    cross,
    freeze,
    halt,
    look_everywhere,
    repeat_print,
    rest,
    storm,
    withdraw,
)
from simulator.market.plans import BUY, SELL, Floor, Plan, slices
from simulator.market.state import (
    DRIFT,
    FUTURE,
    FUTURE_HEAT,
    RUSH,
    TURMOIL,
    VOL_SHIFT,
    State,
)

_OPEN_RUSH_SECONDS: Final = 300
_CLOSE_RUSH_SECONDS: Final = 600


def maker_storm(floor: Floor, label: int, ns: int) -> Plan:
    """Makers refresh a whole expiry again and again, and nobody trades."""
    plan = _plan("maker-storm", label, ns)
    group = floor.rng.randrange(floor.expiries)
    for number in range(floor.rng.randint(3, 10)):
        at = ns + number * floor.rng.randint(40, 400) * NANOS_PER_MILLISECOND
        plan.at(at, lambda st, now: storm(st, group, now))
    return plan


def news(floor: Floor, label: int, ns: int) -> Plan:
    """Something is published: the future jumps, everybody trades everything one way."""
    plan = _plan("news", label, ns)
    points = floor.rng.uniform(15, 60) * floor.rng.choice((-1, 1))

    def break_out(st: State, _: int) -> None:
        st.levels[FUTURE] += points
        st.levels[DRIFT] += points / 300.0
        st.levels[TURMOIL] += 1.5
        st.levels[VOL_SHIFT] += 0.004
        st.levels[FUTURE_HEAT] += 8.0
        excite(st, 25.0)

    plan.at(ns, break_out)
    for _ in range(floor.rng.randint(10, 25)):
        # Calls bought and puts sold in a rise, all over the chain, nowhere much.
        right = floor.rng.choice("CP")
        side = BUY if (right == "C") == (points > 0) else SELL
        inst = floor.option(right=right, reach=500.0)
        at = ns + floor.seconds(0.2, 60)
        slices(floor, plan, (inst, side), [floor.rng.randint(3, 25)], [at], levels=2)
    return plan


def volatility_move(floor: Floor, label: int, ns: int) -> Plan:
    """Implied volatility moves all over the chain, without a direction."""
    plan = _plan("volatility-move", label, ns)
    change = floor.rng.uniform(0.005, 0.02) * floor.rng.choice((-1, 1))

    def shift(st: State, at: int) -> None:
        st.levels[VOL_SHIFT] += change / 6
        look_everywhere(st, at)

    for number in range(6):
        plan.at(ns + number * 5 * NANOS_PER_SECOND, shift)
    return plan


def straddle(floor: Floor, label: int, ns: int) -> Plan:
    """Trade call and put of one strike the same way, lot for lot: a volatility desk."""
    side = floor.side()
    call = floor.option(right="C", reach=100.0)
    put = floor.option(group=floor.group(call), right="P", nearest=floor.strike(call))
    plan = Plan("straddle", False, label, [(call, side), (put, side)], ns)
    parts = floor.rng.randint(1, 4)
    sizes = floor.shares(floor.lots(), parts)
    times = sorted(ns + floor.seconds(0.1, 12) for _ in range(parts))
    slices(floor, plan, (call, side), sizes, times, levels=4)
    late = floor.rng.randint(2, 250) * NANOS_PER_MILLISECOND
    slices(floor, plan, (put, side), sizes, [at + late for at in times], levels=4)
    return plan


def fat_print(floor: Floor, label: int, ns: int) -> Plan:
    """One large trade between two who have agreed on it; nothing follows."""
    inst, side = floor.option(), floor.side()
    plan = Plan("fat-print", False, label, [(inst, side)], ns)
    lots = floor.lots()
    plan.at(ns, lambda st, at: cross(st, inst, side, lots, at, label))
    return plan


def layering(floor: Floor, label: int, ns: int) -> Plan:
    """Large orders are shown on one side and pulled before anybody meets them."""
    inst, side = floor.option(), floor.side()
    plan = Plan("layering", False, label, [(inst, side)], ns, keeps_plan=True)
    for _ in range(floor.rng.randint(1, 4)):
        begin = ns + floor.seconds(0, 30)
        for behind in range(3, 9, 2):
            size = floor.rng.randint(60, 200)
            plan.at(
                begin + behind * 2 * NANOS_PER_MILLISECOND,
                lambda st, at, b=behind, s=size: rest(st, inst, side, b, s, 0, at, label),  # type: ignore[misc]
            )
        plan.at(begin + floor.seconds(0.4, 4), lambda st, at: withdraw(st, label, at))
    plan.at(plan.end_ns + NANOS_PER_MILLISECOND, lambda st, at: withdraw(st, label, at))
    return plan


def stale_quotes(floor: Floor, label: int, ns: int) -> Plan:
    """Let the quotes of one expiry stand still while the future moves on."""
    plan = _plan("stale-quotes", label, ns)
    group = floor.rng.randrange(floor.expiries)
    until = ns + floor.seconds(20, 80)
    plan.at(ns, lambda st, _: freeze(st, group, until))
    plan.at(until, lambda st, at: look_everywhere(st, at))
    return plan


def replayed_chunk(floor: Floor, label: int, ns: int) -> Plan:
    """Let the feed send the same print over and over."""
    inst = floor.option()
    side = floor.side()
    plan = Plan("replayed-chunk", False, label, [(inst, side)], ns, keeps_plan=True)
    slices(floor, plan, (inst, side), [floor.rng.randint(5, 20)], [ns], levels=2)
    for number in range(1, floor.rng.randint(4, 15)):
        at = ns + number * 15 * NANOS_PER_MILLISECOND
        plan.at(at, lambda st, now: repeat_print(st, inst, now))
    return plan


def trading_halt(floor: Floor, label: int, ns: int) -> Plan:
    """Trading stops for a minute or more, and everybody quotes anew."""
    plan = _plan("halt", label, ns)
    length = floor.seconds(60, 150)
    plan.at(ns, lambda st, at: halt(st, at, at + length))
    plan.at(ns + length, lambda st, at: look_everywhere(st, at))
    return plan


def expiry_rush(floor: Floor, label: int, ns: int) -> Plan:
    """Everybody closes what is about to expire: small trades both ways, all at the money."""
    plan = _plan("expiry-rush", label, ns)
    for _ in range(floor.rng.randint(60, 160)):
        inst = floor.option(group=0, reach=100.0)
        at = ns + floor.seconds(0, 400)
        slices(floor, plan, (inst, floor.side()), [floor.rng.randint(1, 15)], [at], levels=2)
    return plan


def rush(label: int, ns: int, kind: str, end_ns: int) -> Plan:
    """Everybody is there at once: many more trades of ordinary size, at the open or the close."""
    plan = _plan(kind, label, ns)

    def keep_up(st: State, _: int) -> None:
        st.levels[RUSH] = max(float(st.levels[RUSH]), 0.8)

    for at in range(ns, end_ns, 20 * NANOS_PER_SECOND):
        plan.at(at, keep_up)
    plan.at(end_ns, lambda _st, _at: None)
    return plan


def session_rushes(label: int, start_ns: int, end_ns: int) -> list[Plan]:
    """Return the rushes at both ends of a session, none of a session too short for them."""
    open_end = start_ns + _OPEN_RUSH_SECONDS * NANOS_PER_SECOND
    close_start = end_ns - _CLOSE_RUSH_SECONDS * NANOS_PER_SECOND
    if close_start < open_end:
        return []
    return [
        rush(label, start_ns + NANOS_PER_SECOND, "open-rush", open_end),
        rush(label + 1, close_start, "close-rush", end_ns - NANOS_PER_SECOND),
    ]


def _plan(kind: str, label: int, ns: int) -> Plan:
    return Plan(kind, False, label, [], ns, keeps_plan=True)


CONFOUNDERS: Final[dict[str, Callable[[Floor, int, int], Plan]]] = {
    "maker-storm": maker_storm,
    "news": news,
    "volatility-move": volatility_move,
    "straddle": straddle,
    "fat-print": fat_print,
    "layering": layering,
    "stale-quotes": stale_quotes,
    "replayed-chunk": replayed_chunk,
    "halt": trading_halt,
    "expiry-rush": expiry_rush,
}
