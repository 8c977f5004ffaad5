"""Build the session calendar from pandas-market-calendars and our corrections of it.

The library is asked once, for a few years, and turned into integer nanoseconds; nothing else in
the project may ask it, because one of its answers takes milliseconds. Published calendars are
wrong on some holidays: `config/calendar.yaml` corrects them by date, and a user may add to it.
"""

from __future__ import annotations

import datetime as dt
import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from config.settings import CONFIG_DIR
from ifd.errors import ConfigurationError
from ifd.sessions import (
    MARKET_ZONE,
    ROLLOVER_HOUR,
    Hours,
    Session,
    SessionCalendar,
    trading_date_start_ns,
)
from ifd.units import ns_from_datetime, utc_from_ns

CALENDAR_FILE: Final = CONFIG_DIR / "calendar.yaml"
_LIBRARY_NAMES: Final = {"cash": "NYSE", "globex": "CME Globex Equity"}
_REGULAR_CLOSE: Final = {"cash": dt.time(16), "globex": dt.time(17)}


def _time_of_day(value: Any) -> dt.time:
    # Any: what YAML made of it. Unquoted, YAML 1.1 reads 13:15 as the number 795.
    if not isinstance(value, str):
        raise ValueError(f'a time is written in quotes, "13:15", but was {value!r}')  # noqa: TRY004 (pydantic reports ValueError)
    return dt.time.fromisoformat(value)


TimeOfDay = Annotated[dt.time, BeforeValidator(_time_of_day)]


class SessionOverride(BaseModel):
    """One correction of one trading date; times are New York times."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    date: dt.date
    closed: bool = False
    open: TimeOfDay | None = None
    close: TimeOfDay | None = None
    source: str

    @model_validator(mode="after")
    def _says_one_thing(self) -> SessionOverride:
        if self.closed == (self.open is not None or self.close is not None):
            raise ValueError("say either closed: true, or an open or close time")
        return self


class CalendarOverrides(BaseModel):
    """Every correction, by kind of session."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cash: tuple[SessionOverride, ...] = ()
    globex: tuple[SessionOverride, ...] = ()


def load_overrides(path: Path = CALENDAR_FILE) -> CalendarOverrides:
    """Return the corrections of `path`.

    Raises
    ------
    ConfigurationError
        If the file cannot be read or says something that is not a correction.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return CalendarOverrides.model_validate(values)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors()
        )
        raise ConfigurationError(f"{path} cannot be used: {problems}") from None


def calendar_around(
    hours: Hours, now_ns: int, *, overrides: CalendarOverrides | None = None
) -> SessionCalendar:
    """Return the calendar from a year before to a year after `now_ns`."""
    today = utc_from_ns(now_ns).date()
    year = dt.timedelta(days=366)
    return build_calendar(hours, today - year, today + year, overrides=overrides)


def build_calendar(
    hours: Hours, first: dt.date, last: dt.date, *, overrides: CalendarOverrides | None = None
) -> SessionCalendar:
    """Return the sessions whose trading date lies in `first..last`, both included.

    Parameters
    ----------
    hours : {"cash", "globex", "always"}
        `always` is the simulated exchange: one session after the other, without a break.
    overrides : CalendarOverrides, optional
        Those of `config/calendar.yaml` when absent.
    """
    if hours == "always":
        return SessionCalendar.of(_unbroken(first, last))
    chosen = load_overrides() if overrides is None else overrides
    sessions = {session.date: session for session in _published(hours, first, last)}
    for override in getattr(chosen, hours):
        if first <= override.date <= last:
            _apply(sessions, hours, override)
    return SessionCalendar.of(sessions.values())


def _published(hours: Hours, first: dt.date, last: dt.date) -> Iterator[Session]:
    # Imported here: it takes more than a second, and the simulated exchange has no need of it.
    import pandas_market_calendars  # type: ignore[import-untyped]

    calendar = pandas_market_calendars.get_calendar(_LIBRARY_NAMES[hours])
    with warnings.catch_warnings():
        # It calls what pandas is going to rename; no user of a command can do anything about it.
        warnings.filterwarnings("ignore", "Series.dt.weekday", DeprecationWarning)
        schedule = calendar.schedule(start_date=first.isoformat(), end_date=last.isoformat())
    for row in schedule.itertuples():
        open_ns = ns_from_datetime(row.market_open.to_pydatetime())
        close_ns = ns_from_datetime(row.market_close.to_pydatetime())
        yield _session(hours, row.Index.date(), open_ns, close_ns)


def _session(hours: Hours, day: dt.date, open_ns: int, close_ns: int) -> Session:
    local_close = utc_from_ns(close_ns).astimezone(MARKET_ZONE).time()
    early = local_close < _REGULAR_CLOSE[hours]
    return Session(day.isoformat(), hours, open_ns, close_ns, early_close=early)


def _apply(sessions: dict[str, Session], hours: Hours, override: SessionOverride) -> None:
    date = override.date.isoformat()
    if override.closed:
        sessions.pop(date, None)
        return
    known = sessions.get(date)
    if known is None and (override.open is None or override.close is None):
        raise ConfigurationError(
            f"{hours} {date} is no session in the published calendar: "
            "to add one, give both open and close"
        )
    open_ns = known.open_ns if known else 0
    if override.open is not None:
        back = dt.timedelta(days=override.open.hour >= ROLLOVER_HOUR)
        open_ns = _market_time_ns(override.date - back, override.open)
    close_ns = known.close_ns if known else 0
    if override.close is not None:
        close_ns = _market_time_ns(override.date, override.close)
    sessions[date] = _session(hours, override.date, open_ns, close_ns)


def _market_time_ns(day: dt.date, time: dt.time) -> int:
    return ns_from_datetime(dt.datetime.combine(day, time, tzinfo=MARKET_ZONE))


def _unbroken(first: dt.date, last: dt.date) -> Iterator[Session]:
    # Four days more, so that the last trading date finds where the one after it begins.
    days = (first + dt.timedelta(days=n) for n in range((last - first).days + 5))
    starts = ((day, trading_date_start_ns(day)) for day in days if day.weekday() < 5)
    for (day, start), (_, end) in itertools.pairwise(starts):
        if day <= last:
            yield Session(day.isoformat(), "always", start, end)
