"""How much of the future an option is worth: delta from its own mid, after Black (1976).

Black's price depends on volatility and time through one number alone, the standard deviation of the
logarithm of the future until expiry. It is solved for directly, so delta needs no volatility, no
calendar and no day count; these only matter where there is no mid to solve from, and a usual
volatility is assumed. Nothing is discounted: over the life of these options that changes a delta in
the third digit.
"""

from __future__ import annotations

import math
from typing import Final

from ifd.compiled import kernel, part
from ifd.params import ASSUMED_VOLATILITY, SHORTEST_LIFE_YEARS
from ifd.units import DELTA_SCALE, NANOS_PER_YEAR, PRICE_SCALE, UNDEFINED_PRICE

_SMALLEST: Final = 1e-6
_LARGEST: Final = 8.0
_STEPS: Final = 60
_PRECISION: Final = 1e-10
_ROOT_HALF: Final = math.sqrt(0.5)
_ROOT_TWO_PI: Final = math.sqrt(2.0 * math.pi)


@part
def normal_probability(value: float) -> float:
    """Return the standard normal distribution function."""
    return 0.5 * math.erfc(-value * _ROOT_HALF)


@part
def call_price(forward: float, strike: float, deviation: float) -> float:
    """Return Black's price of a call, not discounted."""
    above = math.log(forward / strike) / deviation + 0.5 * deviation
    return forward * normal_probability(above) - strike * normal_probability(above - deviation)


@part
def solve_deviation(price: float, forward: float, strike: float) -> float:
    """Return the deviation at which a call outside the money is worth `price`; nan if none."""
    if not 0.0 < price < forward:
        return math.nan
    low, high = _SMALLEST, _LARGEST
    found = min(max(price / forward * _ROOT_TWO_PI, 0.01), 1.0)
    for _ in range(_STEPS):
        excess = call_price(forward, strike, found) - price
        if excess > 0.0:
            high = found
        else:
            low = found
        above = math.log(forward / strike) / found + 0.5 * found
        slope = forward * math.exp(-0.5 * above * above) / _ROOT_TWO_PI
        step = excess / slope if slope > 0.0 else math.inf
        after = found - step
        # Newton's step, unless it leaves what is known to hold the root.
        if not low < after < high:
            after = 0.5 * (low + high)
        if abs(after - found) < _PRECISION:
            return after
        found = after
    return found


@part
def deviation_of(price: float, forward: float, strike: float, is_call: bool) -> float:
    """Return the implied deviation of an option, or nan where its price cannot tell.

    By parity the side outside the money is solved, where nearly all of the price is time value.
    """
    intrinsic = max(forward - strike, 0.0) if is_call else max(strike - forward, 0.0)
    worth = price - intrinsic
    if forward < strike:
        return solve_deviation(worth, forward, strike)
    # A put is a call with future and strike exchanged.
    return solve_deviation(worth, strike, forward)


@part
def delta_at(forward: float, strike: float, deviation: float, is_call: bool) -> float:
    """Return the delta at a deviation, -1 to 1."""
    above = math.log(forward / strike) / deviation + 0.5 * deviation
    return normal_probability(above) if is_call else normal_probability(above) - 1.0


@part
def delta_of(price: float, forward: float, strike: float, years: float, is_call: bool) -> float:
    """Return the delta implied by a price, or by the assumed volatility where it cannot tell.

    Parameters
    ----------
    price : float
        Mid of the option; nan where it has none.
    forward, strike : float
        In the unit of `price`; both positive.
    """
    deviation = deviation_of(price, forward, strike, is_call)
    if math.isnan(deviation):
        deviation = ASSUMED_VOLATILITY * math.sqrt(max(years, SHORTEST_LIFE_YEARS))
    return delta_at(forward, strike, deviation, is_call)


@part
def option_delta(mid: int, future: int, strike: int, life_ns: int, is_call: bool) -> int:
    """Return an option's delta in millionths.

    Parameters
    ----------
    mid, future, strike : int
        In 1e-9; `UNDEFINED_PRICE` where there is none. Without a future, every option counts as at
        the money.
    life_ns : int
        From now to expiry.
    """
    delta = 0.5 if is_call else -0.5
    if 0 < future < UNDEFINED_PRICE and strike > 0:
        price = math.nan if mid == UNDEFINED_PRICE else mid / PRICE_SCALE
        years = life_ns / NANOS_PER_YEAR
        delta = delta_of(price, future / PRICE_SCALE, strike / PRICE_SCALE, years, is_call)
    return math.floor(delta * DELTA_SCALE + 0.5)


@kernel
def delta_millionths(mid: int, future: int, strike: int, life_ns: int, is_call: bool) -> int:
    """Return `option_delta`, for callers in Python."""
    return option_delta(mid, future, strike, life_ns, is_call)


@kernel
def implied_volatility(
    price: float,
    forward: float,
    strike: float,
    years: float,
    is_call: bool,
) -> float:
    """Return the yearly volatility that a price implies, or nan where it cannot tell.

    Parameters
    ----------
    price, forward, strike : float
        In one unit, e.g. points.
    years : float
        Time to expiry, 365 days a year.
    """
    return deviation_of(price, forward, strike, is_call) / math.sqrt(years)
