"""May the stream run now, and until when: the one gate that every way of starting it passes.

Schedules fire on holidays, late after an outage, and up to half a second early. So nobody relies
on a schedule: whoever starts or stops a stream asks here first.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Final

from config.calendar import CALENDAR_FILE, calendar_around, load_overrides
from ifd.clock import Clock
from ifd.sessions import MARKET_ZONE, Hours, Session, SessionCalendar, session_date
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND, utc_from_ns

OPENING_LEAD_NS: Final = 30 * NANOS_PER_MINUTE
"""A stream may start this long before the open: it connects, takes definitions and the snapshot."""


EARLY_SCHEDULE_NS: Final = 2 * NANOS_PER_MINUTE
"""A run scheduled for the close may begin before it; no more than this is waited out."""


@dataclasses.dataclass(frozen=True, slots=True)
class MarketHours:
    """The answer for one moment.

    `closes_ns` is the end of the running (or just coming) session, ns UTC; None when nothing ends
    it: outside the hours, or on an exchange that never closes. `reason` is a sentence for people.
    """

    is_open: bool
    date: str
    closes_ns: int | None
    reason: str


def market_hours(hours: Hours, now_ns: int, *, calendar_file: Path = CALENDAR_FILE) -> MarketHours:
    """Return whether the market is open at `now_ns`, or about to open.

    Parameters
    ----------
    hours : {"cash", "globex", "always"}
        Which sessions count; `always` reads no calendar.
    calendar_file : Path
        Corrections of the published calendars.

    Raises
    ------
    ConfigurationError
        If the file with the calendar's corrections cannot be used.
    """
    if hours == "always":
        date = session_date(now_ns)
        return MarketHours(True, date, None, "the simulated exchange never closes")
    overrides = load_overrides(calendar_file)
    sessions = calendar_around(hours, now_ns, overrides=overrides)
    session = sessions.session_at(now_ns)
    if session is None:
        session = sessions.session_at(now_ns + OPENING_LEAD_NS)
    if session is not None:
        return MarketHours(True, session.date, session.close_ns, _open_until(session))
    reason = _closed_until(hours, now_ns, sessions)
    return MarketHours(False, session_date(now_ns), None, reason)


def wait_for_close(
    hours: Hours, clock: Clock, *, calendar_file: Path = CALENDAR_FILE
) -> MarketHours:
    """Return the market hours, after the last moments of a session that is about to close."""
    now_ns = clock.now_ns()
    found = market_hours(hours, now_ns, calendar_file=calendar_file)
    if found.closes_ns is None or found.closes_ns - now_ns > EARLY_SCHEDULE_NS:
        return found
    time.sleep((found.closes_ns - now_ns) / NANOS_PER_SECOND)
    later_ns = max(clock.now_ns(), found.closes_ns)
    return market_hours(hours, later_ns, calendar_file=calendar_file)


def new_york(ts_ns: int) -> str:
    """Return a moment as people in the market write it: `Fri 2026-11-27 13:00 EST`."""
    return utc_from_ns(ts_ns).astimezone(MARKET_ZONE).strftime("%a %Y-%m-%d %H:%M %Z")


def _open_until(session: Session) -> str:
    early = ", an early close" if session.early_close else ""
    return (
        f"the {session.kind} session of {session.date} closes {new_york(session.close_ns)}{early}"
    )


def _closed_until(hours: Hours, now_ns: int, sessions: SessionCalendar) -> str:
    date = session_date(now_ns)
    today = sessions.session_on(date)
    if today is None:
        why = f"{date} has no {hours} session"
    elif now_ns >= today.close_ns:
        why = f"the {hours} session of {date} closed {new_york(today.close_ns)}"
    else:
        why = f"the {hours} session of {date} has not begun"
    coming = sessions.next_session(now_ns)
    after = f"; the next opens {new_york(coming.open_ns)}" if coming else ""
    return f"the market is closed: {why}{after}"
