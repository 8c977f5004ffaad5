"""Windows and bars hold what happened in their time, however late or oddly it was told."""

from __future__ import annotations

from typing import Any

import pytest

from ifd.errors import ConfigurationError
from ifd.params import WindowParams
from ifd.records import F_BAD_TS_RECV, F_LAST, F_MAYBE_BAD_BOOK, F_SNAPSHOT
from ifd.reference.stage import ReferenceStage
from ifd.units import NANOS_PER_SECOND, PRICE_SCALE, UNDEFINED_TIMESTAMP
from ifd.windows import Bar, InstrumentFlow, PressureWindow
from ifd.windows.stage import WindowStage

FUTURE, CALL, PUT, SPREAD, STRANGER = 1, 11, 12, 13, 99
MINUTE = 60 * NANOS_PER_SECOND


class Watch:
    """A stage, and what came out of it."""

    def __init__(self, stage: Any, listing: Any, exchange: Any) -> None:
        self.stage = stage
        self.exchange = exchange
        self.windows: list[PressureWindow] = []
        self.bars: list[Bar] = []
        self.stage.define(
            [
                listing.future(FUTURE),
                listing.option(CALL),
                listing.option(PUT, right="P"),
                listing.option(SPREAD, raw_symbol="UD:1V: GN 123", user_defined=True),
            ]
        )

    def pass_on(self) -> list[PressureWindow]:
        """Feed what the exchange wrote and return the windows that closed."""
        self.stage.pass_over(self.exchange.take())
        return self._collect()

    def finish(self) -> list[PressureWindow]:
        passed = self.pass_on()
        self.stage.finish()
        return passed + self._collect()

    def _collect(self) -> list[PressureWindow]:
        closed = list(self.stage.take_windows())
        self.windows += closed
        self.bars += self.stage.take_bars()
        return closed

    def only(self, instrument_id: int = CALL) -> PressureWindow:
        """Return the one window of an instrument after the end of the input."""
        self.finish()
        (window,) = [w for w in self.windows if w.instrument_id == instrument_id]
        return window


@pytest.fixture(params=[WindowStage, ReferenceStage], ids=["compiled", "plain"])
def watch(request: pytest.FixtureRequest, listing: Any, exchange: Any) -> Watch:
    exchange.record("R", instrument_id=FUTURE)
    exchange.record("R", instrument_id=CALL)
    exchange.record("R", instrument_id=PUT)
    return Watch(request.param(WindowParams(lengths_ns=(MINUTE,))), listing, exchange)


def test_aggressors_are_counted_by_side_and_nobodys_lots_apart(watch: Watch) -> None:
    watch.exchange.trade(CALL, "B", 101, 7)
    watch.exchange.trade(CALL, "B", 101, 2)
    watch.exchange.trade(CALL, "A", 99, 4)
    watch.exchange.trade(CALL, "N", 100, 50)
    watch.exchange.trade(CALL, "N", 100, 1)

    window = watch.only()

    assert (window.buy_volume, window.buy_trades) == (9, 2)
    assert (window.sell_volume, window.sell_trades) == (4, 1)
    assert window.unsided_volume == 51
    assert window.largest_print == 50


def test_a_window_is_aligned_to_the_clock_and_knows_its_name(watch: Watch, open_ns: int) -> None:
    watch.exchange.wait(seconds=61)
    watch.exchange.trade(CALL, "B", 101, 7)

    watch.finish()

    window = watch.windows[-1]
    assert (window.window_start, window.window_end) == (open_ns + MINUTE, open_ns + 2 * MINUTE)
    assert (window.session_date, window.raw_symbol) == ("2026-10-05", "NQZ6 C25000")


def test_a_record_at_the_very_end_opens_the_next_window(watch: Watch, open_ns: int) -> None:
    """
         09:30              09:31
    -------|==================|=========
           R                   T
    """
    watch.exchange.wait(seconds=60)
    watch.exchange.trade(CALL, "B", 101, 7)

    (closed,) = [w for w in watch.pass_on() if w.instrument_id == CALL]

    assert (closed.buy_volume, closed.window_end) == (0, open_ns + MINUTE)


