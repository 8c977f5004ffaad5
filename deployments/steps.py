"""Build steps of prefect.yaml: what must be known of this checkout and of the market's calendar."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from config.schedules import SessionSchedules
from config.settings import SessionSettings, load_settings
from ifd.clock import SystemClock
from ifd.sessions import MARKET_ZONE
from ifd.units import utc_from_ns

ROOT: Final = Path(__file__).resolve().parent.parent


def describe_checkout() -> dict[str, str]:
    """Return where this checkout is, how a flow's process is started, and the version deployed."""
    return {
        "directory": str(ROOT),
        "engine": shlex.join([sys.executable, "-m", "prefect.engine"]),
        "version": deployed_version(),
    }


def session_schedules(
    at: Sequence[str] = (), every: Sequence[str] = (), after_close: Sequence[int] = ()
) -> dict[str, str]:
    """Return the recurrence rules that prefect.yaml names: `opening`, `closing`, `early_closing`.

    `every_minute` and `every_five_minutes` are cron lines; a rule of that many moments could not
    name the holidays. All follow `session.hours` and the corrections in `session.calendar_file`.

    Parameters
    ----------
    at : sequence of str
        Times of day, `HH:MM`, on which something runs every trading date: `17:30` gives `at_1730`.
    every : sequence of str
        Minutes from one run to the next while a session lasts, and after a plus how much later:
        `15` gives `every_15`, `15+5` gives `every_15_late_5`.
    after_close : sequence of int
        Minutes after the close, half days included: 5 gives `after_close_5`.
    """
    session = load_settings().session
    rules = SessionSchedules(session.hours, _year(), calendar_file=session.calendar_file)
    return {
        "opening": rules.opening(),
        "closing": rules.closing(),
        "early_closing": rules.early_closing(),
        "every_minute": f"* {rules.watched()}",
        "every_five_minutes": f"*/5 {rules.watched()}",
        **{f"at_{time.replace(':', '')}": rules.at(time) for time in at},
        **{f"every_{each.replace('+', '_late_')}": _every(rules, each) for each in every},
        **{f"after_close_{minutes}": rules.after_close(minutes) for minutes in after_close},
    }


def _every(rules: SessionSchedules, text: str) -> str:
    minutes, _, late = text.partition("+")
    return rules.every(int(minutes), late=int(late or 0))


def deployed_version() -> str:
    """Return 12 hex digits that change whenever deploying again would change anything.

    A deployment holds prefect.yaml, the flows' signatures, the place of checkout and interpreter,
    and the calendar of this year and the next. What flows import is read afresh by every run.
    """
    digest = hashlib.sha256()
    for path in sorted([ROOT / "prefect.yaml", *(ROOT / "flows").glob("*.py")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    session = load_settings().session
    digest.update(session.calendar_file.read_bytes() + b"\0")
    for part in (str(ROOT), sys.executable, version("prefect"), *_calendar_parts(session)):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:12]


def _calendar_parts(session: SessionSettings) -> tuple[str, ...]:
    # The simulated exchange keeps the schedules of the cash session.
    hours = "cash" if session.hours == "always" else session.hours
    return hours, str(_year()), version("pandas-market-calendars")


def _year() -> int:
    return utc_from_ns(SystemClock().now_ns()).astimezone(MARKET_ZONE).year
