"""What is wanted from history: one spelling, one fingerprint, slices on a fixed grid."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ifd.errors import BudgetExceededError, InputError
from ifd.gateway.historical import CappedPurse, HistoricalRequest, Quote
from ifd.gateway.historical.quote import micro_dollars
from ifd.units import NANOS_PER_MINUTE, ns_from_datetime

OPENING_NS = ns_from_datetime(dt.datetime(2026, 10, 5, 13, 30, tzinfo=dt.UTC))


def request(**changes: Any) -> HistoricalRequest:
    facts: dict[str, Any] = {
        "schema": "mbo",
        "symbols": ("NQ.OPT", "Q1A.OPT"),
        "start_ns": OPENING_NS,
        "end_ns": OPENING_NS + 60 * NANOS_PER_MINUTE,
    }
    return HistoricalRequest(**(facts | changes))


def test_spelling_does_not_change_the_fingerprint_and_anything_else_does() -> None:
    asked = request()

    spelled = request(symbols=(" Q1A.OPT", "NQ.OPT", "NQ.OPT", ""))
    others = [
        request(schema="trades"),
        request(symbols=("NQ.OPT",)),
        request(start_ns=OPENING_NS + 1),
        request(end_ns=OPENING_NS + 1),
        request(stype_in="raw_symbol"),
        request(dataset="XNAS.ITCH"),
        request(limit=5),
    ]

    assert spelled.fingerprint() == asked.fingerprint()
    assert len(asked.fingerprint()) == 64
    assert len({asked.fingerprint(), *(other.fingerprint() for other in others)}) == 8


def test_slices_are_half_hours_of_the_clock_and_single_parents() -> None:
    # 13:40          14:00           14:30 14:35
    #   |--------------|---------------|-----|      twice, once for each parent
    asked = request(
        start_ns=OPENING_NS + 10 * NANOS_PER_MINUTE, end_ns=OPENING_NS + 65 * NANOS_PER_MINUTE
    )

    slices = list(asked.slices())

    minutes = [((one.start_ns - OPENING_NS) // NANOS_PER_MINUTE, one.symbols[0]) for one in slices]
    assert minutes == [
        (10, "NQ.OPT"),
        (10, "Q1A.OPT"),
        (30, "NQ.OPT"),
        (30, "Q1A.OPT"),
        (60, "NQ.OPT"),
        (60, "Q1A.OPT"),
    ]
    assert all(
        first.end_ns == after.start_ns for first, after in zip(slices, slices[2:], strict=False)
    )
    assert slices[-1].end_ns == asked.end_ns


def test_overlapping_requests_share_the_files_of_what_they_have_in_common() -> None:
    morning = {one.file_name() for one in request().slices()}
    later = request(
        start_ns=OPENING_NS + 30 * NANOS_PER_MINUTE, end_ns=OPENING_NS + 90 * NANOS_PER_MINUTE
    )

    shared = morning & {one.file_name() for one in later.slices()}

    assert len(shared) == 2
    assert any(
        name.startswith("20261005T140000_20261005T143000_NQ.OPT_") for name in sorted(shared)
    )
    assert all(name.endswith(".mbo.dbn.zst") for name in shared)


def test_definitions_named_symbols_and_limited_requests_stay_in_one_piece() -> None:
    assert len(list(request(schema="definition").slices())) == 1
    assert list(request(limit=9).slices()) == [request(limit=9)]
    names = request(stype_in="raw_symbol", symbols=("NQZ6", "NQH7"))
    assert [one.symbols for one in names.slices()] == [("NQH7", "NQZ6")] * 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"end_ns": OPENING_NS}, "holds nothing"),
        ({"symbols": (" ",)}, "at least one symbol"),
        ({"limit": 0}, "asks for nothing"),
        ({"schema": "mbx"}, "no schema 'mbx'"),
    ],
)
def test_a_request_for_nothing_is_refused_before_it_is_sent(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        request(**changes)


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        request().limit = 3  # type: ignore[misc]


def test_what_is_reserved_cannot_be_reserved_twice_and_what_was_not_spent_is_free_again() -> None:
    purse = CappedPurse(100)
    purse.reserve("a", 70)

    with pytest.raises(BudgetExceededError) as refused:
        purse.reserve("b", 31)
    purse.settle("a", 20, 1_000)
    purse.reserve("b", 80)
    purse.book_abandoned("b", 5, 10)

    assert (refused.value.needed_micro_dollars, refused.value.left_micro_dollars) == (31, 30)
    assert (purse.spent_micro_dollars, purse.left_micro_dollars) == (25, 75)


@given(
    sizes=st.lists(st.integers(0, 10**9), min_size=1, max_size=40),
    unit_price=st.sampled_from([0.0, 0.5, 1.8, 70.0]),
)
def test_slices_never_cost_more_than_the_whole_was_quoted_in_parts_however_large(
    sizes: list[int], unit_price: float
) -> None:
    whole, *parts = (
        Quote(micro_dollars(size / 2**30 * unit_price), size) for size in (sum(sizes), *sizes)
    )

    at_most = whole.in_parts(len(parts)).micro_dollars

    # Floats of the provider's arithmetic may round a sum of cents either way, by one at most.
    spent = sum(part.micro_dollars for part in parts)
    assert spent <= at_most + 1
    assert at_most <= spent + len(parts)