def test_a_silent_instrument_is_closed_by_the_time_of_others_after_the_grace(watch: Watch) -> None:
    watch.exchange.trade(CALL, "B", 101, 7)
    watch.exchange.wait(seconds=60.9)
    watch.exchange.trade(FUTURE, "B", 25_000, 1)
    assert CALL not in [w.instrument_id for w in watch.pass_on()]

    watch.exchange.wait(seconds=0.1)
    watch.exchange.trade(FUTURE, "B", 25_000, 1)
    assert CALL in [w.instrument_id for w in watch.pass_on()]


def test_silence_is_noticed_minute_after_minute(watch: Watch) -> None:
    for _ in range(3):
        watch.exchange.trade(CALL, "B", 101, 7)
        watch.exchange.wait(seconds=62)
        watch.exchange.trade(FUTURE, "B", 25_000, 1)
        assert CALL in [w.instrument_id for w in watch.pass_on()]


def test_a_late_print_inside_the_grace_reaches_its_own_window(watch: Watch) -> None:
    """Another instrument is already in the next minute; this one's minute is still open."""
    watch.exchange.wait(seconds=60.5)
    watch.exchange.trade(FUTURE, "B", 25_000, 1)
    watch.exchange.wait(seconds=-1)
    watch.exchange.trade(CALL, "B", 101, 7)

    window = watch.only()

    assert window.buy_volume == 7
    assert watch.stage.counters.late_records == 0


def test_a_print_after_its_window_is_closed_counts_in_the_open_one(
    watch: Watch, open_ns: int
) -> None:
    """
         09:30              09:31       09:32
    -------|==================|===========|----
                       late T   T(own, first)
    """
    watch.exchange.trade(CALL, "B", 101, 1)
    watch.exchange.wait(seconds=61)
    watch.exchange.trade(CALL, "B", 101, 2)
    watch.exchange.wait(seconds=-10)
    watch.exchange.trade(CALL, "B", 101, 4)

    watch.finish()

    first, second = (w for w in watch.windows if w.instrument_id == CALL)
    assert (first.buy_volume, second.buy_volume) == (1, 6)
    assert second.window_start == open_ns + MINUTE
    assert watch.stage.counters.late_records == 4


@pytest.mark.parametrize("ts_event", [UNDEFINED_TIMESTAMP, 2_000_000_000_000_000_000])
def test_a_record_stamped_by_a_wrong_clock_is_placed_by_its_capture(
    watch: Watch, open_ns: int, ts_event: int
) -> None:
    watch.exchange.record("N", instrument_id=CALL, ts_event=ts_event, ts_recv=open_ns + 5)
    watch.exchange.wait(seconds=1)
    watch.exchange.trade(CALL, "B", 101, 1)

    window = watch.only()

    assert (window.window_start, window.buy_volume) == (open_ns, 1)
    assert watch.stage.counters.late_records == 0


def test_a_record_whose_capture_time_is_flagged_bad_is_placed_by_its_event_time(
    watch: Watch, open_ns: int
) -> None:
    watch.exchange.record(
        "N", instrument_id=CALL, ts_event=open_ns + 5, ts_recv=0, flags=F_LAST | F_BAD_TS_RECV
    )

    assert watch.only().window_start == open_ns


def test_a_record_without_any_time_is_placed_where_the_stream_is(
    watch: Watch, open_ns: int
) -> None:
    watch.exchange.record(
        "N", instrument_id=CALL, ts_event=UNDEFINED_TIMESTAMP, ts_recv=UNDEFINED_TIMESTAMP
    )
    watch.exchange.wait(seconds=1)
    watch.exchange.trade(CALL, "B", 101, 1)

    assert watch.only().window_start == open_ns


def test_snapshot_records_are_never_flow(watch: Watch) -> None:
    watch.exchange.snapshot([("B", 100, 50, 1), ("A", 101, 60, 2)], instrument_id=PUT)

    watch.finish()

    (window,) = [w for w in watch.windows if w.instrument_id == PUT]
    assert window.messages == 1  # the clear that came before
    assert (window.bid_adds, window.ask_adds, window.order_flow_imbalance) == (0, 0, 0)


def test_a_trade_inside_a_snapshot_is_not_a_trade(watch: Watch) -> None:
    watch.exchange.record("T", "B", 101, 5, instrument_id=CALL, flags=F_SNAPSHOT | F_LAST)

    assert watch.only().buy_volume == 0
    assert watch.stage.counters.trades == 0


