"""Units at the borders: nanoseconds UTC, prices in 1e-9 and money, and the only conversions."""

from __future__ import annotations

import datetime as dt
from typing import Final

NANOS_PER_SECOND: Final = 1_000_000_000
NANOS_PER_MINUTE: Final = 60 * NANOS_PER_SECOND
NANOS_PER_MILLISECOND: Final = 1_000_000
NANOS_PER_YEAR: Final = 365 * 24 * 3600 * NANOS_PER_SECOND
"""Of 365 days, as option prices count them."""
PRICE_SCALE: Final = 1_000_000_000
"""One unit of price on the wire is 1e-9."""
MICRO_DOLLARS: Final = 1_000_000
"""Money is counted in whole millionths of a US dollar."""
DELTA_SCALE: Final = 1_000_000
"""Deltas are in millionths, as integers: their sums do not depend on the order of summing."""
UNDEFINED_PRICE: Final = 2**63 - 1
UNDEFINED_TIMESTAMP: Final = 2**64 - 1


def price_to_float(price_nanos: int) -> float:
    """Return a price in 1e-9 as a float in points, for statistics and screens only."""
    return price_nanos / PRICE_SCALE


def utc_from_ns(ns: int) -> dt.datetime:
    """Return a timezone-aware UTC datetime; what is finer than a microsecond is cut off."""
    seconds, nanos = divmod(ns, NANOS_PER_SECOND)
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC) + dt.timedelta(microseconds=nanos // 1000)


def ns_from_datetime(moment: dt.datetime) -> int:
    """Return integer nanoseconds UTC of an aware datetime, without passing through a float.

    Raises
    ------
    ValueError
        If `moment` carries no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"a timezone-aware datetime was expected, {moment!r} has none")
    delta = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000
