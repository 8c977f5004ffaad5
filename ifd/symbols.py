"""Instruments from exchange definitions, never from parsing a name.

Ids and names are used again on later dates, so a registry speaks for one session date.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Iterator

import databento_dbn as dbn

from ifd.units import NANOS_PER_SECOND, PRICE_SCALE, UNDEFINED_PRICE


@dataclasses.dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument of one session date.

    `strike_price` and `min_price_increment` are in 1e-9; `expiration_ns` is a time of day, ns UTC;
    `right` is `C`, `P` or None; `multiplier` is US dollars a point.
    """

    session_date: str
    instrument_id: int
    raw_symbol: str
    asset: str
    instrument_class: str
    underlying: str
    underlying_id: int
    expiration_ns: int
    strike_price: int | None
    right: str | None
    multiplier: float
    min_price_increment: int
    user_defined: bool

    @property
    def is_option(self) -> bool:
        """True for an outright call or put that the exchange listed."""
        return self.right is not None and not self.user_defined

    @property
    def is_future(self) -> bool:
        """True for an outright future."""
        return self.instrument_class == "F"

    @property
    def strike(self) -> float | None:
        """Strike in points."""
        return None if self.strike_price is None else self.strike_price / PRICE_SCALE

    @property
    def expiration_date(self) -> str:
        """ISO date of expiry, UTC."""
        moment = dt.datetime.fromtimestamp(self.expiration_ns // NANOS_PER_SECOND, tz=dt.UTC)
        return moment.date().isoformat()


def instrument_from_definition(message: dbn.InstrumentDefMsg) -> Instrument:
    """Return the instrument of one definition record (any DBN version, upgraded to 3).

    The multiplier comes from `unit_of_measure_qty`: `contract_multiplier` is undefined on GLBX
    options.
    """
    instrument_class = str(message.instrument_class)
    optional = instrument_class in ("C", "P")
    day = dt.datetime.fromtimestamp(message.ts_recv // NANOS_PER_SECOND, tz=dt.UTC).date()
    quantity = message.unit_of_measure_qty
    return Instrument(
        session_date=day.isoformat(),
        instrument_id=message.instrument_id,
        raw_symbol=message.raw_symbol,
        asset=message.asset,
        instrument_class=instrument_class,
        underlying=message.underlying or message.raw_symbol,
        underlying_id=message.underlying_id,
        expiration_ns=message.expiration,
        strike_price=message.strike_price if optional else None,
        right=instrument_class if optional else None,
        multiplier=1.0 if quantity in (0, UNDEFINED_PRICE) else quantity / PRICE_SCALE,
        min_price_increment=message.min_price_increment,
        user_defined=str(message.user_defined_instrument) == "Y",
    )


class DatedInstruments:
    """Definitions of several session dates: an id used again never mixes two instruments."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self._by_id: dict[int, dict[str, Instrument]] = {}
        self.add(instruments)

    def add(self, instruments: Iterable[Instrument]) -> None:
        """Take in definitions; a later one of the same id and date replaces the earlier."""
        for instrument in instruments:
            by_date = self._by_id.setdefault(instrument.instrument_id, {})
            by_date[instrument.session_date] = instrument

    def get(self, instrument_id: int, session_date: str) -> Instrument | None:
        """Return what the id means in a session.

        That is the newest definition not after it; before the first one, the first one, since a
        listing may be published after the session has begun.
        """
        by_date = self._by_id.get(instrument_id)
        if by_date is None:
            return None
        known = [date for date in by_date if date <= session_date]
        return by_date[max(known) if known else min(by_date)]

    def of_session(self, session_date: str) -> Iterator[Instrument]:
        """Yield what every id means in a session, in the order the ids were first defined."""
        for instrument_id in self._by_id:
            instrument = self.get(instrument_id, session_date)
            if instrument is not None:
                yield instrument
