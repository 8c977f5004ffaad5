"""The stages together: what goes in, what comes out, and going on after a stop."""

from __future__ import annotations

import datetime as dt
import pickle
from typing import Any

import numpy as np
import pytest

from ifd.errors import InputError
from ifd.params import DetectionParams, EngineParams
from ifd.pipeline import Output, Pipeline, session_windows
from ifd.records import F_LAST, MBO_DTYPE
from ifd.symbols import instrument_from_definition
from ifd.units import NANOS_PER_SECOND
from simulator.market import Market, MarketParams, list_chain
from simulator.market.chain import moment_ns
from simulator.market.definitions import definition_messages

FUTURE, CALL = 1, 11
MINUTE = 60 * NANOS_PER_SECOND


@pytest.fixture
def pipeline(listing: Any) -> Pipeline:
    pipeline = Pipeline(EngineParams())
    pipeline.define([listing.future(FUTURE), listing.option(CALL)])
    return pipeline


def trade_a_little(exchange: Any) -> None:
    exchange.record("R", instrument_id=FUTURE)
    exchange.record("R", instrument_id=CALL)
    exchange.quote(FUTURE, 24_999, 25_001)
    exchange.sweep(CALL, "B", [(101.0, 60), (102.0, 60), (103.0, 60)])
    exchange.wait(seconds=70)
    exchange.trade(FUTURE, "A", 24_998, 3)


def test_counters_say_what_went_through(pipeline: Pipeline, exchange: Any) -> None:
    trade_a_little(exchange)
    exchange.record("C", "B", 10, 1, 555, instrument_id=CALL)
    exchange.record("N", instrument_id=99)
    exchange.record("A", "N", 10, 1, 556, instrument_id=CALL)

    pipeline.update(exchange.records())
    pipeline.finish()

    found = pipeline.counters
    assert found.records == len(exchange.rows)
    assert found.events == int((exchange.records()["flags"] & F_LAST > 0).sum())
    assert (found.trades, found.signals, found.windows) == (4, 1, 6)
    assert (found.unknown_orders, found.undefined_records, found.malformed_records) == (1, 1, 1)


def test_an_empty_array_changes_nothing(pipeline: Pipeline) -> None:
    assert pipeline.update(np.empty(0, MBO_DTYPE)) == Output([], [], [])
    assert pipeline.finish() == Output([], [], [])


def test_the_underlying_price_is_the_futures_at_that_moment(
    pipeline: Pipeline, exchange: Any
) -> None:
    trade_a_little(exchange)

    (signal,) = pipeline.update(exchange.records()).signals

    assert signal.underlying_price == 25_000 * 1_000_000_000


def test_an_option_is_judged_before_its_future_was_ever_seen(
    pipeline: Pipeline, exchange: Any
) -> None:
    exchange.sweep(CALL, "B", [(101.0, 60), (102.0, 60), (103.0, 60)])

    (signal,) = pipeline.update(exchange.records()).signals

    assert signal.underlying_price is None


def test_an_event_that_only_a_snapshot_ends_is_not_judged(
    pipeline: Pipeline, exchange: Any
) -> None:
    """The trade's window was closed by the time of others before its event had ended."""
    exchange.record("T", "B", 101, 400, 7, instrument_id=CALL, flags=0)
    exchange.wait(seconds=90)
    exchange.record("N", instrument_id=FUTURE)
    exchange.snapshot([("B", 100, 5, 1)], instrument_id=CALL)

    output = pipeline.update(exchange.records())

    assert output.signals == []
    assert [w.buy_volume for w in output.windows] == [400]


def test_session_windows_are_those_of_the_pipeline(
    pipeline: Pipeline, exchange: Any, listing: Any
) -> None:
    trade_a_little(exchange)
    records = exchange.records()
    alone = session_windows(
        np.array_split(records, 3), [listing.future(FUTURE), listing.option(CALL)], EngineParams()
    )

    closed = [*pipeline.update(records).windows, *pipeline.finish().windows]
    assert list(alone) == [one for one in closed if one.window_end - one.window_start == MINUTE]


def test_a_snapshot_goes_on_where_it_was_taken(
    pipeline: Pipeline, exchange: Any, listing: Any
) -> None:
    trade_a_little(exchange)
    before, after = np.array_split(exchange.records(), 2)
    pipeline.update(before)

    resumed = Pipeline(EngineParams())
    resumed.restore(pipeline.snapshot())

    assert resumed.update(after) == pipeline.update(after)
    assert resumed.finish() == pipeline.finish()
    assert resumed.counters == pipeline.counters


def test_a_held_signal_survives_a_stop(pipeline: Pipeline, exchange: Any) -> None:
    exchange.sweep(CALL, "B", [(101.0, 30), (102.0, 30)])
    pipeline.update(exchange.records())

    resumed = Pipeline(EngineParams())
    resumed.restore(pipeline.snapshot())

    (signal,) = resumed.finish().signals
    assert signal == pipeline.finish().signals[0]


def test_a_snapshot_of_other_parameters_is_refused(pipeline: Pipeline) -> None:
    other = Pipeline(EngineParams(detection=DetectionParams(min_confidence=0.7)))

    with pytest.raises(InputError, match="other parameters"):
        other.restore(pipeline.snapshot())


@pytest.mark.parametrize("bytes_found", [b"", b"no snapshot", pickle.dumps(("a", "b"))])
def test_bytes_that_are_no_snapshot_are_refused(pipeline: Pipeline, bytes_found: bytes) -> None:
    with pytest.raises(InputError, match="not a snapshot"):
        pipeline.restore(bytes_found)


def test_a_snapshot_cannot_make_the_reader_run_anything(pipeline: Pipeline, tmp_path: Any) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return (eval, (f"open({str(tmp_path / 'run')!r}, 'w')",))

    with pytest.raises(InputError, match=r"builtins\.eval"):
        pipeline.restore(pickle.dumps(Hostile()))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("seed", [4, 5])
def test_in_a_simulated_market_the_planted_sweeps_are_told_and_nothing_else(seed: int) -> None:
    date = dt.date(2026, 10, 5)
    chain = list_chain(date)
    opening = moment_ns(date, dt.time(9, 30))
    end = opening + 600 * NANOS_PER_SECOND
    params = MarketParams(episode_seconds=90.0, confounder_seconds=0.0, sweep_share=1.0)
    market = Market(seed, opening, chain, params, end_ns=end)
    pipeline = Pipeline(EngineParams())
    pipeline.define(map(instrument_from_definition, definition_messages(chain, date)))

    signals = pipeline.update(market.advance(end)).signals + pipeline.finish().signals

    planted = {
        (leg.instrument_id, leg.side): episode.episode_id
        for episode in market.labels
        for leg in episode.legs
    }
    sure = {(s.instrument_id, s.side.value) for s in signals if s.confidence >= 0.8}
    assert sure <= set(planted)
    assert {planted[leg] for leg in sure} == set(planted.values())
    assert pipeline.counters.unknown_orders == 0
