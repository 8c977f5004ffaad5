"""Parents derived from definitions, and held against what is subscribed to."""

from __future__ import annotations

import dataclasses

from config.settings import load_settings
from ifd.parents import find_drift, option_parents
from ifd.symbols import Instrument

CALL = Instrument(
    session_date="2026-11-24",
    instrument_id=1,
    raw_symbol="NQZ6 C25000",
    asset="NQ",
    instrument_class="C",
    underlying="NQZ6",
    underlying_id=9,
    expiration_ns=1,
    strike_price=25_000 * 10**9,
    right="C",
    multiplier=20.0,
    min_price_increment=1,
    user_defined=False,
)


def listed(**changes: object) -> Instrument:
    return dataclasses.replace(CALL, **changes)  # type: ignore[arg-type]


def test_the_parents_of_a_chain_are_those_of_the_options_on_its_future() -> None:
    found = option_parents(
        [
            CALL,
            listed(asset="Q1A", right="P", instrument_class="P"),
            listed(asset="QNE", underlying="NQH7"),
            listed(asset="E1A", underlying="ESZ6"),
            listed(asset="MNQ", underlying="MNQZ6"),
            listed(asset="NQX", underlying="NQXZ6"),
            listed(asset="Q9Z", instrument_class="T", right=None),
            listed(asset="Q8Z", user_defined=True),
            listed(asset="NQ", instrument_class="F", right=None, underlying="NQZ6"),
        ],
        ["NQ.FUT"],
    )

    assert found == ["NQ.OPT", "Q1A.OPT", "QNE.OPT"]


def test_a_parent_nobody_subscribed_to_is_drift_and_one_without_listing_is_not() -> None:
    drift = find_drift(
        [CALL, listed(asset="Q1E")], parents=["NQ.OPT", "Q5B.OPT"], futures=["NQ.FUT"]
    )

    assert drift.listed == ("NQ.OPT", "Q1E.OPT")
    assert drift.undeclared == ("Q1E.OPT",)
    assert drift.unlisted == ("Q5B.OPT",)


def test_the_configured_parents_are_the_26_of_the_nq_complex() -> None:
    """CME's page of the product: quarterly, end of month, four Fridays, five weeks of four days."""
    days = {f"Q{week}{day}.OPT" for week in range(1, 6) for day in "ABCD"}

    parents = load_settings().feed.parents

    assert set(parents) == {"NQ.OPT", "QNE.OPT", *(f"QN{n}.OPT" for n in range(1, 5)), *days}
    assert len(parents) == 26
