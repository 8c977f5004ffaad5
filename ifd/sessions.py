"""Trading dates and sessions: where a nanosecond lies in the market's day.

Two questions, kept apart. `session_date` names the CME trading date of any moment by one rule:
a date begins at 18:00 in New York on the evening before, and the weekend belongs to Monday; it
knows no holidays, so it needs no calendar and never fails. `SessionCalendar` says whether the
market is open, from tables that `config.calendar` reads once; every query is a binary search.
Intervals are half open: a session holds its first nanosecond and not its close.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from ifd.errors import InputError
from ifd.units import NANOS_PER_SECOND, ns_from_datetime

Hours = Literal["cash", "globex", "always"]
MARKET_ZONE: Final = ZoneInfo("America/New_York")
ROLLOVER_HOUR: Final = 18
"""New York hour at which the next trading date begins: the Globex open after the daily break."""
_NANOS_PER_HOUR: Final = 3_600 * NANOS_PER_SECOND


def session_date(ts_ns: int) -> str:
    """Return the CME trading date of a moment as an ISO date.

    Cheap enough for every batch: New York is always a whole number of hours from UTC, so the date
    can only change at a full hour, and the answer is cached by hour.

    Parameters
    ----------
    ts_ns : int
        Nanoseconds UTC.

    Examples
    --------
    >>> session_date(1_795_729_500_000_000_000)  # Thursday 2026-11-26, 16:45 in New York
    '2026-11-26'
    >>> session_date(1_795_906_800_000_000_000)  # Saturday 2026-11-28
    '2026-11-30'
    """
    return _date_of_hour(ts_ns // _NANOS_PER_HOUR)


@lru_cache(maxsize=4_096)
def _date_of_hour(hour: int) -> str:
    local = dt.datetime.fromtimestamp(hour * 3_600, tz=MARKET_ZONE)
    day = local.date() + dt.timedelta(days=local.hour >= ROLLOVER_HOUR)
    return next_business_date(day).isoformat()


def next_business_date(day: dt.date) -> dt.date:
    """Return `day` itself, or the Monday after when it lies on a weekend."""
    return day + dt.timedelta(days=7 - day.weekday() if day.weekday() >= 5 else 0)


def trading_date_start_ns(day: dt.date) -> int:
    """Return the nanosecond at which the trading date of business day `day` begins."""
    back = 3 if day.weekday() == 0 else 1
    evening = dt.datetime.combine(day - dt.timedelta(days=back), dt.time(ROLLOVER_HOUR))
    return ns_from_datetime(evening.replace(tzinfo=MARKET_ZONE))


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """One opening of the market: `open_ns <= ts < close_ns`, ns UTC."""

    date: str
    kind: str
    open_ns: int
    close_ns: int
    early_close: bool = False


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SessionCalendar:
    """Sessions of one kind in time order, never overlapping; build it with `of`.

    `open_ns` and `close_ns` are int64, shape (sessions,), strictly ascending. Before the first
    and after the last session the calendar knows nothing and answers as if closed.
    """

    sessions: tuple[Session, ...]
    open_ns: npt.NDArray[np.int64]
    close_ns: npt.NDArray[np.int64]
    index_of_date: dict[str, int]

    @classmethod
    def of(cls, sessions: Iterable[Session]) -> SessionCalendar:
        """Return the calendar of these sessions.

        Raises
        ------
        InputError
            If a session ends before it begins, two overlap, or a date comes twice.
        """
        ordered = tuple(sorted(sessions, key=lambda session: session.open_ns))
        _require_disjoint(ordered)
        return cls(
            sessions=ordered,
            open_ns=np.array([session.open_ns for session in ordered], dtype=np.int64),
            close_ns=np.array([session.close_ns for session in ordered], dtype=np.int64),
            index_of_date={session.date: index for index, session in enumerate(ordered)},
        )

    def is_open(self, ts_ns: int) -> bool:
        """Return True inside a session."""
        return self.session_at(ts_ns) is not None

    def session_at(self, ts_ns: int) -> Session | None:
        """Return the session that `ts_ns` lies in, or None while the market is closed."""
        index = int(np.searchsorted(self.open_ns, ts_ns, side="right")) - 1
        if index < 0 or ts_ns >= self.sessions[index].close_ns:
            return None
        return self.sessions[index]

    def session_on(self, date: str) -> Session | None:
        """Return the session of an ISO date, or None on a holiday or weekend."""
        index = self.index_of_date.get(date)
        return None if index is None else self.sessions[index]

    def next_session(self, ts_ns: int) -> Session | None:
        """Return the first session that opens at or after `ts_ns`, or None past the calendar."""
        index = int(np.searchsorted(self.open_ns, ts_ns, side="left"))
        return self.sessions[index] if index < len(self.sessions) else None

    def contains(self, ts_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return for each timestamp whether it lies in a session; the bulk form of `is_open`."""
        if not self.sessions:
            return np.zeros(ts_ns.shape, dtype=np.bool_)
        index = np.searchsorted(self.open_ns, ts_ns, side="right") - 1
        inside: npt.NDArray[np.bool_] = (index >= 0) & (ts_ns < self.close_ns[index])
        return inside

    def __iter__(self) -> Iterator[Session]:
        return iter(self.sessions)

    def __len__(self) -> int:
        return len(self.sessions)


def _require_disjoint(ordered: tuple[Session, ...]) -> None:
    for session in ordered:
        if session.close_ns <= session.open_ns:
            raise InputError(f"the session of {session.date} closes before it opens")
    for before, after in itertools.pairwise(ordered):
        if after.open_ns < before.close_ns:
            raise InputError(f"the sessions of {before.date} and {after.date} overlap")
    if len({session.date for session in ordered}) < len(ordered):
        raise InputError("a date has two sessions of one kind")
