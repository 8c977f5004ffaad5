"""Baselines: honest about silence, about thin strikes, and about time."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from ifd.baseline import BaselineBuilder, Baselines, BaselineStat, percentile_rank
from ifd.baseline.keys import bucket_label, peer_key, time_bucket
from ifd.baseline.statistics import QUANTILE_POINTS, summarise
from ifd.params import BaselineParams, DetectionParams, EngineParams, WindowParams
from ifd.pressure import METRICS, SIGNED_VOLUME
from ifd.symbols import DatedInstruments
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND, PRICE_SCALE
from ifd.windows import PressureWindow

PARAMS = BaselineParams(sessions=20, bucket_ns=30 * NANOS_PER_MINUTE, min_sessions=2)
DAY = 86_400 * NANOS_PER_SECOND
FUTURE, CALL, FAR_CALL = 1, 11, 12
DATES = ("2026-10-05", "2026-10-06", "2026-10-07")


def window(
    instrument_id: int,
    start: int,
    *,
    date: str = DATES[0],
    symbol: str = "NQZ6 C25000",
    bought: int = 0,
    imbalance: int = 0,
    mid: int | None = None,
) -> PressureWindow:
    values: dict[str, Any] = {field.name: 0 for field in dataclasses.fields(PressureWindow)}
    values |= {
        "instrument_id": instrument_id,
        "window_start": start,
        "window_end": start + NANOS_PER_MINUTE,
        "session_date": date,
        "raw_symbol": symbol,
        "buy_volume": bought,
        "order_flow_imbalance": imbalance,
        "mid_open": mid,
        "mid_close": mid,
    }
    return PressureWindow(**values)


@pytest.fixture
def builder(listing: Any) -> BaselineBuilder:
    instruments = [
        listing.future(FUTURE),
        listing.option(CALL),
        listing.option(FAR_CALL, 25_050),
    ]
    return BaselineBuilder(PARAMS, DatedInstruments(instruments))


def stat_of(stats: list[BaselineStat], key: str, metric: str = SIGNED_VOLUME) -> BaselineStat:
    (found,) = [stat for stat in stats if stat.key == key and stat.metric == metric]
    return found


def stat(key: str, *, sessions: int = 20, as_of: str = "2026-10-02", level: float = 0.0) -> Any:
    return BaselineStat(
        key=key,
        metric=SIGNED_VOLUME,
        bucket=19,
        as_of=as_of,
        sessions=sessions,
        samples=600,
        median=level,
        mad=level,
        quantiles=tuple(level + step for step in range(QUANTILE_POINTS)),
    )


def test_quiet_windows_count_as_if_they_had_been_written_down() -> None:
    rng = np.random.default_rng(1)
    loud = rng.normal(0, 5, 37).round()

    short = summarise(loud, quiet_value=0.0, quiet_count=63)
    written = np.concatenate([loud, np.zeros(63)])

    assert short.quantiles == pytest.approx(np.quantile(written, np.linspace(0, 1, 21)))
    assert short.median == np.median(written)
    assert short.mad == pytest.approx(1.4826 * np.median(np.abs(written - short.median)))


def test_a_strike_that_never_traded_has_a_flat_baseline() -> None:
    found = summarise(np.empty(0), quiet_value=1.0, quiet_count=5)

    assert (found.median, found.mad, set(found.quantiles)) == (1.0, 0.0, {1.0})


@pytest.mark.parametrize(
    ("value", "rank"), [(-1, 0.0), (0, 0.0), (5, 0.25), (10, 0.5), (20, 1.0), (99, 1.0)]
)
def test_rank_lies_between_the_points_of_the_grid(value: float, rank: float) -> None:
    assert percentile_rank(value, [0.0, 10.0, 20.0]) == rank


def test_rank_of_a_value_equal_to_all_of_history_is_one_half() -> None:
    assert percentile_rank(7.0, [7.0] * QUANTILE_POINTS) == 0.5


def test_the_time_of_day_is_new_yorks_on_both_sides_of_the_clock_change(open_ns: int) -> None:
    """New York left summer time on 2026-11-01: 09:30 there is another hour in UTC."""
    winter = open_ns + 35 * DAY + 3_600 * NANOS_PER_SECOND

    assert time_bucket(open_ns, PARAMS.bucket_ns) == time_bucket(winter, PARAMS.bucket_ns) == 19
    assert bucket_label(19, PARAMS.bucket_ns) == "09:30"


def test_peers_are_alike_in_right_distance_and_life(listing: Any, open_ns: int) -> None:
    price = 25_000 * PRICE_SCALE
    near = {"expiration_ns": open_ns + 2 * DAY}

    assert peer_key(listing.option(1, 25_000, **near), price, open_ns) == "peers:C:atm:1-7d"
    assert peer_key(listing.option(2, 27_000, **near), price, open_ns) == "peers:C:far-otm:1-7d"
    assert peer_key(listing.option(3, 23_000, **near), price, open_ns) == "peers:C:deep-itm:1-7d"
    assert peer_key(listing.option(4, 23_000, "P", **near), price, open_ns) == (
        "peers:P:far-otm:1-7d"
    )
    assert peer_key(listing.option(5, 25_000), price, open_ns) == "peers:C:atm:36d+"


def test_windows_without_a_trade_are_zeros_of_a_listed_strike(
    builder: BaselineBuilder, open_ns: int
) -> None:
    """Ten windows of market, one trade: nine quiet samples and a loud one."""
    for minute in range(10):
        builder.add(window(FUTURE, open_ns + minute * NANOS_PER_MINUTE, symbol="NQZ6"))
    builder.add(window(CALL, open_ns, bought=40))

    found = stat_of(builder.build(), "NQZ6 C25000")

    assert (found.samples, found.sessions, found.median) == (10, 1, 0.0)
    assert found.quantiles[-1] == 40.0
    assert percentile_rank(40.0, found.quantiles) > 0.95


def test_a_minute_nobody_recorded_counts_for_nobody(builder: BaselineBuilder, open_ns: int) -> None:
    builder.add(window(CALL, open_ns, bought=40))
    builder.add(window(CALL, open_ns + 20 * NANOS_PER_MINUTE, bought=10))

    assert stat_of(builder.build(), "NQZ6 C25000").samples == 2


def test_peers_hold_the_windows_of_every_strike_among_them(
    builder: BaselineBuilder, open_ns: int
) -> None:
    builder.add(window(FUTURE, open_ns, symbol="NQZ6", mid=25_000 * PRICE_SCALE))
    builder.add(window(CALL, open_ns, bought=40))
    builder.add(window(FAR_CALL, open_ns, symbol="NQZ6 C25050", bought=20))

    stats = builder.build()

    for key in ("peers:C:atm:36d+", "all"):
        found = stat_of(stats, key)
        assert (found.samples, found.median, found.quantiles[-1]) == (2, 30.0, 40.0)


def test_each_metric_has_its_own_statistics(builder: BaselineBuilder, open_ns: int) -> None:
    builder.add(window(CALL, open_ns, bought=45, imbalance=-300))

    stats = builder.build()

    medians = {metric: stat_of(stats, "NQZ6 C25000", metric).median for metric in METRICS}
    assert medians == {
        "signed_volume": 45.0,
        "total_volume": 45.0,
        "pressure_ratio": 10.0,
        "order_flow_imbalance": -300.0,
    }


def test_only_the_newest_sessions_count(listing: Any, open_ns: int) -> None:
    params = dataclasses.replace(PARAMS, sessions=2)
    builder = BaselineBuilder(params, DatedInstruments([listing.option(CALL)]))
    for day, date in enumerate(DATES):
        builder.add(window(CALL, open_ns + day * DAY, date=date, bought=10 * (day + 1)))

    found = stat_of(builder.build(), "NQZ6 C25000")

    assert (found.sessions, found.as_of, found.median) == (2, DATES[-1], 25.0)


def test_an_expired_strike_is_not_silent_but_gone(listing: Any, open_ns: int) -> None:
    expired = listing.option(CALL, expiration_ns=open_ns + 6 * 3_600 * NANOS_PER_SECOND)
    builder = BaselineBuilder(PARAMS, DatedInstruments([listing.future(FUTURE), expired]))
    builder.add(window(CALL, open_ns, bought=10))
    builder.add(window(FUTURE, open_ns + DAY, date=DATES[1], symbol="NQZ6"))

    assert stat_of(builder.build(), "NQZ6 C25000").sessions == 1


def test_user_defined_spreads_are_not_mixed_into_strikes(listing: Any, open_ns: int) -> None:
    spread = listing.option(CALL, raw_symbol="UD:1V: GN 1", user_defined=True)
    builder = BaselineBuilder(PARAMS, DatedInstruments([spread]))
    builder.add(window(CALL, open_ns, symbol="UD:1V: GN 1", bought=10))

    assert builder.build() == []


def test_nothing_in_gives_nothing_out(builder: BaselineBuilder) -> None:
    assert builder.build() == []


def test_a_baseline_never_speaks_for_its_own_session(listing: Any, open_ns: int) -> None:
    known = Baselines([stat("NQZ6 C25000", as_of="2026-10-05")], PARAMS)
    call = listing.option(CALL)

    assert known.lookup(call, SIGNED_VOLUME, open_ns) is None
    assert known.lookup(call, SIGNED_VOLUME, open_ns + DAY) is not None


def test_a_strike_of_its_own_is_drawn_towards_its_peers(listing: Any, open_ns: int) -> None:
    known = Baselines(
        [stat("NQZ6 C25000", sessions=5, level=100.0), stat("all", level=0.0)], PARAMS
    )

    found = known.lookup(listing.option(CALL), SIGNED_VOLUME, open_ns)

    assert found is not None
    assert (found.key, found.median, found.mad) == ("NQZ6 C25000", 50.0, 50.0)
    assert found.quantiles[0] == 50.0


def test_a_thin_strike_is_judged_by_its_peers_and_then_by_all(listing: Any, open_ns: int) -> None:
    call = listing.option(CALL)
    price = 25_000 * PRICE_SCALE
    thin = stat("NQZ6 C25000", sessions=1)
    peers = stat(peer_key(call, price, open_ns), level=7.0)
    known = Baselines([thin, peers, stat("all", level=9.0)], PARAMS)

    by_peers = known.lookup(call, SIGNED_VOLUME, open_ns, underlying_price=price)
    by_all = known.lookup(call, SIGNED_VOLUME, open_ns)

    assert by_peers is not None
    assert by_all is not None
    assert (by_peers.median, by_all.median) == (7.0, 9.0)


def test_what_is_too_thin_says_nothing(listing: Any, open_ns: int) -> None:
    known = Baselines([stat("NQZ6 C25000", sessions=1), stat("all", sessions=1)], PARAMS)

    assert known.lookup(listing.option(CALL), SIGNED_VOLUME, open_ns) is None
    assert (len(known), known.as_of) == (0, None)


def test_profiles_that_differ_in_thresholds_share_their_baselines() -> None:
    usual = EngineParams()
    strict = EngineParams(profile="conservative", detection=DetectionParams(min_confidence=0.9))
    slower = EngineParams(windows=WindowParams(length_ns=300 * NANOS_PER_SECOND))

    assert strict.fingerprint() != usual.fingerprint()
    assert strict.baseline_fingerprint() == usual.baseline_fingerprint()
    assert slower.baseline_fingerprint() != usual.baseline_fingerprint()