def test_a_clear_in_mid_session_and_its_refill_are_not_flow(watch: Watch) -> None:
    watch.exchange.quote(CALL, 99, 101, size=10)
    watch.exchange.record("R", instrument_id=CALL, flags=0)
    watch.exchange.add("B", 98, 30, instrument_id=CALL, flags=0)
    watch.exchange.add("A", 102, 30, instrument_id=CALL)

    window = watch.only()

    assert (window.bid_adds, window.bid_pulls) == (10, 0)
    assert window.order_flow_imbalance == 0
    assert window.mid_close == 100 * PRICE_SCALE


def test_quoted_size_that_is_withdrawn_is_a_pull_and_what_is_filled_is_not(watch: Watch) -> None:
    order = watch.exchange.add("A", 101, 10, instrument_id=CALL)
    watch.exchange.record("C", "A", 101, 3, order, instrument_id=CALL)
    watch.exchange.record("T", "B", 101, 4, 7, instrument_id=CALL, flags=0)
    watch.exchange.record("F", "A", 101, 4, order, instrument_id=CALL, flags=0)
    watch.exchange.record("M", "A", 101, 3, order, instrument_id=CALL)

    window = watch.only()

    assert (window.ask_adds, window.ask_pulls) == (10, 3)


def test_order_flow_imbalance_is_the_change_of_size_at_the_touch(watch: Watch) -> None:
    """Worked by hand after Cont, Kukanov and Stoikov (2014), equation 4."""
    exchange = watch.exchange
    exchange.add("B", 100, 5, instrument_id=CALL)  # bid appears: +5
    first = exchange.add("A", 102, 4, instrument_id=CALL)  # ask appears: -4
    exchange.add("B", 100, 2, instrument_id=CALL)  # same bid, 5 to 7: +7 - 5
    exchange.add("B", 101, 1, instrument_id=CALL)  # better bid: +1
    exchange.add("A", 103, 9, instrument_id=CALL)  # behind the touch: 0
    exchange.record("C", "A", 102, 4, first, instrument_id=CALL)  # ask falls back: +4

    assert watch.only().order_flow_imbalance == 5 - 4 + 2 + 1 + 0 + 4


def test_a_sweep_is_the_most_levels_one_aggressor_took_in_one_event(watch: Watch) -> None:
    watch.exchange.sweep(CALL, "B", [(101, 5), (102, 5), (103, 5)])
    watch.exchange.trade(CALL, "B", 104, 5)
    watch.exchange.trade(CALL, "B", 105, 5)

    assert watch.only().sweep_levels == 3


def test_two_aggressors_in_one_event_are_two(watch: Watch) -> None:
    inside = {"instrument_id": CALL, "flags": 0}
    watch.exchange.record("T", "B", 101, 5, 7, **inside)
    watch.exchange.record("T", "B", 102, 5, 8, **inside)
    watch.exchange.record("N", instrument_id=CALL)

    assert watch.only().sweep_levels == 1


def test_an_event_may_end_on_a_record_without_action(watch: Watch) -> None:
    watch.exchange.add("B", 99, 5, instrument_id=CALL, flags=0)
    watch.exchange.add("A", 101, 5, instrument_id=CALL, flags=0)
    watch.exchange.record("N", instrument_id=CALL)

    assert watch.only().mid_close == 100 * PRICE_SCALE


def test_the_mid_a_window_opens_at_is_the_last_one_before_it(watch: Watch) -> None:
    watch.exchange.quote(CALL, 99, 101)
    watch.exchange.wait(seconds=60)
    watch.exchange.add("B", 100, 5, instrument_id=CALL)

    watch.finish()

    last = [w for w in watch.windows if w.instrument_id == CALL][-1]
    assert (last.mid_open, last.mid_close) == (100 * PRICE_SCALE, 100.5 * PRICE_SCALE)


def test_an_instrument_without_definition_has_a_book_and_no_window(watch: Watch) -> None:
    watch.exchange.quote(STRANGER, 99, 101)
    watch.exchange.trade(STRANGER, "B", 101, 5)

    watch.finish()

    assert STRANGER not in [w.instrument_id for w in watch.windows]
    assert watch.stage.counters.undefined_records == 6
    assert watch.stage.book(STRANGER).best_bid() == (99 * PRICE_SCALE, 50, 1)


def test_a_definition_that_comes_later_finds_the_book_as_it_is(watch: Watch, listing: Any) -> None:
    watch.exchange.quote(STRANGER, 99, 101)
    watch.pass_on()
    watch.stage.define([listing.option(STRANGER, 26_000)])
    watch.exchange.trade(STRANGER, "B", 101, 5)

    window = watch.only(STRANGER)

    assert (window.raw_symbol, window.buy_volume) == ("NQZ6 C26000", 5)
    assert window.mid_open == 100 * PRICE_SCALE


