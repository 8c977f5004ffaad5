"""What is listed: the front NQ future and four option expiries around the money.

Names and rules follow the exchange: quarterlies expire on the third Friday at the opening, weeklies
at 16:00 in New York; `Q4AX6 P24900` is the put that expires on the 4th Monday of November 2026,
`QN1` to `QN4` are Fridays. An instrument's id depends on its name alone, so it is the same in every
session and every run.
"""

from __future__ import annotations

import datetime as dt
import zlib
from dataclasses import dataclass
from typing import Final, Literal

from ifd.sessions import MARKET_ZONE
from ifd.units import ns_from_datetime

Right = Literal["C", "P"]

CENTRE: Final = 25_000.0
"""The level, in points, the future opens near and is drawn back to."""
MONTH_CODES: Final = "FGHJKMNQUVXZ"
_WEEKDAY_LETTERS: Final = "ABCD"
_OPENING: Final = dt.time(9, 30)
_CLOSE: Final = dt.time(16, 0)
SPACING: Final = 50
"""Points between strikes."""
_ROLL_DAYS: Final = 5
_WEEKLIES: Final = 3


@dataclass(frozen=True, slots=True)
class Contract:
    """One listed instrument; `strike` is in points, `right` is None for the future."""

    instrument_id: int
    raw_symbol: str
    asset: str
    right: Right | None
    strike: int | None
    expiration_ns: int
    underlying: str
    underlying_id: int


@dataclass(frozen=True, slots=True)
class Chain:
    """The future and its options, nearest expiry first, strikes rising, call before put."""

    future: Contract
    options: tuple[Contract, ...]

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """Everything that is listed, the future first."""
        return (self.future, *self.options)


def list_chain(last_session: dt.date, *, strikes: int = 30) -> Chain:
    """Return what is listed in all sessions of a run: every instrument outlives the last one.

    Parameters
    ----------
    last_session : date
        Date of the last session, or of the only one.
    strikes : int
        Strikes per expiry, 50 points apart in the three weeklies and the quarterly.
    """
    quarter = _front_quarter(last_session)
    code = _month(quarter)
    expiry = moment_ns(quarter, _OPENING)
    name = f"NQ{code}"
    future = Contract(_id(name), name, "NQ", None, None, expiry, "", 0)
    options: list[Contract] = []
    weekly = last_session
    for _ in range(_WEEKLIES):
        weekly = _next_weekly(weekly)
        options += _options(
            _weekly_root(weekly), weekly, moment_ns(weekly, _CLOSE), strikes, future
        )
    options += _options("NQ", quarter, expiry, strikes, future)
    return Chain(future, tuple(options))


def moment_ns(day: dt.date, time: dt.time) -> int:
    """Return the ns UTC of a wall time in New York."""
    return ns_from_datetime(dt.datetime.combine(day, time, tzinfo=MARKET_ZONE))


def _options(
    root: str, expiry: dt.date, expiration_ns: int, strikes: int, future: Contract
) -> list[Contract]:
    lowest = int(CENTRE) - (strikes // 2) * SPACING
    listed = []
    for strike in range(lowest, lowest + strikes * SPACING, SPACING):
        rights: tuple[Right, ...] = ("C", "P")
        for right in rights:
            name = f"{root}{_month(expiry)} {right}{strike}"
            listed.append(
                Contract(
                    instrument_id=_id(name),
                    raw_symbol=name,
                    asset=root,
                    right=right,
                    strike=strike,
                    expiration_ns=expiration_ns,
                    underlying=future.raw_symbol,
                    underlying_id=future.instrument_id,
                )
            )
    return listed


def _front_quarter(last: dt.date) -> dt.date:
    # The front month rolls in the week before it expires.
    year, month = last.year, last.month
    while True:
        if month % 3 == 0:
            friday = _third_friday(year, month)
            if friday - last > dt.timedelta(days=_ROLL_DAYS):
                return friday
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)


def _third_friday(year: int, month: int) -> dt.date:
    first = dt.date(year, month, 1)
    return first + dt.timedelta(days=(4 - first.weekday()) % 7 + 14)


def _next_weekly(last: dt.date) -> dt.date:
    day = last + dt.timedelta(days=1)
    while _weekly_root(day) == "":
        day += dt.timedelta(days=1)
    return day


def _weekly_root(day: dt.date) -> str:
    # No weekly on weekends, on a fifth Friday, or where the quarterly itself expires.
    week = (day.day - 1) // 7 + 1
    if day.weekday() < 4:
        return f"Q{week}{_WEEKDAY_LETTERS[day.weekday()]}"
    quarterly = week == 3 and day.month % 3 == 0
    return f"QN{week}" if day.weekday() == 4 and week < 5 and not quarterly else ""


def _month(day: dt.date) -> str:
    return f"{MONTH_CODES[day.month - 1]}{day.year % 10}"


def _id(name: str) -> int:
    return zlib.crc32(name.encode()) & 0x7FFF_FFFF
