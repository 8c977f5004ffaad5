"""Names, expiries and definitions of what the simulated exchange lists."""

from __future__ import annotations

import datetime as dt

import databento_dbn as dbn
import pytest

from ifd.symbols import instrument_from_definition
from ifd.units import utc_from_ns
from simulator.market import definition_messages, list_chain

MONDAY = dt.date(2026, 11, 23)


@pytest.mark.parametrize(
    ("last", "weekly", "expiry"),
    [
        (dt.date(2026, 11, 23), "Q4BX6", "2026-11-24T21:00:00+00:00"),
        (dt.date(2026, 11, 19), "QN3X6", "2026-11-20T21:00:00+00:00"),
        (dt.date(2026, 11, 20), "Q4AX6", "2026-11-23T21:00:00+00:00"),
        # The third Friday of a quarter's month is the quarterly's own: the Monday after is next.
        (dt.date(2026, 9, 17), "Q3AU6", "2026-09-21T20:00:00+00:00"),
        # A fifth Friday has no weekly.
        (dt.date(2026, 10, 29), "Q1AX6", "2026-11-02T21:00:00+00:00"),
    ],
)
def test_the_weekly_is_the_next_to_expire_after_the_last_session(
    last: dt.date, weekly: str, expiry: str
) -> None:
    nearest = list_chain(last, strikes=11).options[0]

    assert nearest.raw_symbol == f"{weekly} C24750"
    assert utc_from_ns(nearest.expiration_ns).isoformat() == expiry


@pytest.mark.parametrize(
    ("last", "front"),
    [
        (dt.date(2026, 10, 5), "NQZ6"),
        (dt.date(2026, 12, 11), "NQZ6"),
        (dt.date(2026, 12, 14), "NQH7"),
        (dt.date(2026, 9, 1), "NQU6"),
    ],
)
def test_the_front_future_rolls_in_the_week_it_expires(last: dt.date, front: str) -> None:
    assert list_chain(last).future.raw_symbol == front


def test_a_chain_outlives_all_its_sessions() -> None:
    chain = list_chain(MONDAY + dt.timedelta(days=60))

    last = dt.datetime.combine(MONDAY + dt.timedelta(days=60), dt.time(21), tzinfo=dt.UTC)
    assert all(utc_from_ns(contract.expiration_ns) > last for contract in chain.contracts)


def test_an_instrument_keeps_its_id_from_one_session_to_the_next() -> None:
    one = {contract.raw_symbol: contract.instrument_id for contract in list_chain(MONDAY).contracts}
    other = list_chain(MONDAY + dt.timedelta(days=1)).contracts

    shared = [contract for contract in other if contract.raw_symbol in one]
    assert shared
    assert all(one[contract.raw_symbol] == contract.instrument_id for contract in shared)
    assert len(set(one.values())) == len(one)


def test_definitions_say_what_those_of_the_exchange_say() -> None:
    chain = list_chain(MONDAY, strikes=11)

    messages = definition_messages(chain, MONDAY)
    instruments = [instrument_from_definition(message) for message in messages]

    future, put = instruments[0], instruments[2]
    assert (future.is_future, future.raw_symbol, future.multiplier) == (True, "NQZ6", 20.0)
    assert (put.asset, put.right, put.strike, put.underlying) == ("Q4B", "P", 24_750.0, "NQZ6")
    assert put.underlying_id == future.instrument_id
    assert put.min_price_increment == 250_000_000
    assert {instrument.session_date for instrument in instruments} == {"2026-11-23"}
    assert all(message.contract_multiplier == 2**31 - 1 for message in messages)
    assert len(messages) == 1 + 4 * 11 * 2
    assert len(definition_messages(list_chain(MONDAY), MONDAY)) > 200


def test_definitions_survive_the_wire() -> None:
    messages = definition_messages(list_chain(MONDAY), MONDAY)
    header = dbn.Metadata(
        dataset="GLBX.MDP3",
        start=0,
        stype_in=None,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=None,
    )

    decoded = dbn.DBNDecoder().write_and_decode(
        header.encode() + b"".join(bytes(message) for message in messages)
    )

    assert [bytes(message) for message in decoded[1:]] == [bytes(message) for message in messages]