def test_an_id_that_now_names_something_else_starts_with_an_empty_book(
    watch: Watch, listing: Any
) -> None:
    watch.exchange.quote(CALL, 99, 101)
    watch.pass_on()

    watch.stage.define([listing.option(CALL, 26_000, raw_symbol="NQZ6 C26000")])
    watch.exchange.add("B", 55, 1, instrument_id=CALL)
    watch.finish()

    calls = [w for w in watch.windows if w.instrument_id == CALL]
    assert [w.raw_symbol for w in calls] == ["NQZ6 C25000", "NQZ6 C26000"]
    assert watch.stage.book(CALL).best_bid() == (55 * PRICE_SCALE, 1, 1)
    assert watch.stage.book(CALL).best_ask() is None


def test_an_id_means_in_each_session_what_was_defined_for_it(
    watch: Watch, listing: Any, open_ns: int
) -> None:
    """Both definitions are known from the start, as in a file of several days."""
    watch.stage.define(
        [listing.option(CALL, 26_000, raw_symbol="NQZ6 C26000", session_date="2026-10-06")]
    )
    watch.exchange.trade(CALL, "B", 101, 1)
    watch.exchange.wait(seconds=24 * 3_600)
    watch.exchange.trade(CALL, "B", 101, 2)

    watch.finish()

    calls = [(w.session_date, w.raw_symbol) for w in watch.windows if w.instrument_id == CALL]
    assert calls == [("2026-10-05", "NQZ6 C25000"), ("2026-10-06", "NQZ6 C26000")]


def test_a_bar_holds_every_trade_of_the_future_whatever_its_side(
    watch: Watch, open_ns: int
) -> None:
    for side, price in (("B", 25_000), ("A", 24_990), ("N", 25_010), ("B", 25_005)):
        watch.exchange.trade(FUTURE, side, price, 2)

    watch.finish()

    one_minute, five_minutes = (bar for bar in watch.bars if bar.closed)
    prices = one_minute.open, one_minute.high, one_minute.low, one_minute.close
    assert prices == tuple(p * PRICE_SCALE for p in (25_000, 25_010, 24_990, 25_005))
    assert (one_minute.volume, one_minute.trades) == (8, 4)
    assert (one_minute.start_ns, one_minute.interval_ns) == (open_ns, MINUTE)
    assert (five_minutes.volume, five_minutes.interval_ns) == (8, 5 * MINUTE)


def test_a_moving_bar_is_given_in_its_newest_state_and_closed_by_a_later_event(
    watch: Watch,
) -> None:
    watch.exchange.trade(FUTURE, "B", 25_000, 1)
    watch.exchange.trade(FUTURE, "B", 25_001, 1)
    watch.pass_on()
    assert [(bar.volume, bar.closed) for bar in watch.bars] == [(2, False), (2, False)]

    watch.bars.clear()
    watch.exchange.wait(seconds=60)
    watch.exchange.record("N", instrument_id=FUTURE)
    watch.pass_on()
    assert [(bar.volume, bar.closed) for bar in watch.bars] == [(2, True)]


def test_options_and_spreads_have_no_bars(watch: Watch) -> None:
    watch.exchange.trade(CALL, "B", 101, 1)
    watch.exchange.trade(SPREAD, "B", 101, 1)

    watch.finish()

    assert watch.bars == []


def test_whoever_iterates_sees_the_flow_where_its_event_ended(watch: Watch) -> None:
    watch.exchange.sweep(CALL, "B", [(101, 5), (102, 6)])
    watch.exchange.trade(CALL, "A", 99, 1)

    seen = [
        (event.window.buy_volume, event.window.sell_volume, event.event_prints)
        for event in watch.stage.update(watch.exchange.take())
        if isinstance(event, InstrumentFlow)
    ]

    assert seen == [(11, 0, 2), (11, 1, 1)]


def test_the_underlying_is_found_by_id_or_by_name(watch: Watch, listing: Any) -> None:
    by_name = listing.option(21, 26_000, underlying_id=0)
    watch.stage.define([by_name])
    watch.exchange.quote(FUTURE, 24_999, 25_001)
    watch.exchange.trade(CALL, "B", 101, 1)
    watch.exchange.trade(21, "B", 101, 1)
    watch.pass_on()

    prices = [watch.stage.underlying_price(one) for one in (listing.option(CALL), by_name)]
    assert prices == [25_000 * PRICE_SCALE] * 2


