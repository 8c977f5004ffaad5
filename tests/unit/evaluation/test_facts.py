"""A simulated session looks like a real one where it matters to a detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluation.facts import Facts, facts_of_session
from evaluation.plots import draw_market
from simulator.market import MarketParams


@pytest.fixture(scope="module")
def day() -> Facts:
    """A whole session with everything planted but halts, in which nobody quotes."""
    confounders = tuple(kind for kind in MarketParams().confounders if kind != "halt")
    return facts_of_session(21, params=MarketParams(confounders=confounders))


def test_a_session_at_the_default_rate_is_about_two_million_records(day: Facts) -> None:
    assert 1_500_000 < day.records < 3_000_000


def test_almost_everything_is_quoted_on_both_sides_all_day(day: Facts) -> None:
    assert day.two_sided > 0.95


def test_spreads_are_a_tick_or_two_in_the_future_and_a_point_or_more_in_options(day: Facts) -> None:
    assert 1 <= day.future_spread <= 3
    assert 4 <= day.option_spread <= 16


def test_many_orders_come_for_each_trade_and_most_only_change_others(day: Facts) -> None:
    assert 20 < day.orders_a_trade < 500
    assert day.cancels_and_modifies > 0.8


def test_the_future_moves_as_much_as_it_was_told_to(day: Facts) -> None:
    # Six points, and what trading, news and the season add.
    assert 5 < day.minute_volatility < 14


def test_sizes_have_heavy_tails(day: Facts) -> None:
    # What is planted makes it heavier than the 1.6 of ordinary trades.
    assert 0.7 < day.tail_exponent < 1.7


def test_trades_cluster_the_more_the_longer_one_looks(day: Facts) -> None:
    _, dispersion = day.dispersion

    assert (dispersion > 1.3).all()
    assert dispersion[3] > dispersion[0]


def test_a_side_is_likely_to_be_followed_by_itself(day: Facts) -> None:
    assert 0.05 < day.sign_persistence < 0.7


def test_the_day_is_a_u(day: Facts) -> None:
    trades = day.trades_by_half_hour

    middle = trades[4:9].mean()
    assert trades[0] > 1.3 * middle
    assert trades[-1] > 1.3 * middle


def test_the_facts_can_be_drawn(day: Facts, tmp_path: Path) -> None:
    draw_market(day, tmp_path / "market.png")

    assert (tmp_path / "market.png").read_bytes().startswith(b"\x89PNG")
    assert np.isfinite(day.future_by_minute).all()
