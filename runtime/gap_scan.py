"""What is missing of which session: the calendar, the ledger of gaps, and one look at both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy.engine import Engine
from sqlmodel import Session

from config.calendar import calendar_around, load_overrides
from config.settings import Settings
from ifd.clock import Clock
from ifd.coverage import duration_ns, intersect
from ifd.errors import HistoryError, InputError
from ifd.sessions import Session as MarketSession
from ifd.sessions import SessionCalendar
from models.coverage import gaps_of, missing_intervals, reconcile_gaps
from models.operations import GapRow
from models.runs import first_started_ns
from runtime.gap_evidence import compare_counts, note_lost_files
from runtime.history import has_history, open_history

COUNTED_SESSIONS: Final = 2


@dataclasses.dataclass(frozen=True, slots=True)
class SessionGaps:
    """The gaps of one session until now, and the share of that time that was received, 0 to 1.

    `note` says what kept a part of the look from being taken, empty when nothing did.
    """

    market: MarketSession
    until_ns: int
    covered_share: float
    gaps: tuple[GapRow, ...]
    note: str = ""


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
    notes = [note_lost_files(engine, shard, market, now_ns=now_ns) for market in sessions]
    with Session(engine) as session:
        return [
            dataclasses.replace(_look(session, shard, market, now_ns), note=note)
            for market, note in zip(sessions, notes, strict=True)
        ]


def count_gaps(
    settings: Settings,
    engine: Engine,
    sessions: Sequence[SessionGaps],
    *,
    clock: Clock,
    advance: Callable[[float], None] = lambda _share: None,
) -> list[str]:
    """Hold sessions against history's record counts; return why one was not, in sentences.

    Gaps that show are in the ledger afterwards. Whole archives are read, so only the newest
    sessions that have closed are looked at: with the last one, whose history may be a day late.

    Parameters
    ----------
    advance : callable
        Told the share that is done, 0 to 1.
    """
    if not has_history(settings):
        return ["history was not asked: none is configured"]
    source, notes = open_history(settings, clock), []
    now_ns = clock.now_ns()
    closed = [each.market for each in sessions if each.market.close_ns <= now_ns]
    counted = closed[-COUNTED_SESSIONS:]
    for number, market in enumerate(counted, start=1):
        try:
            compare_counts(settings, engine, source, market, now_ns=now_ns)
        except HistoryError as error:
            notes.append(f"{market.date} was not held against history: {error}")
        advance(number / len(counted))
    return notes


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
