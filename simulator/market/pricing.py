"""Fair values of options on the future: Black's 1976 formula without interest, and a mild smile."""

from __future__ import annotations

import math
from typing import Final

from ifd.units import NANOS_PER_SECOND
from simulator.market.compiled import compiled

AT_THE_MONEY_VOLATILITY: Final = 0.19
_SKEW: Final = -0.5
_SMILE: Final = 2.0
_NANOS_PER_YEAR: Final = 365 * 86_400 * NANOS_PER_SECOND
_ROOT_TWO: Final = math.sqrt(2.0)


def volatility(strike: float, centre: float) -> float:
    """Return the annual volatility quoted at a strike: puts dearer than calls, as on an index."""
    away = math.log(strike / centre)
    return AT_THE_MONEY_VOLATILITY + _SKEW * away + _SMILE * away * away


@compiled
def fair_value(
    future: float, strike: float, expires_in_ns: int, annual_volatility: float, call: bool
) -> float:
    """Return the value in points of a European option on the future.

    References
    ----------
    Black, F. (1976), The pricing of commodity contracts; put by parity.

    Examples
    --------
    >>> round(fair_value(25_000.0, 25_000.0, 365 * 86_400 * 10**9, 0.2, True), 2)
    1991.39
    """
    if expires_in_ns <= 0:
        return max(future - strike, 0.0) if call else max(strike - future, 0.0)
    deviation = annual_volatility * math.sqrt(expires_in_ns / _NANOS_PER_YEAR)
    upper = math.log(future / strike) / deviation + 0.5 * deviation
    value = future * normal(upper) - strike * normal(upper - deviation)
    return value if call else value - future + strike


@compiled
def call_delta(future: float, strike: float, expires_in_ns: int, annual_volatility: float) -> float:
    """Return how much a call gains for a point of the future, 0..1; a put's is one less."""
    if expires_in_ns <= 0:
        return 1.0 if future > strike else 0.0
    deviation = annual_volatility * math.sqrt(expires_in_ns / _NANOS_PER_YEAR)
    return normal(math.log(future / strike) / deviation + 0.5 * deviation)


@compiled
def normal(x: float) -> float:
    """Return the probability that a standard normal lies below `x`."""
    return 0.5 * (1.0 + math.erf(x / _ROOT_TWO))
