"""Who is meant on which day: ids and names are used again, so every answer has a date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import databento_dbn as dbn

from ifd.units import utc_from_ns
from simulator.live.symbology import Symbology


@dataclass(frozen=True, slots=True)
class Interval:
    """What a name stands for from `first` up to `after` (exclusive)."""

    first: dt.date
    after: dt.date
    symbol: str


class DatedSymbology:
    """The instruments of every day.

    A definition speaks from its own date until the next one of the same id; before its first, an id
    means what that first one says, since a listing may be published after the session has begun.
    """

    def __init__(self) -> None:
        self._definitions: dict[int, dict[dt.date, dbn.InstrumentDefMsg]] = {}
        self._names: list[tuple[str, int, dt.date, dt.date]] = []
        self._of_day: dict[dt.date, Symbology] = {}

    def add_definition(self, message: dbn.InstrumentDefMsg) -> None:
        """Take in a definition; a later one of the same id and date replaces the earlier."""
        day = utc_from_ns(message.ts_recv).date()
        self._definitions.setdefault(message.instrument_id, {})[day] = message
        self._of_day.clear()

    def add_names(self, mappings: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        """Take in the names of a file's header."""
        # Any: an interval is a dictionary of dates and one id, as the decoder gives it.
        for name, intervals in mappings.items():
            for interval in intervals:
                if str(interval["symbol"]).isdecimal():
                    dates = interval["start_date"], interval["end_date"]
                    self._names.append((name, int(interval["symbol"]), *dates))
        self._of_day.clear()

    def on(self, day: dt.date) -> Symbology:
        """Return who is who on a day, UTC."""
        known = self._of_day.get(day)
        if known is None:
            names = {
                name: ident for name, ident, first, after in self._names if first <= day < after
            }
            known = self._of_day[day] = Symbology(self._in_force(day), names)
        return known

    def intervals(
        self, symbols: Iterable[str], stype_in: str, days: Iterable[dt.date]
    ) -> dict[tuple[str, str], list[Interval]]:
        """Return the ids that symbols mean, as intervals of days in a row.

        The key is the symbol that was asked for and the instrument's own name.
        """
        found: dict[tuple[str, str], list[Interval]] = {}
        asked = tuple(symbols)
        for day in days:
            after = day + dt.timedelta(days=1)
            for one in self.on(day).resolve(asked, stype_in)[0]:
                intervals = found.setdefault((one.asked, one.raw_symbol), [])
                ident = str(one.instrument_id)
                if intervals and intervals[-1].after == day and intervals[-1].symbol == ident:
                    intervals[-1] = Interval(intervals[-1].first, after, ident)
                else:
                    intervals.append(Interval(day, after, ident))
        return found

    def _in_force(self, day: dt.date) -> Iterator[dbn.InstrumentDefMsg]:
        for by_date in self._definitions.values():
            known = [date for date in by_date if date <= day]
            yield by_date[max(known) if known else min(by_date)]


def days_between(start: dt.date, after: dt.date) -> list[dt.date]:
    """Return every date from `start` up to `after` (exclusive)."""
    return [start + dt.timedelta(days=number) for number in range((after - start).days)]
