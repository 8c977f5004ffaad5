"""The trading calendar as recurrence rules (RFC 5545), the only schedules that know holidays.

A rule is written in New York's wall time and read with that time zone, so that a clock change moves
nothing. It names the usual weekdays and time once, then what differs: days without a session, and
moments at another time. Past the calendar's end the usual days go on; whoever is called asks the
market hours anyway.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from config.calendar import CALENDAR_FILE, build_calendar, load_overrides
from ifd.errors import ConfigurationError
from ifd.sessions import MARKET_ZONE, Hours, Session
from ifd.units import utc_from_ns

OPENING_LEAD: Final = dt.timedelta(minutes=5)
"""The stream is started so long before the open: definitions and snapshot take a minute."""
_WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_STAMP: Final = "%Y%m%dT%H%M%S"


class SessionSchedules:
    """Recurrence rules of the sessions from the start of one year to the end of the next.

    Parameters
    ----------
    hours : {"cash", "globex", "always"}
        `always`, the simulated exchange, keeps the days of the cash session.
    year : int
        The first of the two years.
    """

    def __init__(self, hours: Hours, year: int, *, calendar_file: Path = CALENDAR_FILE) -> None:
        first, self._last = dt.date(year, 1, 1), dt.date(year + 1, 12, 31)
        self._hours: Hours = "cash" if hours == "always" else hours
        overrides = load_overrides(calendar_file)
        self._sessions = tuple(build_calendar(self._hours, first, self._last, overrides=overrides))

    def opening(self) -> str:
        """Return the rule of the moments five minutes before each open."""
        return self._rule(lambda session: _local(session.open_ns) - OPENING_LEAD)

    def closing(self) -> str:
        """Return the rule of the closes of full days."""
        return self._rule(lambda session: None if session.early_close else _local(session.close_ns))

    def early_closing(self) -> str:
        """Return the rule of the closes of half days: dates alone, for they follow no rule."""
        return explicit([_local(each.close_ns) for each in self._sessions if each.early_close])

    def at(self, time: str) -> str:
        """Return the rule of one time of day, `HH:MM` in New York, on every trading date.

        Raises
        ------
        ConfigurationError
            If it is no time of day.
        """
        try:
            moment = dt.time.fromisoformat(time)
        except ValueError as error:
            raise ConfigurationError(f"{time!r} is no time of day such as 17:30") from error
        return self._rule(
            lambda session: dt.datetime.combine(dt.date.fromisoformat(session.date), moment)
        )

    def watched(self) -> str:
        """Return hours and weekdays of a cron line that leaves no session out, and little else."""
        return "9-16 * * 1-5" if self._hours == "cash" else "* * * 0-5"

    def _rule(self, moment_of: Callable[[Session], dt.datetime | None]) -> str:
        moments = [moment_of(session) for session in self._sessions]
        return recurrence([moment for moment in moments if moment is not None], until=self._last)


def recurrence(moments: Sequence[dt.datetime], *, until: dt.date) -> str:
    """Return the rule that gives exactly these moments up to `until`.

    Parameters
    ----------
    moments : sequence of datetime
        In wall time, without a zone, ascending.

    Examples
    --------
    >>> days = [dt.datetime(2026, 11, day, 9, 25) for day in (23, 24, 25, 27)]
    >>> print(recurrence(days, until=dt.date(2026, 11, 27)))
    DTSTART:20261123T092500
    RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,FR
    """
    usual = Counter(moment.time() for moment in moments).most_common(1)[0][0]
    regular = [moment for moment in moments if moment.time() == usual]
    weekdays = {moment.weekday() for moment in regular}
    span = (until - regular[0].date()).days + 1
    days = (regular[0].date() + dt.timedelta(days=n) for n in range(span))
    expected = (dt.datetime.combine(day, usual) for day in days if day.weekday() in weekdays)
    kept = set(regular)
    lines = [
        f"DTSTART:{regular[0]:{_STAMP}}",
        f"RRULE:FREQ=WEEKLY;BYDAY={','.join(_WEEKDAYS[day] for day in sorted(weekdays))}",
        *_dates("EXDATE", [moment for moment in expected if moment not in kept]),
        *_dates("RDATE", [moment for moment in moments if moment.time() != usual]),
    ]
    return "\n".join(lines)


def explicit(moments: Sequence[dt.datetime]) -> str:
    """Return the rule of these moments alone; there is always one, a rule cannot be empty."""
    return "\n".join(_dates("RDATE", moments))


def _dates(name: str, moments: Sequence[dt.datetime]) -> list[str]:
    if not moments:
        return []
    return [f"{name}:{','.join(f'{moment:{_STAMP}}' for moment in moments)}"]


def _local(ts_ns: int) -> dt.datetime:
    return utc_from_ns(ts_ns).astimezone(MARKET_ZONE).replace(tzinfo=None)
