"""Moments, durations and money as people read them, alike in a terminal, a table and a sentence."""

from __future__ import annotations

from ifd.sessions import MARKET_ZONE
from ifd.units import NANOS_PER_MILLISECOND, NANOS_PER_SECOND, utc_from_ns


def market_time(ts_ns: int | None) -> str:
    """Return a moment as New York time to the millisecond, empty when there is none."""
    if ts_ns is None:
        return ""
    local = utc_from_ns(ts_ns).astimezone(MARKET_ZONE)
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03}"


def duration(ns: int) -> str:
    """Return how long something lasted.

    Examples
    --------
    >>> duration(1_500_000_000), duration(600_000_000_000), duration(3_661_000_000_000)
    ('1.500 s', '10:00 min', '1:01:01')
    """
    seconds, rest = divmod(ns, NANOS_PER_SECOND)
    if seconds < 60:
        return f"{seconds}.{rest // NANOS_PER_MILLISECOND:03} s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02} min"


def money(micro_dollars: int) -> str:
    """Return an amount in US dollars, to the cent or as finely as a small one needs."""
    digits = 2 if micro_dollars % 10_000 == 0 or micro_dollars >= 1_000_000 else 6
    return f"${micro_dollars / 1_000_000:,.{digits}f}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "gap"), counted(12_000, "record")
    ('1 gap', '12,000 records')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
