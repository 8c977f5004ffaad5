"""The end of a day: book the live feed, tell the alarms that are due, and queue the digest."""

from __future__ import annotations

import datetime as dt
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from config.settings import Settings
from ifd.errors import InputError
from ifd.sessions import MARKET_ZONE
from ifd.units import utc_from_ns
from models.alarms import tell_alarms
from models.base import transaction
from models.budget import THEN
from models.caps import committed_on, take_turns
from models.notices import queue_notice
from models.signals import NoticeRow
from models.streaming_costs import STREAMING
from runtime.caps import KINDS, caps_of
from runtime.costs.figures import CostReport
from runtime.costs.report import day_from
from runtime.costs.streaming import book_streaming
from runtime.costs.words import digest

_EVENING: Final = dt.timedelta(hours=17, minutes=30)
"""In New York: the report comes at 18:00, a little early at times, and late after an outage."""


def reported_day(now_ns: int, *, asked: str | None = None) -> str:
    """Return the day that is asked for, else the one whose evening in New York it is, or was last.

    Raises
    ------
    InputError
        If what is asked for is no day, or one that is still to come.

    Examples
    --------
    >>> reported_day(1_795_820_400_000_000_000)  # Friday 2026-11-27, 18:00 in New York
    '2026-11-27'
    >>> reported_day(1_795_836_600_000_000_000)  # late: 22:30, which is Saturday in UTC
    '2026-11-27'
    """
    if asked is not None:
        if day_from(asked) > utc_from_ns(now_ns).date():
            raise InputError(f"{asked} is still to come: nothing of it is spent")
        return asked
    return str((utc_from_ns(now_ns).astimezone(MARKET_ZONE).replace(tzinfo=None) - _EVENING).date())


def close_day(settings: Settings, engine: Engine, *, day: str, now_ns: int) -> int:
    """Book the live feed up to a day and tell all alarms that are due; return what is new."""
    booked = book_streaming(settings, engine, day=day, now_ns=now_ns)
    with transaction(engine) as session:
        take_turns(session)
        for kind in KINDS:
            if kind != STREAMING:  # told with its booking
                tell_alarms(
                    session,
                    kind,
                    committed_on(session, kind, day),
                    caps_of(settings.budget, kind),
                    day=day,
                    now_ns=now_ns,
                    channel=settings.alert_channel,
                    then=THEN,
                )
    return booked


def queue_digest(settings: Settings, engine: Engine, report: CostReport, *, now_ns: int) -> bool:
    """Owe the digest of a day to Slack; return False when it is known already."""
    notice = NoticeRow(
        notice_key=f"costs-{report.day}",
        title=f"Costs of {report.day}",
        text=digest(report),
        created_ns=now_ns,
    )
    try:
        with transaction(engine) as session:
            return queue_notice(session, notice, settings.alert_channel)
    except sa.exc.IntegrityError:  # another run told of it in this moment
        return False
