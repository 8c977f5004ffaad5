"""What symbols of a subscription stand for."""

from __future__ import annotations

import datetime as dt

import pytest

from simulator.live.symbology import Resolved, Symbology
from simulator.market import definition_messages, list_chain

DATE = dt.date(2026, 11, 23)
CHAIN = list_chain(DATE)
SYMBOLOGY = Symbology(definition_messages(CHAIN, DATE))
FUTURE = CHAIN.future.instrument_id


def test_a_parent_means_all_options_of_its_asset_and_no_other() -> None:
    found, unknown = SYMBOLOGY.resolve(["Q4B.OPT"], "parent")

    assert unknown == []
    assert {one.raw_symbol[:5] for one in found} == {"Q4BX6"}
    assert len(found) == 60
    assert {one.asked for one in found} == {"Q4B.OPT"}


def test_quarterly_options_and_the_future_are_different_parents() -> None:
    options, _ = SYMBOLOGY.resolve(["NQ.OPT"], "parent")
    futures, _ = SYMBOLOGY.resolve(["NQ.FUT"], "parent")

    assert len(options) == 60
    assert futures == [Resolved(FUTURE, "NQ.FUT", "NQZ6")]


@pytest.mark.parametrize(
    ("symbol", "stype_in"),
    [("NQZ6", "raw_symbol"), (str(FUTURE), "instrument_id"), ("NQ.c.0", "continuous")],
)
def test_the_future_has_many_names(symbol: str, stype_in: str) -> None:
    assert SYMBOLOGY.resolve([symbol], stype_in) == ([Resolved(FUTURE, symbol, "NQZ6")], [])


def test_symbols_that_mean_nothing_are_named() -> None:
    found, unknown = SYMBOLOGY.resolve(["Q1A.OPT", "NQ.FUT", "X"], "parent")

    assert [one.instrument_id for one in found] == [FUTURE]
    assert unknown == ["Q1A.OPT", "X"]


def test_all_symbols_are_asked_for_by_their_own_names() -> None:
    found, unknown = SYMBOLOGY.resolve(["ALL_SYMBOLS"], "raw_symbol")

    assert unknown == []
    assert len(found) == 241
    assert all(one.asked == one.raw_symbol for one in found)


def test_an_instrument_asked_for_twice_is_mapped_once() -> None:
    found, _ = SYMBOLOGY.resolve(["NQZ6", "NQZ6"], "raw_symbol")

    assert len(found) == 1


def test_a_file_without_definitions_is_known_by_the_names_in_its_header() -> None:
    symbology = Symbology([], {"ESM4": 5602})

    assert symbology.resolve(["ESM4"], "raw_symbol")[0] == [Resolved(5602, "ESM4", "ESM4")]
    assert symbology.resolve(["ES.FUT"], "parent") == ([], ["ES.FUT"])
