"""A month's price, spread over its trading dates; the dates counted by hand on a paper calendar."""

from __future__ import annotations

import pytest

from config.settings import Settings, load_settings
from ifd.errors import InputError
from runtime.costs.shares import months_between, trading_month

PRICE = 199_000_000


@pytest.fixture(scope="module")
def cash() -> Settings:
    return load_settings()


@pytest.mark.parametrize(
    ("month", "days"),
    [
        ("2026-11", 20),  # 21 weekdays less Thanksgiving; the half day after it counts
        ("2026-12", 22),  # 23 less Christmas; the half day before it counts
        ("2027-01", 19),  # 21 less New Year and Martin Luther King
        ("2027-02", 19),  # 20 less Presidents' Day
        ("2027-03", 22),  # 23 less Good Friday, the 26th; clocks change on the 14th
    ],
)
def test_shares_of_a_month_are_its_price_to_the_last_micro_dollar(
    cash: Settings, month: str, days: int
) -> None:
    trading = trading_month(cash, month)

    shares = [trading.share(date, PRICE) for date in trading.dates]

    assert len(shares) == days
    assert sum(shares) == PRICE
    assert max(shares) - min(shares) <= 1


def test_a_share_in_november_is_a_twentieth(cash: Settings) -> None:
    assert trading_month(cash, "2026-11").share("2026-11-25", PRICE) == 9_950_000


def test_a_holiday_bears_no_share(cash: Settings) -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        trading_month(cash, "2026-11").share("2026-11-26", PRICE)


def test_days_left_are_those_after_the_day(cash: Settings) -> None:
    november = trading_month(cash, "2026-11")

    # After Wednesday the 25th: Friday the 27th and Monday the 30th.
    assert (november.elapsed("2026-11-25"), november.left("2026-11-25")) == (18, 2)
    assert (november.elapsed("2026-11-26"), november.left("2026-11-26")) == (18, 2)
    assert (november.elapsed("2026-11-01"), november.left("2026-11-01")) == (0, 20)
    assert november.left("2026-11-30") == 0


def test_the_simulated_exchange_trades_every_weekday(cash: Settings) -> None:
    always = cash.session.model_copy(update={"hours": "always"})

    month = trading_month(cash.model_copy(update={"session": always}), "2026-11")

    assert len(month.dates) == 21
    assert (month.dates[0], month.dates[-1]) == ("2026-11-02", "2026-11-30")


@pytest.mark.parametrize("text", ["November", "2026-13", "2026-11-25"])
def test_what_is_no_month_is_refused(cash: Settings, text: str) -> None:
    with pytest.raises(InputError, match="is no month"):
        trading_month(cash, text)


def test_months_between_go_over_the_new_year() -> None:
    assert months_between("2026-12-31", "2027-01-01") == ["2026-12", "2027-01"]
    assert months_between("2026-11-01", "2026-11-30") == ["2026-11"]
