"""Option values against what can be known without the formula."""

from __future__ import annotations

import pytest

from simulator.market.pricing import fair_value, volatility

YEAR_NS = 365 * 86_400 * 10**9


def test_an_option_at_the_money_is_worth_the_published_value() -> None:
    # Hull, Options, Futures and Other Derivatives, section on Black's model: with no interest a
    # put on a future at 20, strike 20, 4 months, 25 % is worth 1.12 * exp(0.09 * 4 / 12) = 1.15.
    value = fair_value(20.0, 20.0, YEAR_NS * 4 // 12, 0.25, False)

    assert value == pytest.approx(1.15, abs=0.005)


@pytest.mark.parametrize("strike", [24_500.0, 25_000.0, 25_750.0])
def test_call_minus_put_is_future_minus_strike(strike: float) -> None:
    call = fair_value(25_010.0, strike, YEAR_NS // 50, 0.2, True)
    put = fair_value(25_010.0, strike, YEAR_NS // 50, 0.2, False)

    assert call - put == pytest.approx(25_010.0 - strike)


def test_an_expired_option_is_worth_what_it_can_be_exercised_for() -> None:
    assert fair_value(25_010.0, 25_000.0, 0, 0.2, True) == 10.0
    assert fair_value(25_010.0, 25_000.0, -5, 0.2, False) == 0.0


def test_puts_below_the_market_are_dearer_in_volatility_than_calls_above() -> None:
    assert (
        volatility(24_500.0, 25_000.0)
        > volatility(25_000.0, 25_000.0)
        > volatility(25_500.0, 25_000.0)
    )