def test_cancels_and_trades_of_no_side_are_counted(watch: Watch) -> None:
    order = watch.exchange.add("B", 99, 5, instrument_id=CALL)
    watch.exchange.record("C", "B", 99, 5, order, instrument_id=CALL)
    watch.exchange.trade(CALL, "N", 100, 2)

    window = watch.only()

    # The second cancel is what the trade took out of the book.
    assert (window.cancels, window.unsided_trades) == (2, 1)


def test_depth_imbalance_sees_behind_the_touch(watch: Watch) -> None:
    """Worked by hand: the same formula at each of the first levels."""
    exchange = watch.exchange
    exchange.add("B", 100, 5, instrument_id=CALL)  # first bid level: +5
    exchange.add("B", 99, 3, instrument_id=CALL)  # second: +3
    exchange.add("A", 103, 4, instrument_id=CALL)  # first ask level: -4
    exchange.add("A", 104, 9, instrument_id=CALL)  # second: -9
    exchange.add("B", 101, 1, instrument_id=CALL)  # 101, 100, 99 for 100, 99: +1 +5 +3

    window = watch.only()

    assert window.order_flow_imbalance == 5 - 4 + 1
    assert window.depth_imbalance == 5 + 3 - 4 - 9 + (1 + 5 + 3)


def test_the_next_slice_of_a_native_iceberg_is_a_refill(watch: Watch) -> None:
    """The order keeps its id and shows ten again after ten were filled."""
    order = watch.exchange.add("A", 101, 10, instrument_id=CALL)
    watch.exchange.record("T", "B", 101, 10, 7, instrument_id=CALL, flags=0)
    watch.exchange.record("F", "A", 101, 10, order, instrument_id=CALL, flags=0)
    watch.exchange.record("M", "A", 101, 10, order, instrument_id=CALL)

    window = watch.only()

    assert (window.ask_refills, window.bid_refills) == (1, 0)


def test_what_a_partial_fill_leaves_is_no_refill(watch: Watch) -> None:
    order = watch.exchange.add("A", 101, 10, instrument_id=CALL)
    watch.exchange.record("T", "B", 101, 4, 7, instrument_id=CALL, flags=0)
    watch.exchange.record("F", "A", 101, 4, order, instrument_id=CALL, flags=0)
    watch.exchange.record("M", "A", 101, 6, order, instrument_id=CALL)

    assert watch.only().ask_refills == 0


@pytest.mark.parametrize(("after_ms", "size", "refills"), [(3, 10, 1), (30, 10, 0), (3, 11, 0)])
def test_a_like_order_within_milliseconds_is_the_slice_of_a_synthetic_iceberg(
    watch: Watch, after_ms: float, size: int, refills: int
) -> None:
    order = watch.exchange.add("A", 101, 10, instrument_id=CALL)
    watch.exchange.record("T", "B", 101, 10, 7, instrument_id=CALL, flags=0)
    watch.exchange.record("F", "A", 101, 10, order, instrument_id=CALL, flags=0)
    watch.exchange.record("C", "A", 101, 10, order, instrument_id=CALL)
    watch.exchange.wait(ms=after_ms)
    watch.exchange.add("A", 101, size, instrument_id=CALL)

    assert watch.only().ask_refills == refills


def test_quoted_time_runs_while_both_sides_are_quoted_also_in_silence(watch: Watch) -> None:
    """
         0 s      10 s        30 s                  60 s    120 s
    -----|---------|===========|---------------------|-------|
         bid       ask         ask gone
    """
    watch.exchange.add("B", 99, 5, instrument_id=CALL)
    watch.exchange.wait(seconds=10)
    ask = watch.exchange.add("A", 101, 5, instrument_id=CALL)
    watch.exchange.wait(seconds=20)
    watch.exchange.record("C", "A", 101, 5, ask, instrument_id=CALL)
    watch.exchange.wait(seconds=40)
    watch.exchange.add("A", 101, 5, instrument_id=CALL)

    watch.finish()

    first, second = (w for w in watch.windows if w.instrument_id == CALL)
    assert first.quoted_ns == 20 * NANOS_PER_SECOND
    assert second.quoted_ns == 50 * NANOS_PER_SECOND  # from 70 s to the end of its minute
    assert (first.touch_changes, first.quoted_events) == (3, 1)
    assert first.spread_sum == 2 * PRICE_SCALE


