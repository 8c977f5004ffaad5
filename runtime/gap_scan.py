"""What is missing of which session: the calendar, the ledger of gaps and one look at both."""

from __future__ import annotations

import dataclasses

from sqlalchemy.engine import Engine
from sqlmodel import Session

from config.calendar import calendar_around, load_overrides
from config.settings import Settings
from ifd.coverage import duration_ns, intersect
from ifd.errors import InputError
from ifd.sessions import Session as MarketSession
from ifd.sessions import SessionCalendar
from models.coverage import gaps_of, missing_intervals, reconcile_gaps
from models.operations import GapRow
from models.runs import first_started_ns


@dataclasses.dataclass(frozen=True, slots=True)
class SessionGaps:
    """The gaps of one session until now, and the share of that time that was received, 0 to 1."""

    market: MarketSession
    until_ns: int
    covered_share: float
    gaps: tuple[GapRow, ...]


def scan_gaps(
    settings: Settings,
    engine: Engine,
    *,
    shard: str,
    now_ns: int,
    date: str | None = None,
    days: int = 1,
) -> list[SessionGaps]:
    """Reconcile the gaps of some sessions and return them, the oldest session first.

    Parameters
    ----------
    date : str, optional
        This session alone; otherwise the newest `days` since the shard's first run, for nobody
        promised what was before.

    Raises
    ------
    InputError
        If `date` has no session, or none that has begun.
    ConfigurationError
        If the file with the calendar's corrections cannot be used.
    """
    if date is not None:
        sessions = [session_on(settings, date, now_ns=now_ns)]
    else:
        calendar = session_calendar(settings, now_ns)
        with Session(engine) as session:
            first_ns = first_started_ns(session, shard)
        begun = [s for s in calendar if s.open_ns < now_ns]
        sessions = [s for s in begun[-days:] if first_ns is not None and s.close_ns > first_ns]
    reconcile_gaps(engine, shard, sessions, now_ns=now_ns)
    with Session(engine) as session:
        return [_look(session, shard, market, now_ns) for market in sessions]


def session_on(settings: Settings, date: str, *, now_ns: int) -> MarketSession:
    """Return the market session of a date.

    Raises
    ------
    InputError
        If the date has none, or one that has not begun.
    """
    hours = settings.session.hours
    market = session_calendar(settings, now_ns).session_on(date)
    if market is None:
        raise InputError(f"{date} has no {hours} session in the calendar, a year back and ahead")
    if market.open_ns >= now_ns:
        raise InputError(f"the {hours} session of {date} has not begun: nothing of it is missing")
    return market


def session_calendar(settings: Settings, now_ns: int) -> SessionCalendar:
    """Return the sessions that are watched, a year back and ahead."""
    overrides = load_overrides(settings.session.calendar_file)
    return calendar_around(settings.session.hours, now_ns, overrides=overrides)


def _look(session: Session, shard: str, market: MarketSession, now_ns: int) -> SessionGaps:
    gaps = gaps_of(session, shard, [market.date])
    until_ns = min(market.close_ns, now_ns)
    missing = intersect(missing_intervals(gaps, now_ns=now_ns), [(market.open_ns, until_ns)])
    share = 1 - duration_ns(missing) / (until_ns - market.open_ns)
    return SessionGaps(market, until_ns, share, tuple(gaps))
