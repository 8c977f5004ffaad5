"""The trading calendar as recurrence rules (RFC 5545), the only schedules that know holidays.

A rule is written in New York's wall time and read with that time zone, so that a clock change moves
nothing. It names the usual weekdays and time once, then what differs: days without a session, and
moments at another time. Past the calendar's end the usual days go on; whoever is called asks the
market hours anyway.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from config.calendar import CALENDAR_FILE, build_calendar, load_overrides
from ifd.errors import ConfigurationError
from ifd.sessions import MARKET_ZONE, Hours, Session
from ifd.units import NANOS_PER_MINUTE, utc_from_ns

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

    def after_close(self, minutes: int) -> str:
        """Return the rule of the moments so many minutes after each close, half days included."""
        late = dt.timedelta(minutes=minutes)
        return self._rule(lambda session: _local(session.close_ns) + late)

    def every(self, minutes: int, *, late: int = 0) -> str:
        """Return the rule of what is done again and again in every session.

        Parameters
        ----------
        minutes : int
            From one moment to the next; the first is so long after the open, the last before the
            close.
        late : int
            Minutes after those moments, for what follows upon something else.
        """
        step = minutes * NANOS_PER_MINUTE
        return repeated(
            [
                _local(ns)
                for session in self._sessions
                for ns in range(
                    session.open_ns + step + late * NANOS_PER_MINUTE, session.close_ns, step
                )
            ],
            until=self._last,
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


def repeated(moments: Sequence[dt.datetime], *, until: dt.date) -> str:
    """Return the rule that gives exactly these moments, many a day, up to `until`.

    Leaving a holiday out takes one line: its month, day and weekday together, which come again
    after five years at the earliest. Naming its moments would make the rule longer than Prefect
    allows.

    Parameters
    ----------
    moments : sequence of datetime
        In wall time, without a zone, ascending, at full minutes.

    Examples
    --------
    >>> days = [dt.datetime(2026, 11, day, hour) for day in (23, 24, 25, 27) for hour in (10, 11)]
    >>> print(repeated(days, until=dt.date(2026, 11, 27)))
    DTSTART:20261123T100000
    RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,FR;BYHOUR=10,11;BYMINUTE=0
    """
    by_day: defaultdict[dt.date, set[dt.time]] = defaultdict(set)
    for moment in moments:
        by_day[moment.date()].add(moment.time())
    usual = _usual_times(by_day)
    first = min(by_day)
    lines = [f"DTSTART:{moments[0]:{_STAMP}}", *_weekly(usual)]
    more: list[dt.datetime] = []
    for day in (first + dt.timedelta(days=n) for n in range((until - first).days + 1)):
        expected, found = usual.get(day.weekday(), frozenset()), by_day.get(day, set())
        weekday = _WEEKDAYS[day.weekday()]
        date = f"FREQ=YEARLY;BYMONTH={day.month};BYMONTHDAY={day.day};BYDAY={weekday}"
        lines += [f"EXRULE:{date};{grid}" for grid in _grids(expected - found)]
        more += [dt.datetime.combine(day, time) for time in sorted(found - expected)]
    return "\n".join([*lines, *_dates("RDATE", more)])


def explicit(moments: Sequence[dt.datetime]) -> str:
    """Return the rule of these moments alone; there is always one, a rule cannot be empty."""
    return "\n".join(_dates("RDATE", moments))


def _usual_times(by_day: dict[dt.date, set[dt.time]]) -> dict[int, frozenset[dt.time]]:
    """Return what most days of each weekday have, by weekday."""
    counts: defaultdict[int, Counter[frozenset[dt.time]]] = defaultdict(Counter)
    for day, times in by_day.items():
        counts[day.weekday()][frozenset(times)] += 1
    return {weekday: count.most_common(1)[0][0] for weekday, count in counts.items()}


def _weekly(usual: dict[int, frozenset[dt.time]]) -> Iterator[str]:
    weekdays: defaultdict[frozenset[dt.time], list[int]] = defaultdict(list)
    for weekday, times in sorted(usual.items()):
        weekdays[times].append(weekday)
    for times, days in weekdays.items():
        named = ",".join(_WEEKDAYS[day] for day in days)
        yield from (f"RRULE:FREQ=WEEKLY;BYDAY={named};{grid}" for grid in _grids(times))


def _grids(times: Iterable[dt.time]) -> Iterator[str]:
    """Give times as products of hours and minutes."""
    minutes: defaultdict[int, list[int]] = defaultdict(list)
    for time in sorted(times):
        minutes[time.hour].append(time.minute)
    hours: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for hour, found in minutes.items():
        hours[tuple(found)].append(hour)
    for found_minutes, found_hours in hours.items():
        listed = (",".join(map(str, numbers)) for numbers in (found_hours, found_minutes))
        yield "BYHOUR={};BYMINUTE={}".format(*listed)


def _dates(name: str, moments: Sequence[dt.datetime]) -> list[str]:
    if not moments:
        return []
    return [f"{name}:{','.join(f'{moment:{_STAMP}}' for moment in moments)}"]


def _local(ts_ns: int) -> dt.datetime:
    return utc_from_ns(ts_ns).astimezone(MARKET_ZONE).replace(tzinfo=None)
