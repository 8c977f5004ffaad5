"""Market makers and volatility desks are doubted, institutions are not."""

from __future__ import annotations

from ifd.makers import doubt
from ifd.windows import OpenWindow


def window(*, bought: int, sold: int, bid_quotes: int = 0, ask_quotes: int = 0) -> OpenWindow:
    made = OpenWindow(0, 60, None)
    made.buy_volume, made.sell_volume = bought, sold
    made.bid_adds = made.bid_pulls = bid_quotes
    made.ask_adds = made.ask_pulls = ask_quotes
    return made


def test_a_one_sided_sweep_in_quiet_quotes_is_beyond_doubt() -> None:
    found = doubt(window(bought=250, sold=0, bid_quotes=300, ask_quotes=300), straddle=0.0)

    assert found.probability < 0.05


def test_volume_matched_on_both_sides_is_most_likely_making() -> None:
    assert doubt(window(bought=100, sold=98), straddle=0.0).probability > 0.65


def test_a_straddle_is_most_likely_a_volatility_desk() -> None:
    assert doubt(window(bought=100, sold=0), straddle=1.0).probability > 0.8


def test_a_storm_of_quotes_alone_is_a_doubt_and_no_more() -> None:
    found = doubt(window(bought=5, sold=0, bid_quotes=50_000, ask_quotes=50_000), straddle=0.0)

    assert 0.3 < found.probability < 0.5
    assert found.symmetry > 0.9


def test_doubts_add_up_and_never_leave_the_unit_interval() -> None:
    worst = doubt(window(bought=5, sold=5, bid_quotes=10**9, ask_quotes=10**9), straddle=1.0)

    assert 0.95 < worst.probability < 1.0
