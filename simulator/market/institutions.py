"""The institutional families: what somebody with a view and size does, from blunt to hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ifd.units import NANOS_PER_MILLISECOND, NANOS_PER_SECOND
from simulator.market.interventions import cross, rest, withdraw
from simulator.market.matching import take
from simulator.market.plans import SWEEP_LEVELS, Floor, Plan, inform, slices
from simulator.market.state import State

_ADJACENT: Final = 50.0
_FOLLOW_THROUGH_POINTS: Final = 0.06


def sweep(floor: Floor, label: int, ns: int, *, obvious: bool = False) -> Plan:
    """Take several prices of a strike within a second or two, sometimes of its neighbour too."""
    side = floor.side()
    inst = floor.option()
    legs = [(inst, side)]
    if floor.rng.random() < 0.3:
        beside = floor.strike(inst) + floor.rng.choice((-_ADJACENT, _ADJACENT))
        other = floor.option(group=floor.group(inst), right=floor.right(inst), nearest=beside)
        if other != inst:
            legs.append((other, side))
    plan = Plan("sweep", True, label, legs, ns)
    lots = floor.lots(obvious=obvious)
    begin = ns + 300 * NANOS_PER_MILLISECOND
    for leg in legs:
        parts = floor.rng.randint(1, 2) if lots < 200 else floor.rng.randint(2, 4)
        offsets = [0, *sorted(floor.rng.randint(60, 1_500) for _ in range(parts - 1))]
        times = [begin + offset * NANOS_PER_MILLISECOND for offset in offsets]
        slices(floor, plan, leg, floor.shares(lots, parts), times, levels=SWEEP_LEVELS)
        begin += floor.rng.randint(80, 300) * NANOS_PER_MILLISECOND
    return plan


def iceberg(floor: Floor, label: int, ns: int) -> Plan:
    """Rest a large order that shows little, and let natural sellers (buyers) come to it."""
    side = floor.side()
    inst = floor.option()
    lots = floor.lots()
    plan = Plan("iceberg", True, label, [(inst, side)], ns)
    shown = floor.rng.randint(5, 15)
    length = floor.seconds(120, 480)

    def peg(st: State, at: int) -> None:
        # It follows the market, always the best price of its side.
        withdraw(st, label, at)
        left = lots - int(st.labels[label]["lots"])
        if left > 0:
            rest(st, inst, side, -1, min(shown, left), max(0, left - shown), at, label)

    def come(st: State, at: int) -> None:
        done = take(st, inst, 1 - side, floor.rng.randint(4, 18), 1, at, -1)
        inform(st, inst, side, done)

    for at in range(ns, ns + length, 20 * NANOS_PER_SECOND):
        plan.at(at, peg)
    for _ in range(lots // 9 + 2):
        plan.at(ns + int(length * floor.rng.uniform(0.01, 0.99)), come)
    plan.at(ns + length, lambda st, at: withdraw(st, label, at))
    return plan


def twap(floor: Floor, label: int, ns: int) -> Plan:
    """Buy or sell the same few lots at even times."""
    leg = (floor.option(), floor.side())
    plan = Plan("sliced-twap", True, label, [leg], ns)
    lots = floor.lots()
    count = floor.rng.randint(20, 40)
    gap = floor.seconds(6, 18)
    times = [ns + number * gap for number in range(count)]
    slices(floor, plan, leg, [max(2, lots // count)] * count, times, levels=2)
    return plan


def irregular(floor: Floor, label: int, ns: int) -> Plan:
    """Buy or sell in uneven pieces at uneven times."""
    leg = (floor.option(), floor.side())
    plan = Plan("sliced-irregular", True, label, [leg], ns)
    lots = floor.lots()
    count = floor.rng.randint(12, 30)
    length = floor.seconds(180, 600)
    times = sorted(ns + int(length * floor.rng.random()) for _ in range(count))
    slices(floor, plan, leg, floor.shares(lots, count), times, levels=2)
    return plan


def block(floor: Floor, label: int, ns: int) -> Plan:
    """Print one large trade against a dealer, then go on in pieces while the market follows."""
    inst, side = floor.option(), floor.side()
    plan = Plan("block", True, label, [(inst, side)], ns)
    lots = floor.lots()

    def print_it(st: State, at: int) -> None:
        done = cross(st, inst, side, lots, at, label)
        inform(st, inst, side, done, points=_FOLLOW_THROUGH_POINTS)

    plan.at(ns, print_it)
    count = floor.rng.randint(3, 8)
    times = sorted(ns + floor.seconds(15, 150) for _ in range(count))
    slices(floor, plan, (inst, side), floor.shares(max(count, lots // 3), count), times, levels=2)
    return plan


def risk_reversal(floor: Floor, label: int, ns: int) -> Plan:
    """Buy calls and sell puts of one expiry, or the other way round: one direction, two strikes."""
    up = floor.side()
    group = floor.rng.randrange(floor.expiries)
    call = floor.option(group=group, right="C", reach=200.0)
    put = floor.option(
        group=group, right="P", nearest=floor.strike(call) - floor.rng.choice((100, 150, 200))
    )
    return _structure(floor, label, ns, "risk-reversal", [(call, up), (put, 1 - up)])


def vertical(floor: Floor, label: int, ns: int) -> Plan:
    """Buy one strike and sell a farther one of its right and expiry, or the other way round."""
    side = floor.side()
    near = floor.option(reach=150.0)
    away = floor.rng.choice((100, 150, 200)) * (1 if floor.right(near) == "C" else -1)
    far = floor.option(
        group=floor.group(near), right=floor.right(near), nearest=floor.strike(near) + away
    )
    return _structure(floor, label, ns, "vertical", [(near, side), (far, 1 - side)])


def roll(floor: Floor, label: int, ns: int) -> Plan:
    """Leave a strike of one expiry for the same strike of a later one."""
    side = floor.side()
    near = floor.option(group=floor.rng.randrange(floor.expiries - 1), reach=200.0)
    later = floor.option(
        group=floor.rng.randrange(floor.group(near) + 1, floor.expiries),
        right=floor.right(near),
        nearest=floor.strike(near),
    )
    return _structure(floor, label, ns, "roll", [(near, 1 - side), (later, side)])


def _structure(floor: Floor, label: int, ns: int, kind: str, legs: list[tuple[int, int]]) -> Plan:
    plan = Plan(kind, True, label, legs, ns)
    lots = floor.lots()
    parts = floor.rng.randint(2, 6)
    begins = sorted(ns + floor.seconds(0.3, 20) for _ in range(parts))
    sizes = floor.shares(lots, parts)
    for number, leg in enumerate(legs):
        # The second leg follows the first within milliseconds.
        late = number * floor.rng.randint(5, 400) * NANOS_PER_MILLISECOND
        slices(floor, plan, leg, sizes, [at + late for at in begins], levels=4)
    return plan


INSTITUTIONS: Final[dict[str, Callable[[Floor, int, int], Plan]]] = {
    "sweep": sweep,
    "iceberg": iceberg,
    "sliced-twap": twap,
    "sliced-irregular": irregular,
    "block": block,
    "risk-reversal": risk_reversal,
    "vertical": vertical,
    "roll": roll,
}
