"""Pressure of one option, and the lean of the chain around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ifd.pressure import (
    METRICS,
    ChainPressure,
    dominance,
    measure,
    pressure_ratio,
    robust_zscore,
    standard_moneyness,
)
from ifd.units import NANOS_PER_SECOND, PRICE_SCALE
from ifd.windows import InstrumentFlow, OpenWindow

AT_25_000 = 25_000 * PRICE_SCALE
DAY = 86_400 * NANOS_PER_SECOND


def window(*, bought: int = 0, sold: int = 0, start: int = 0) -> OpenWindow:
    made = OpenWindow(start, start + 60 * NANOS_PER_SECOND, None)
    made.buy_volume = bought
    made.sell_volume = sold
    return made


def flow(instrument: Any, *, start: int, bought: int = 0, sold: int = 0) -> InstrumentFlow:
    return InstrumentFlow(
        instrument=instrument,
        window=window(bought=bought, sold=sold, start=start),
        rows=np.empty((0, 0), np.int64),
        event_ts=start,
        delta=400_000 if instrument.right == "C" else -400_000,
    )


def test_a_thin_ratio_is_drawn_towards_balance() -> None:
    assert pressure_ratio(3, 0) == pytest.approx(1.6)
    assert pressure_ratio(300, 0) == pytest.approx(61.0)
    assert pressure_ratio(0, 300) == pytest.approx(1 / 61)


def test_dominance_grows_with_size_and_vanishes_in_balance() -> None:
    assert dominance(50, 50) == 0.0
    assert dominance(3, 0) < dominance(300, 0) < 1.0


def test_a_quiet_strike_does_not_make_every_print_a_wonder() -> None:
    assert robust_zscore(8, median=0, mad=0, floor=4) == 2.0
    assert robust_zscore(8, median=2, mad=12, floor=4) == 0.5


def test_a_window_is_measured_in_the_order_of_the_metrics() -> None:
    made = window(bought=10, sold=25)
    made.unsided_volume = 7
    made.order_flow_imbalance = -40

    assert dict(zip(METRICS, measure(made), strict=True)) == {
        "signed_volume": 15.0,
        "total_volume": 42.0,
        "pressure_ratio": 0.5,
        "order_flow_imbalance": -40.0,
    }


@pytest.mark.parametrize("price", [0, -5])
def test_a_price_that_is_no_price_gives_no_moneyness(listing: Any, price: int) -> None:
    assert standard_moneyness(listing.option(11), price, 0) == 0.0


def test_an_option_in_its_last_minutes_has_no_infinite_moneyness(listing: Any) -> None:
    call = listing.option(11, 25_250)

    assert standard_moneyness(call, AT_25_000, call.expiration_ns) == pytest.approx(0.95, abs=0.05)


def test_bought_calls_and_sold_puts_lean_the_same_way(listing: Any, open_ns: int) -> None:
    chain = ChainPressure()
    call, put = listing.option(11, 25_100), listing.option(12, 24_900, right="P")
    chain.update(flow(put, start=open_ns, sold=200))
    chain.update(flow(call, start=open_ns, bought=200))

    view = chain.view(call)

    assert view.coordination > 0.5
    assert view.opposite_lots == 0.0
    assert view.straddle == 0.0


def test_a_few_lots_elsewhere_prove_nothing(listing: Any, open_ns: int) -> None:
    chain = ChainPressure()
    call, other = listing.option(11, 25_100), listing.option(12, 25_200)
    chain.update(flow(other, start=open_ns, bought=5))
    chain.update(flow(call, start=open_ns, bought=200))

    assert chain.view(call).coordination < 0.06


def test_a_chain_that_leans_the_other_way_is_no_coordination(listing: Any, open_ns: int) -> None:
    chain = ChainPressure()
    call, other = listing.option(11, 25_100), listing.option(12, 25_200)
    chain.update(flow(other, start=open_ns, sold=300))
    chain.update(flow(call, start=open_ns, bought=200))

    assert chain.view(call).coordination == 0.0


def test_call_and_put_of_one_strike_bought_together_are_a_straddle(
    listing: Any, open_ns: int
) -> None:
    chain = ChainPressure()
    call, put = listing.option(11), listing.option(12, right="P")
    chain.update(flow(put, start=open_ns, bought=100))
    chain.update(flow(call, start=open_ns, bought=100))

    assert chain.view(call).straddle == 1.0


def test_a_put_that_expires_on_another_day_is_not_the_other_leg(listing: Any, open_ns: int) -> None:
    chain = ChainPressure()
    call = listing.option(11)
    put = listing.option(12, right="P", expiration_ns=call.expiration_ns + 7 * DAY)
    chain.update(flow(put, start=open_ns, bought=100))
    chain.update(flow(call, start=open_ns, bought=100))

    assert chain.view(call).straddle == 0.0


def test_the_chain_forgets_the_window_before(listing: Any, open_ns: int) -> None:
    chain = ChainPressure()
    call, other = listing.option(11, 25_100), listing.option(12, 25_200)
    chain.update(flow(other, start=open_ns, bought=300))
    chain.update(flow(call, start=open_ns + 60 * NANOS_PER_SECOND, bought=200))

    assert chain.view(call).same_way_lots == 0.0
