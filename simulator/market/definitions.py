"""Exchange definitions of what is listed, shaped like those recorded from CME.

`contract_multiplier` is left undefined, as on the real feed; the 20 dollars a point stand in
`unit_of_measure_qty`. Expiry is a time of day.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import databento_dbn as dbn

from ifd.units import NANOS_PER_SECOND, PRICE_SCALE, UNDEFINED_PRICE, ns_from_datetime
from simulator.market.chain import Chain, Contract

TICK: Final = PRICE_SCALE // 4
"""Smallest price step of everything listed, in 1e-9."""
PUBLISHER_ID: Final = 1
FUTURES_CHANNEL: Final = 0
OPTIONS_CHANNEL: Final = 1
_MULTIPLIER: Final = 20 * PRICE_SCALE
_DISPLAY_FACTOR: Final = PRICE_SCALE // 100
_LISTED_BEFORE_NS: Final = 270 * 86_400 * NANOS_PER_SECOND


def definition_messages(chain: Chain, session: dt.date) -> list[dbn.InstrumentDefMsg]:
    """Return the definitions a session of this date knows, the future first."""
    midnight = ns_from_datetime(dt.datetime.combine(session, dt.time(), tzinfo=dt.UTC))
    sunday = session - dt.timedelta(days=session.isoweekday() % 7)
    published = ns_from_datetime(dt.datetime.combine(sunday, dt.time(11, 3), tzinfo=dt.UTC))
    return [
        _definition(contract, published + 1_000 * number, max(midnight, published))
        for number, contract in enumerate(chain.contracts)
    ]


def _definition(contract: Contract, ts_event: int, ts_recv: int) -> dbn.InstrumentDefMsg:
    option = contract.strike is not None
    right = contract.right or "F"
    expiry = dt.datetime.fromtimestamp(contract.expiration_ns // NANOS_PER_SECOND, tz=dt.UTC)
    return dbn.InstrumentDefMsg(
        publisher_id=PUBLISHER_ID,
        instrument_id=contract.instrument_id,
        ts_event=ts_event,
        ts_recv=ts_recv,
        min_price_increment=TICK,
        display_factor=_DISPLAY_FACTOR,
        raw_symbol=contract.raw_symbol,
        asset=contract.asset,
        security_type="OOF" if option else "FUT",
        instrument_class=dbn.InstrumentClass.from_str(right),
        security_update_action=dbn.SecurityUpdateAction.from_str("A"),
        expiration=contract.expiration_ns,
        activation=contract.expiration_ns - _LISTED_BEFORE_NS,
        unit_of_measure_qty=_MULTIPLIER,
        min_price_increment_amount=TICK * 20,
        strike_price=(
            UNDEFINED_PRICE if contract.strike is None else contract.strike * PRICE_SCALE
        ),
        raw_instrument_id=contract.instrument_id,
        underlying_id=contract.underlying_id,
        market_depth=3 if option else 10,
        market_depth_implied=0,
        max_trade_vol=3_000,
        min_trade_vol=1,
        maturity_year=expiry.year,
        maturity_month=expiry.month,
        channel_id=OPTIONS_CHANNEL if option else FUTURES_CHANNEL,
        currency="USD",
        group=contract.asset,
        exchange="XCME",
        cfi=f"O{right}AFPS" if option else "FFIXSX",
        unit_of_measure="IPNT",
        underlying=contract.underlying,
        strike_price_currency="USD" if option else "",
        match_algorithm=dbn.MatchAlgorithm.from_str("F"),
        underlying_product=5,
        user_defined_instrument=dbn.UserDefinedInstrument.from_str("N"),
    )
