"""The peers, window by window."""

from __future__ import annotations

from typing import Any

import pytest

from evaluation.older_engine import (
    INFINITE,
    OlderEngine,
    Pressure,
    baseline_confidence,
    confidence_of,
    maker_score,
    raw_confidence,
)
from evaluation.peers import flow_imbalance, rolling_zscore, volume_spike
from ifd.symbols import DatedInstruments, Instrument
from ifd.units import NANOS_PER_MINUTE
from ifd.windows import PressureWindow

OPEN_NS = 1_791_207_000_000_000_000


def window(minute: int, *, buy: int = 0, sell: int = 0, **changes: Any) -> PressureWindow:
    start = OPEN_NS + minute * NANOS_PER_MINUTE
    facts: dict[str, Any] = dict.fromkeys(PressureWindow.__dataclass_fields__, 0) | {
        "instrument_id": 7,
        "window_start": start,
        "window_end": start + NANOS_PER_MINUTE,
        "session_date": "2026-10-05",
        "raw_symbol": "NQZ6 C25000",
        "buy_volume": buy,
        "sell_volume": sell,
    }
    return PressureWindow(**(facts | changes))


def option(right: str = "C", instrument_id: int = 7) -> Instrument:
    return Instrument(
        session_date="2026-10-05",
        instrument_id=instrument_id,
        raw_symbol=f"NQZ6 {right}25000",
        asset="NQ",
        instrument_class=right,
        underlying="NQZ6",
        underlying_id=1,
        expiration_ns=OPEN_NS * 2,
        strike_price=25_000 * 10**9,
        right=right,
        multiplier=20.0,
        min_price_increment=250_000_000,
        user_defined=False,
    )


def test_volume_alone_is_the_score_and_the_sign_is_the_side() -> None:
    found = list(volume_spike([window(0, buy=30, sell=5), window(1, sell=12), window(2, buy=9)]))

    assert [(one.side, one.score) for one in found] == [("BUY", 35.0), ("SELL", 12.0)]
    assert found[0].ts_ns == OPEN_NS + NANOS_PER_MINUTE


def test_the_zscore_is_against_the_hour_before_silence_included() -> None:
    past = [window(minute, buy=60) for minute in (0, 1)]

    *_, last = rolling_zscore([*past, window(60, buy=50)])

    # One of sixty minutes had 60 lots: mean 1, variance 60² / 60 - 1; minute 0 is an hour ago.
    assert last.score == pytest.approx((50 - 2) / (2 * 60**2 / 60 - 4) ** 0.5)
    *_, later = rolling_zscore([*past, window(61, buy=50)])
    assert later.score == pytest.approx((50 - 1) / (60**2 / 60 - 1) ** 0.5)


def test_the_imbalance_of_the_touch_is_the_score() -> None:
    (one,) = flow_imbalance([window(0, order_flow_imbalance=-40)])

    assert (one.side, one.score) == ("SELL", 40.0)


def test_the_older_engines_raw_confidence_by_hand() -> None:
    pressure = Pressure(option(), OPEN_NS, "2026-10-05", asked=400, bid=100)

    # Ratio 4, 500 lots: significance 0.2 + 0.15 + 0.2; concentration 0.6; one window: 0.5, 0.5.
    assert raw_confidence(pressure, [4.0]) == pytest.approx(
        0.4 * 0.55 + 0.3 * 0.5 + 0.2 * 0.6 + 0.1 * 0.5
    )
    # Slope 1.5 is capped; two of three windows had a ratio of 2 or more.
    assert raw_confidence(pressure, [1.0, 2.0, 4.0]) == pytest.approx(
        0.4 * 0.55 + 0.3 * 1.0 + 0.2 * 0.6 + 0.1 * 2 / 3
    )


def test_the_older_engine_never_reaches_its_own_alert_threshold() -> None:
    assert confidence_of(1.0, 1.0, 0.0) < 0.8


def test_a_matched_straddle_is_the_older_engines_surest_maker() -> None:
    call = Pressure(option("C"), OPEN_NS, "2026-10-05", asked=50)
    put = Pressure(option("P"), OPEN_NS, "2026-10-05", asked=50)

    assert maker_score([call, put]) == pytest.approx(0.7 * 1.0 + 0.3 * 0.1)
    assert maker_score([call]) == pytest.approx(0.3 * 0.1)


def test_the_older_engine_knows_nothing_before_five_days() -> None:
    pressure = Pressure(option(), OPEN_NS, "2026-10-05", asked=50)
    few = {f"2026-10-0{day}": 1.0 for day in range(1, 4)} | {"2026-10-05": INFINITE}
    enough = few | {"2026-09-30": 1.0}

    # Anomalous, at quality 0; then with five days of the four the 5th of a month asks for.
    assert baseline_confidence(few, pressure) == 0.0
    assert baseline_confidence(enough, pressure) == pytest.approx(0.5 * 2.0 / 4 + 0.5 * 0.9)


def test_the_older_engine_adds_minutes_up_to_five_and_speaks_when_they_are_over() -> None:
    engine = OlderEngine(DatedInstruments([option()]))

    found = list(engine.update([window(0, buy=40), window(4, buy=20), window(5, sell=30)]))

    assert [(one.side, (one.ts_ns - OPEN_NS) // NANOS_PER_MINUTE) for one in found] == [
        ("BUY", 5),
        ("SELL", 10),
    ]
    assert found[0].score > found[1].score