def test_flow_is_weighted_with_the_delta_of_its_option(watch: Watch) -> None:
    """Deep in the money by its mid, so that each lot is nearly a future."""
    watch.exchange.quote(FUTURE, 25_999, 26_001)
    watch.exchange.quote(CALL, 1_004, 1_006)
    watch.exchange.trade(CALL, "B", 1_006, 7)
    watch.exchange.trade(PUT, "B", 50, 3)

    watch.finish()

    volumes = {w.instrument_id: w.delta_volume for w in watch.windows}
    assert volumes[CALL] == pytest.approx(7_000_000, rel=0.05)
    assert volumes[PUT] < 0
    assert volumes[FUTURE] == 0


def test_a_complete_book_that_meets_an_unknown_order_is_at_fault_until_a_snapshot(
    watch: Watch, open_ns: int
) -> None:
    watch.exchange.record("C", "B", 99, 5, 555, instrument_id=CALL)
    watch.exchange.record("M", "B", 99, 5, 556, instrument_id=CALL)
    watch.exchange.record("N", instrument_id=PUT, flags=F_LAST | F_MAYBE_BAD_BOOK)
    watch.exchange.record("C", "B", 99, 5, 555, instrument_id=STRANGER)  # joined late: no news
    watch.exchange.wait(seconds=5)
    watch.exchange.snapshot([("B", 100, 50, 1)], instrument_id=CALL)
    watch.exchange.record("R", instrument_id=PUT)
    watch.pass_on()

    faults = watch.stage.take_faults()

    found = [(one.raw_symbol, one.ts_event - open_ns, one.cause, one.ended) for one in faults]
    assert found == [
        ("NQZ6 C25000", 0, "book", False),
        ("NQZ6 P25000", 0, "flag", False),
        ("NQZ6 C25000", 5 * NANOS_PER_SECOND + 100_000, "", True),
        ("NQZ6 P25000", 5 * NANOS_PER_SECOND, "", True),
    ]
    assert watch.stage.take_faults() == []


@pytest.fixture(params=[WindowStage, ReferenceStage], ids=["compiled", "plain"])
def nested(request: pytest.FixtureRequest, listing: Any, exchange: Any) -> Watch:
    """All lengths of the default profile."""
    exchange.record("R", instrument_id=CALL)
    return Watch(request.param(WindowParams()), listing, exchange)


def test_every_length_holds_what_happened_in_it(nested: Watch) -> None:
    for seconds in (0, 0.5, 9.2, 50, 61, 299):
        nested.exchange.ms = seconds * 1_000
        nested.exchange.trade(CALL, "B", 101, 1)

    nested.finish()

    closed = [(w.window_end - w.window_start, w.buy_volume) for w in nested.windows]
    minute = 60 * NANOS_PER_SECOND
    assert sorted(closed) == [(minute, 1), (minute, 1), (minute, 4), (5 * minute, 6)]


def test_a_reader_sees_the_running_window_of_every_length(nested: Watch) -> None:
    for seconds in (0, 9.2, 50, 59.5, 59.8):
        nested.exchange.ms = seconds * 1_000
        nested.exchange.trade(CALL, "B", 101, 1)

    flows = [
        [window.buy_volume for window in event.windows]
        for event in nested.stage.update(nested.exchange.take())
        if isinstance(event, InstrumentFlow)
    ]

    assert flows[-1] == [2, 3, 5, 5]


def test_lengths_that_do_not_nest_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="multiple of the one before"):
        WindowStage(WindowParams(length_ns=MINUTE, lengths_ns=(7 * NANOS_PER_SECOND, MINUTE)))


def test_an_iceberg_is_told_apart_in_every_length(nested: Watch) -> None:
    order = nested.exchange.add("A", 101, 10, instrument_id=CALL)
    for _ in range(3):
        nested.exchange.wait(seconds=20)
        nested.exchange.record("T", "B", 101, 10, 7, instrument_id=CALL, flags=0)
        nested.exchange.record("F", "A", 101, 10, order, instrument_id=CALL, flags=0)
        nested.exchange.record("M", "A", 101, 10, order, instrument_id=CALL)

    nested.finish()

    assert sorted(w.ask_refills for w in nested.windows) == [1, 2, 3]
