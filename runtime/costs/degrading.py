"""What a used-up budget of the live feed stops: nothing, the filling of holes, or the streams too.

Only where the feed is billed by the byte: a subscription costs the same however long it streams.
It is asked of the ledger each time, so a cap that is raised is in force at once.
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy.engine import Engine
from sqlmodel import Session

from config.settings import Settings
from ifd.errors import StreamingSpentError
from models.caps import committed, day_of
from models.streaming_costs import STREAMING
from runtime.caps import caps_of

Subject = Literal["streams are stopped", "holes are not filled"]
_STOPS: dict[Subject, tuple[str, ...]] = {
    "streams are stopped": ("stop",),
    "holes are not filled": ("stop-backfill", "stop"),
}


def stopped(
    session: Session, settings: Settings, subject: Subject, *, now_ns: int
) -> StreamingSpentError | None:
    """Return why something is stopped now, or None when it may go on."""
    if (
        settings.costs.live != "usage"
        or settings.budget.when_streaming_spent not in _STOPS[subject]
    ):
        return None
    used = committed(session, STREAMING, now_ns=now_ns)
    caps = caps_of(settings.budget, STREAMING)
    day = day_of(now_ns)
    # The month first: it lasts longer.
    for period, spent, cap in (
        (day[:7], used.month_micro_dollars, caps.monthly_micro_dollars),
        (day, used.day_micro_dollars, caps.daily_micro_dollars),
    ):
        if spent >= cap:
            return StreamingSpentError(
                subject, period, spent_micro_dollars=spent, cap_micro_dollars=cap
            )
    return None


def why_stopped(settings: Settings, engine: Engine, *, now_ns: int) -> list[str]:
    """Return a sentence for everything that is stopped now."""
    with Session(engine) as session:
        found = (stopped(session, settings, subject, now_ns=now_ns) for subject in _STOPS)
        return [str(error) for error in found if error is not None]


def require_money(settings: Settings, engine: Engine, subject: Subject, *, now_ns: int) -> None:
    """Return when something may go on.

    Raises
    ------
    StreamingSpentError
        If the live feed has used up its budget and the profile says that this then stops.
    """
    with Session(engine) as session:
        error = stopped(session, settings, subject, now_ns=now_ns)
    if error is not None:
        raise error
