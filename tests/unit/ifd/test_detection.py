"""What is a signal, how sure, and why; and what is none."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ifd.baseline import Baselines, BaselineStat
from ifd.baseline.statistics import QUANTILE_POINTS
from ifd.detection import MODEL_VERSION, classes
from ifd.detection.flows import FlowGroups
from ifd.detection.score import Factors, score
from ifd.params import BaselineParams, DetectionParams, EngineParams
from ifd.pipeline import Pipeline
from ifd.pressure import SIGNED_VOLUME
from ifd.signals import Action, Side, Signal, Tier
from ifd.units import PRICE_SCALE

FUTURE, CALL, PUT, OTHER_CALL = 1, 11, 12, 13


class Bench:
    """A pipeline before a hand-made market: a future, a call and a put at 25,000, a call above."""

    def __init__(self, listing: Any, exchange: Any) -> None:
        self.exchange = exchange
        self.instruments = [
            listing.future(FUTURE),
            listing.option(CALL),
            listing.option(PUT, right="P"),
            listing.option(OTHER_CALL, 25_100),
        ]
        for instrument in self.instruments:
            exchange.record("R", instrument_id=instrument.instrument_id)
        exchange.quote(FUTURE, 24_999.75, 25_000.25)
        for option in (CALL, PUT, OTHER_CALL):
            exchange.quote(option, 99, 106, size=20)

    def signals(
        self, params: EngineParams | None = None, baselines: Baselines | None = None
    ) -> list[Signal]:
        pipeline = Pipeline(params or EngineParams(), baselines=baselines)
        pipeline.define(self.instruments)
        output = pipeline.update(self.exchange.records())
        return output.signals + pipeline.finish().signals

    def only(self, **given: Any) -> Signal:
        (signal,) = self.signals(**given)
        return signal


@pytest.fixture
def bench(listing: Any, exchange: Any) -> Bench:
    return Bench(listing, exchange)


def usual_lots(lots: float, most: float) -> Baselines:
    """Return baselines of the first half hour: a straight line of quantiles up to `most`."""
    stat = BaselineStat(
        key="NQZ6 C25000",
        metric=SIGNED_VOLUME,
        bucket=19,
        as_of="2026-10-02",
        sessions=20,
        samples=600,
        median=lots,
        mad=lots,
        quantiles=tuple(most * step / (QUANTILE_POINTS - 1) for step in range(QUANTILE_POINTS)),
    )
    return Baselines([stat], BaselineParams())


SMALLEST_OBVIOUS = [(101.0, 50), (102.0, 50), (103.0, 50)]


def test_an_obvious_sweep_is_sure_without_any_history(bench: Bench) -> None:
    bench.exchange.sweep(CALL, "B", SMALLEST_OBVIOUS)

    signal = bench.only()

    assert signal.confidence >= 0.85
    assert (signal.side, signal.pattern, signal.volume) == (Side.BUY, "sweep", 150)
    assert (signal.baseline_zscore, signal.percentile_rank) == (None, None)
    assert (signal.raw_symbol, signal.strike, signal.right) == ("NQZ6 C25000", 25_000.0, "C")
    assert signal.underlying_price == 25_000 * PRICE_SCALE
    assert signal.model_version == MODEL_VERSION
    assert any("no baseline" in reason for reason in signal.why)


def test_an_obvious_sweep_is_surer_where_little_is_usual(bench: Bench) -> None:
    bench.exchange.sweep(CALL, "B", SMALLEST_OBVIOUS)

    without = bench.only()
    with_history = bench.only(baselines=usual_lots(1.0, most=20.0))

    assert with_history.confidence > without.confidence
    assert with_history.percentile_rank == 1.0
    assert with_history.baseline_zscore == pytest.approx((150 - 1) / 4)
    assert any("percentile rank 1.000" in reason for reason in with_history.why)


def test_what_is_usual_here_is_no_signal(bench: Bench) -> None:
    bench.exchange.sweep(CALL, "B", [(101.0, 30), (102.0, 30)])

    assert bench.signals(baselines=usual_lots(60.0, most=400.0)) == []


def test_selling_is_a_signal_as_much_as_buying(bench: Bench) -> None:
    bench.exchange.sweep(CALL, "A", [(98.0, 60), (97.0, 60), (96.0, 60)])

    signal = bench.only()

    assert (signal.side, signal.confidence >= 0.85) == (Side.SELL, True)
    assert signal.pressure_ratio < 0.05


@pytest.mark.parametrize("lots", [1, 3, 10])
def test_small_trades_are_background(bench: Bench, lots: int) -> None:
    for step in range(40):
        bench.exchange.trade((CALL, PUT, OTHER_CALL)[step % 3], "BA"[step % 2], 101, lots)
        bench.exchange.wait(seconds=1)

    assert bench.signals() == []


def test_a_maker_that_refreshes_its_quotes_is_background(bench: Bench) -> None:
    for _ in range(300):
        bench.exchange.quote(CALL, 99, 106, size=20)
        bench.exchange.wait(ms=100)
    bench.exchange.trade(CALL, "B", 101, 10)

    assert bench.signals() == []


def test_volume_matched_on_both_sides_is_background(bench: Bench) -> None:
    for _ in range(20):
        bench.exchange.trade(CALL, "B", 101, 30)
        bench.exchange.trade(CALL, "A", 99, 30)
        bench.exchange.wait(seconds=2)

    assert bench.signals() == []


def test_a_matched_straddle_is_forgotten_before_it_is_told(bench: Bench) -> None:
    """The call alone would pass; the put of the same strike a moment later gives it away."""
    bench.exchange.trade(CALL, "B", 101, 90)
    assert len(bench.signals()) == 1

    bench.exchange.wait(ms=300)
    bench.exchange.trade(PUT, "B", 101, 90)
    bench.exchange.wait(ms=10)
    bench.exchange.trade(CALL, "B", 101, 5)

    assert bench.signals() == []


def test_a_flow_that_turns_round_is_forgotten(bench: Bench) -> None:
    bench.exchange.trade(CALL, "B", 101, 90)
    assert len(bench.signals()) == 1

    bench.exchange.wait(ms=300)
    bench.exchange.trade(CALL, "A", 99, 88)

    assert bench.signals() == []


def test_lots_without_side_are_nobodys_flow(bench: Bench) -> None:
    bench.exchange.trade(CALL, "N", 101, 400)

    assert bench.signals() == []


def test_one_flow_is_one_signal(bench: Bench) -> None:
    for _ in range(5):
        bench.exchange.sweep(CALL, "B", SMALLEST_OBVIOUS)
        bench.exchange.wait(seconds=20)

    assert len(bench.signals()) == 1


def test_after_the_cool_down_a_new_flow_is_a_new_signal(bench: Bench) -> None:
    bench.exchange.sweep(CALL, "B", SMALLEST_OBVIOUS)
    bench.exchange.wait(seconds=301)
    bench.exchange.sweep(CALL, "B", SMALLEST_OBVIOUS)

    first, second = bench.signals()

    assert first.signal_id != second.signal_id


def test_both_sides_of_an_instrument_may_be_told_of(bench: Bench) -> None:
    bench.exchange.sweep(CALL, "B", SMALLEST_OBVIOUS)
    bench.exchange.wait(seconds=60)
    bench.exchange.sweep(CALL, "A", [(98.0, 60), (97.0, 60), (96.0, 60)])

    assert [signal.side for signal in bench.signals()] == [Side.BUY, Side.SELL]


def test_a_sure_signal_is_given_with_the_event_that_completed_it(bench: Bench) -> None:
    bench.exchange.sweep(CALL, "B", SMALLEST_OBVIOUS)
    pipeline = Pipeline(EngineParams())
    pipeline.define(bench.instruments)

    (signal,) = pipeline.update(bench.exchange.take()).signals

    assert signal.ts_recv == signal.ts_event + 100_000


def test_a_doubtful_flow_is_held_until_it_has_grown(bench: Bench) -> None:
    """The first slice would be a weak signal; a second later the whole order is a strong one."""
    pipeline = Pipeline(EngineParams())
    pipeline.define(bench.instruments)
    bench.exchange.sweep(CALL, "B", [(101.0, 30), (102.0, 30)])
    assert pipeline.update(bench.exchange.take()).signals == []

    bench.exchange.wait(ms=900)
    bench.exchange.sweep(CALL, "B", [(103.0, 40), (104.0, 40), (105.0, 40)])
    (signal,) = pipeline.update(bench.exchange.take()).signals

    assert signal.confidence > 0.85
    assert signal.volume == 180
    assert pipeline.finish().signals == []


def test_a_doubtful_flow_that_stays_small_is_given_when_it_has_settled(bench: Bench) -> None:
    pipeline = Pipeline(EngineParams())
    pipeline.define(bench.instruments)
    bench.exchange.sweep(CALL, "B", [(101.0, 30), (102.0, 30)])
    pipeline.update(bench.exchange.take())

    bench.exchange.wait(seconds=1.9)
    bench.exchange.record("N", instrument_id=FUTURE)
    assert pipeline.update(bench.exchange.take()).signals == []

    bench.exchange.wait(seconds=0.2)
    bench.exchange.record("N", instrument_id=FUTURE)
    (signal,) = pipeline.update(bench.exchange.take()).signals
    assert 0.6 <= signal.confidence < 0.8
    assert signal.ts_event < signal.window_end


def test_growing_does_not_prolong_the_wait(bench: Bench) -> None:
    pipeline = Pipeline(EngineParams())
    pipeline.define(bench.instruments)
    bench.exchange.sweep(CALL, "B", [(101.0, 30), (102.0, 30)])
    bench.exchange.wait(seconds=1.5)
    bench.exchange.trade(CALL, "B", 102, 2)
    bench.exchange.wait(seconds=0.6)
    bench.exchange.record("N", instrument_id=FUTURE)

    (signal,) = pipeline.update(bench.exchange.records()).signals

    assert signal.volume == 62


def test_each_held_flow_is_given_in_its_own_time(bench: Bench) -> None:
    pipeline = Pipeline(EngineParams())
    pipeline.define(bench.instruments)
    given = []
    for option in (CALL, OTHER_CALL):
        bench.exchange.sweep(option, "B", [(101.0, 30), (102.0, 30)])
        bench.exchange.wait(seconds=1)
    for _ in range(2):
        bench.exchange.wait(seconds=0.5)
        bench.exchange.record("N", instrument_id=FUTURE)
        given.append([s.instrument_id for s in pipeline.update(bench.exchange.take()).signals])
        bench.exchange.wait(seconds=0.5)

    assert given == [[CALL], [OTHER_CALL]]


def test_slow_buying_is_an_accumulation_and_one_print_a_block(bench: Bench) -> None:
    for _ in range(30):
        bench.exchange.trade(CALL, "B", 101, 8)
        bench.exchange.wait(seconds=1.5)
    bench.exchange.trade(PUT, "A", 99, 400)

    slow, block = sorted(bench.signals(), key=lambda signal: signal.right)

    assert (slow.pattern, block.pattern) == ("accumulation", "block")
    assert (
        classes.pattern_of(side=Side.SELL, sweep_levels=1, largest_print=5, volume=100)
        == "distribution"
    )


def test_legs_of_one_flow_share_a_group(bench: Bench) -> None:
    """A risk reversal: the call is bought and the put sold, both gain from a rising future."""
    bench.exchange.sweep(CALL, "B", SMALLEST_OBVIOUS)
    bench.exchange.wait(ms=200)
    bench.exchange.sweep(PUT, "A", [(98.0, 60), (97.0, 60), (96.0, 60)])
    bench.exchange.wait(ms=200)
    bench.exchange.sweep(OTHER_CALL, "A", [(98.0, 90), (97.0, 90), (96.0, 90)])

    call, put, against = bench.signals()

    assert call.group_id == put.group_id != against.group_id
    assert put.coordination > 0.3
    assert put.confidence > call.confidence


def test_a_leg_just_after_the_windows_edge_still_belongs() -> None:
    groups = FlowGroups(window_ns=60)

    first = groups.join(underlying="NQZ6", upward=True, ts=59, first_leg="a")
    second = groups.join(underlying="NQZ6", upward=True, ts=61, first_leg="b")
    later = groups.join(underlying="NQZ6", upward=True, ts=122, first_leg="c")

    assert first == second != later


def test_futures_and_user_defined_spreads_are_never_signalled(listing: Any, bench: Bench) -> None:
    bench.instruments.append(listing.option(14, raw_symbol="UD:1V: GN 1", user_defined=True))
    for instrument_id in (FUTURE, 14, 99):
        bench.exchange.sweep(instrument_id, "B", [(101.0, 200), (102.0, 200), (103.0, 200)])

    assert bench.signals() == []


def test_a_stricter_profile_tells_less(bench: Bench) -> None:
    bench.exchange.sweep(CALL, "B", [(101.0, 30), (102.0, 30)])
    usual = EngineParams()
    strict = dataclasses.replace(
        usual, detection=DetectionParams(min_confidence=0.85, max_position_multiplier=1.5)
    )

    assert len(bench.signals(params=usual)) == 1
    assert bench.signals(params=strict) == []

    bench.exchange.sweep(CALL, "B", [(103.0, 90), (104.0, 90), (105.0, 90)])
    (signal,) = bench.signals(params=strict)
    assert signal.position_size_multiplier == 1.5


def test_the_factors_are_the_logit(bench: Bench) -> None:
    bench.exchange.sweep(CALL, "B", SMALLEST_OBVIOUS)

    signal = bench.only()

    weighed = Factors(
        zscore=36.5,
        dominance=150 / 160,
        sweep_levels=3,
        touch=0.0,
        earlier_lots=0,
        coordination=0.0,
        rank=None,
        market_making=0.0,
    )
    assert set(score(weighed).contributions) == set(signal.factors)
    assert score(weighed).confidence == pytest.approx(0.89, abs=0.02)


def test_market_making_only_ever_takes_away() -> None:
    factors = Factors(36.5, 0.9, 3, 0.0, 0, 0.0, None, 0.0)
    doubted = dataclasses.replace(factors, market_making=0.8)

    assert score(doubted).confidence < 0.5 < score(factors).confidence


@pytest.mark.parametrize(
    ("confidence", "tier", "buy", "sell", "multiplier"),
    [
        (0.95, Tier.EXTREME, Action.STRONG_BUY, Action.STRONG_SELL, 3.0),
        (0.90, Tier.EXTREME, Action.STRONG_BUY, Action.STRONG_SELL, 3.0),
        (0.85, Tier.VERY_HIGH, Action.BUY, Action.SELL, 2.0),
        (0.70, Tier.HIGH, Action.BUY, Action.SELL, 1.5),
        (0.65, Tier.MODERATE, Action.MONITOR, Action.MONITOR, 1.0),
    ],
)
def test_tiers_actions_and_sizes(
    confidence: float, tier: Tier, buy: Action, sell: Action, multiplier: float
) -> None:
    assert classes.tier_of(confidence) is tier
    assert classes.action_of(tier, Side.BUY) is buy
    assert classes.action_of(tier, Side.SELL) is sell
    assert classes.position_size_multiplier(tier, most=3.0) == multiplier
    assert classes.position_size_multiplier(tier, most=1.2) == min(multiplier, 1.2)


def test_risk_is_what_confidence_leaves_and_makers_add_to_it() -> None:
    assert classes.risk_score(0.9, 0.0) == pytest.approx(0.1)
    assert classes.risk_score(0.9, 0.4) == pytest.approx(1 - 0.9 * 0.8)
