"""What tables hold against what the archive says, on small tables made by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND, UNDEFINED_PRICE
from runtime.quality.archive import longest_silence_ns
from runtime.quality.reading import TRADE_COLUMNS, trades_frame
from runtime.quality.traded import VOLUMES, traded_bars, traded_volumes
from tests.unit.runtime.quality.test_orders import NOW_NS, record, records


def trades(*rows: tuple[int, int, int, str]) -> pd.DataFrame:
    """Return trades: second, price, lots and side, of instrument 7."""
    made = [
        record(
            "T",
            side,
            ts_event=NOW_NS + second * NANOS_PER_SECOND,
            ts_recv=NOW_NS + second * NANOS_PER_SECOND + 1_000,
            price=price,
            size=size,
        )
        for second, price, size, side in rows
    ]
    return trades_frame(records(*made)[list(TRADE_COLUMNS)])


def test_lots_belong_to_the_window_and_side_they_traded_in() -> None:
    found = traded_volumes(
        trades((0, 10, 3, "B"), (59, 10, 4, "A"), (60, 10, 5, "B"), (61, 10, 6, "N")),
        NANOS_PER_MINUTE,
    )

    assert found[["start_ns", *VOLUMES]].to_numpy().tolist() == [
        [NOW_NS, 3, 4, 0],
        [NOW_NS + NANOS_PER_MINUTE, 5, 0, 6],
    ]


def test_a_bar_has_its_first_and_last_price_and_counts_no_print_without_one() -> None:
    found = traded_bars(
        trades((0, 10, 1, "B"), (1, 30, 1, "B"), (2, 5, 1, "A"), (3, UNDEFINED_PRICE, 9, "N"),
               (4, 20, 1, "A")),
        NANOS_PER_MINUTE,
    )  # fmt: skip

    assert found.drop(columns=["instrument_id"]).to_numpy().tolist() == [
        [NOW_NS, 10, 30, 5, 20, 4, 4]
    ]


def test_a_late_print_is_placed_where_the_engine_places_it() -> None:
    placed = trades((5, 10, 1, "B"), (6, 10, 1, "B"))
    late = trades_frame(
        records(
            record("T", "B", ts_event=NOW_NS + 9, ts_recv=NOW_NS + 10),
            record("T", "B", ts_event=NOW_NS + 4, ts_recv=NOW_NS + 11),
            record("T", "B", ts_event=NOW_NS + 10**10, ts_recv=NOW_NS + 12),
        )[list(TRADE_COLUMNS)]
    )

    assert placed["ts_event"].is_monotonic_increasing
    assert (late["ts_event"] - NOW_NS).tolist() == [9, 9, 12]


@pytest.mark.parametrize(
    ("seconds", "until", "longest"),
    [((), 100, 100), ((10, 30), 100, 70), ((60, 95), 100, 60), ((0, 99), 100, 99)],
)
def test_the_future_is_silent_from_the_beginning_between_trades_and_to_the_end(
    seconds: tuple[int, ...], until: int, longest: int
) -> None:
    made = trades(*((second, 10, 1, "B") for second in seconds))
    watched = [(NOW_NS, NOW_NS + until * NANOS_PER_SECOND)]

    assert longest_silence_ns(made, [7], watched) == longest * NANOS_PER_SECOND


def test_what_was_not_received_is_no_silence() -> None:
    made = trades((10, 10, 1, "B"), (90, 10, 1, "B"))
    second = NANOS_PER_SECOND
    watched = [(NOW_NS, NOW_NS + 20 * second), (NOW_NS + 80 * second, NOW_NS + 100 * second)]

    assert longest_silence_ns(made, [7], watched) == 10 * second
    assert longest_silence_ns(made, [7], []) == 0
    assert longest_silence_ns(made, [8], watched) == 20 * second
