"""A calendar month in trading dates: a flat rate's share of each, and how many are left."""

from __future__ import annotations

import calendar
import dataclasses
import datetime as dt

from config.calendar import build_calendar, load_overrides
from config.settings import Settings
from ifd.errors import InputError


@dataclasses.dataclass(frozen=True, slots=True)
class TradingMonth:
    """The trading dates of a month, `YYYY-MM-DD`, ascending."""

    dates: tuple[str, ...]

    def share(self, date: str, price_micro_dollars: int) -> int:
        """Return what one of the dates bears of a month's price; all together bear it exactly.

        Raises
        ------
        ValueError
            If it is none of the dates.

        Examples
        --------
        >>> month = TradingMonth(("2026-11-24", "2026-11-25", "2026-11-27"))
        >>> [month.share(date, 100) for date in month.dates]
        [33, 33, 34]
        """
        number, count = self.dates.index(date), len(self.dates)
        return price_micro_dollars * (number + 1) // count - price_micro_dollars * number // count

    def elapsed(self, day: str) -> int:
        """Return how many of the dates lie on or before a day."""
        return sum(date <= day for date in self.dates)

    def left(self, day: str) -> int:
        """Return how many of the dates lie after a day."""
        return len(self.dates) - self.elapsed(day)


def trading_month(settings: Settings, month: str) -> TradingMonth:
    """Return the trading dates of a month, `YYYY-MM`, by the project's calendar.

    Raises
    ------
    InputError
        If it is no month.
    ConfigurationError
        If the file with the calendar's corrections cannot be used.
    """
    try:
        first = dt.datetime.strptime(month, "%Y-%m").date()  # noqa: DTZ007  a month has no zone
    except ValueError as error:
        raise InputError(f"{month!r} is no month such as 2026-11") from error
    last = first.replace(day=calendar.monthrange(first.year, first.month)[1])
    overrides = load_overrides(settings.session.calendar_file)
    sessions = build_calendar(settings.session.hours, first, last, overrides=overrides)
    return TradingMonth(tuple(session.date for session in sessions))


def months_between(first: str, last: str) -> list[str]:
    """Return the months from that of one day to that of another, both included.

    >>> months_between("2026-11-30", "2027-01-02")
    ['2026-11', '2026-12', '2027-01']
    """
    begin, end = (int(day[:4]) * 12 + int(day[5:7]) - 1 for day in (first, last))
    return [f"{number // 12:04}-{number % 12 + 1:02}" for number in range(begin, end + 1)]
