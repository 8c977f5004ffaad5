"""Deltas and implied volatilities are those of the textbook, and never fail on an odd price."""

from __future__ import annotations

import math

import pytest

from ifd.options import delta_millionths, implied_volatility
from ifd.units import NANOS_PER_YEAR, PRICE_SCALE, UNDEFINED_PRICE

YEAR = NANOS_PER_YEAR


def delta(
    *, price: float | None, future: float, strike: float, years: float, right: str = "C"
) -> float:
    mid = UNDEFINED_PRICE if price is None else round(price * PRICE_SCALE)
    found = delta_millionths(
        mid,
        round(future * PRICE_SCALE),
        round(strike * PRICE_SCALE),
        int(years * YEAR),
        right == "C",
    )
    return found / 1e6


def test_a_textbook_put_has_its_volatility() -> None:
    """Hull, Options, Futures and Other Derivatives, example 18.6: 1.12 discounted at 9 %."""
    forward_price = 1.1166 * math.exp(0.09 * 4 / 12)

    found = implied_volatility(forward_price, 20.0, 20.0, 4 / 12, False)

    assert found == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize("volatility", [0.12, 0.2, 0.9])
@pytest.mark.parametrize("strike", [22_000.0, 24_000.0, 25_000.0, 26_500.0])
@pytest.mark.parametrize("is_call", [True, False])
def test_the_volatility_of_a_price_is_the_one_it_was_made_with(
    volatility: float, strike: float, is_call: bool
) -> None:
    """Priced by integrating the lognormal density, without Black's formula."""
    future, years = 25_000.0, 0.25
    deviation = volatility * math.sqrt(years)
    price = integrated_price(future, strike, deviation, is_call=is_call)

    found = implied_volatility(price, future, strike, years, is_call)

    assert found == pytest.approx(volatility, rel=2e-3)


def integrated_price(future: float, strike: float, deviation: float, *, is_call: bool) -> float:
    steps, width = 20_000, 12.0
    total = 0.0
    for step in range(steps):
        normal = -width / 2 + (step + 0.5) * width / steps
        ends = future * math.exp(deviation * normal - 0.5 * deviation**2)
        worth = max(ends - strike, 0.0) if is_call else max(strike - ends, 0.0)
        total += worth * math.exp(-0.5 * normal * normal)
    return total * width / steps / math.sqrt(2 * math.pi)


def test_delta_is_the_slope_of_the_price() -> None:
    future, strike, deviation, step = 25_000.0, 25_400.0, 0.06, 5.0
    above, at, below = (
        integrated_price(future + move, strike, deviation, is_call=True)
        for move in (step, 0, -step)
    )

    found = delta(price=at, future=future, strike=strike, years=0.1)

    assert found == pytest.approx((above - below) / (2 * step), abs=1e-3)


def test_call_and_put_of_one_strike_differ_by_one() -> None:
    """Put-call parity: their prices differ by the distance of the strike."""
    call = delta(price=620.0, future=25_000, strike=24_800, years=0.1)
    put = delta(price=420.0, future=25_000, strike=24_800, years=0.1, right="P")

    assert call - put == pytest.approx(1.0, abs=2e-6)


def test_without_a_mid_delta_orders_strikes_by_an_assumed_volatility() -> None:
    deltas = [
        delta(price=None, future=25_000, strike=k, years=0.1) for k in (24_000, 25_000, 26_000)
    ]

    assert deltas == sorted(deltas, reverse=True)
    assert deltas[1] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("right", ["C", "P"])
def test_without_a_future_every_option_counts_as_at_the_money(right: str) -> None:
    found = delta_millionths(
        50 * PRICE_SCALE, UNDEFINED_PRICE, 25_000 * PRICE_SCALE, YEAR, right == "C"
    )

    assert found == (500_000 if right == "C" else -500_000)


@pytest.mark.parametrize("price", [-5.0, 0.0, 99.0, 100.0, 30_000.0])
def test_a_price_no_volatility_explains_is_answered_by_the_assumed_one(price: float) -> None:
    """Below its intrinsic value, at it, or above the future itself."""
    odd = delta(price=price, future=25_000, strike=24_900, years=0.1)

    assert odd == delta(price=None, future=25_000, strike=24_900, years=0.1)


@pytest.mark.parametrize("years", [0.0, -1.0, 1e-9])
def test_an_expired_option_has_a_delta(years: float) -> None:
    assert -1.0 <= delta(price=None, future=25_000, strike=25_100, years=years, right="P") <= 0.0
