"""Recorded exchange files through book, tape, windows and the whole engine.

The expected books are those of the data's own manifest; the expected bars were made by the vendor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import databento as db
import numpy as np
import pytest

from ifd.book.books import CompiledBook
from ifd.params import EngineParams
from ifd.pipeline import Output, Pipeline
from ifd.records import F_LAST, MBO_DTYPE, RTYPE_MBO
from ifd.replay import read_definitions, read_mbo
from ifd.tape import Market
from ifd.units import NANOS_PER_MINUTE

ESM4 = "glbx/esm4_20240508/orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst"
ESM4_DEFINITION = "glbx/esm4_20240508/orderbooks_definition.dbn.zst"
ESH4 = "glbx/esh4-glbx-mdp3-20231224.mbo.dbn.zst"
POINT = 1_000_000_000


def rebuilt(path: Path) -> Market:
    market = Market()
    for records in read_mbo([path]):
        market.update(records)
    return market


def only(market: Market) -> CompiledBook:
    (book,) = market.instruments()
    return book


def test_esm4_after_two_seconds_of_a_live_session(data_dir: Path) -> None:
    book = only(rebuilt(data_dir / ESM4))

    assert book.orders == 13_598
    assert (book.bid_levels, book.ask_levels) == (976, 571)
    assert book.best_bid() == (5_214 * POINT, 28, 22)
    assert book.best_ask() == (5_214 * POINT + POINT // 4, 17, 11)
    assert (book.unknown_orders, book.crossed_events, book.complete) == (0, 0, True)


def test_esm4_trades_are_all_lifted_offers(data_dir: Path) -> None:
    tape = only(rebuilt(data_dir / ESM4))

    assert (tape.trades, tape.buy_volume, tape.sell_volume) == (5, 6, 0)


def test_esh4_is_a_snapshot_without_a_clear(data_dir: Path) -> None:
    book = only(rebuilt(data_dir / ESH4))

    assert (book.records, book.orders, book.events) == (8_725, 8_725, 1)
    assert book.complete
    assert book.trades == 0


@pytest.mark.parametrize("version", ["v1.dbn.zst", "v2.dbn.zst", "v3.dbn.zst", "v3.dbn", "dbn"])
def test_a_file_that_begins_in_mid_session_is_incomplete(data_dir: Path, version: str) -> None:
    path = data_dir / f"databento_official/dbn_tests_data/test_data.mbo.{version}"

    book = only(rebuilt(path))

    assert (book.unknown_cancels, book.complete) == (2, False)


def test_the_live_recording_holds_orders_among_everything_else(data_dir: Path) -> None:
    path = data_dir / "databento_official/python_tests_data/LIVE/test_data.live.dbn.zst"

    assert only(rebuilt(path)).orders == 5


def test_esm4_through_the_engine_gives_bars_and_no_signal(data_dir: Path) -> None:
    pipeline = Pipeline(EngineParams())
    pipeline.define(read_definitions(data_dir / ESM4_DEFINITION))

    outputs = [pipeline.update(records) for records in read_mbo([data_dir / ESM4])]
    outputs.append(pipeline.finish())

    closed = [bar for output in outputs for bar in output.bars if bar.closed]
    assert [(bar.interval_ns // NANOS_PER_MINUTE, bar.volume) for bar in closed] == [(1, 6), (5, 6)]
    window, _ = [window for output in outputs for window in output.windows]
    assert (window.buy_volume, window.messages, window.session_date) == (6, 195, "2024-05-08")
    assert pipeline.counters.signals == 0


def test_the_vendors_own_minute_bars_come_out_of_its_trades(data_dir: Path) -> None:
    """Trades of schema `trades` are written as MBO trade records, one event each."""
    folder = data_dir / "glbx/es_nq_20240701"
    trades = _stored(folder, "futures_trades_*")
    bars = _stored(folder, "futures_ohlcv-1m_*")
    pipeline = Pipeline(EngineParams())
    pipeline.define(read_definitions(folder / "futures_definition.dbn.zst"))

    found = [pipeline.update(_as_mbo(trades)), pipeline.finish()]

    minutes = {key: tuple(values) for key, *values in _minute_bars(found)}
    common = [bar for bar in bars if (int(bar["instrument_id"]), int(bar["ts_event"])) in minutes]
    assert len(common) == 4
    for bar in common:
        key = int(bar["instrument_id"]), int(bar["ts_event"])
        expected = tuple(int(bar[name]) for name in ("open", "high", "low", "close", "volume"))
        assert minutes[key] == expected


def _minute_bars(outputs: list[Output]) -> list[tuple[Any, ...]]:
    return [
        ((bar.instrument_id, bar.start_ns), bar.open, bar.high, bar.low, bar.close, bar.volume)
        for output in outputs
        for bar in output.bars
        if bar.closed and bar.interval_ns == NANOS_PER_MINUTE
    ]


def _as_mbo(trades: Any) -> Any:
    records = np.zeros(len(trades), MBO_DTYPE)
    for name in ("publisher_id", "instrument_id", "ts_event", "price", "size", "ts_recv"):
        records[name] = trades[name]
    records["rtype"] = RTYPE_MBO
    records["flags"] = F_LAST
    records["action"] = trades["action"].view("u1")
    records["side"] = trades["side"].view("u1")
    return records


def _stored(folder: Path, pattern: str) -> Any:
    (path,) = folder.glob(pattern)
    # From bytes: from_file leaves its file open.
    return db.DBNStore.from_bytes(path.read_bytes()).to_ndarray()
