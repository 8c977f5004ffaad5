"""Alarms of the budget: told once, in the transaction that reaches a share of a cap.

All who book hold one lock, so two processes that pass a mark together tell of it once. Of several
marks that are passed at once the highest is told; a lower one would only repeat it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlmodel import Session, col, select

from models.caps import Caps, Committed
from models.money import BudgetAlarmRow
from models.notices import queue_notice
from models.signals import NoticeRow

PERCENTS: Final = (80, 100)


def tell_alarms(
    session: Session,
    kind: str,
    used: Committed,
    caps: Caps,
    *,
    day: str,
    now_ns: int,
    channel: str | None,
    then: str,
    refused_micro_dollars: int = 0,
) -> list[str]:
    """Store and queue the alarms that are due for a UTC day and its month; return their texts.

    The caller holds the lock of `models.caps.take_turns`.

    Parameters
    ----------
    used : Committed
        What the kind has committed in the day and its month.
    channel : str, optional
        Where alarms are owed; None keeps them in their table alone.
    then : str
        A sentence: what happens when a cap is used up.
    refused_micro_dollars : int
        What was asked for and refused. A cap counts as used up when it is too small for the rest
        of it; not when the request alone is larger than the cap, which is the request's own fault.
    """
    told = []
    for period, amount, cap in _spans(used, caps, day):
        percent = _reached(amount, cap, refused_micro_dollars)
        if percent is None or _was_told(session, kind, period, percent):
            continue
        text = _words(kind, period, amount, cap)
        if refused_micro_dollars and amount < cap:
            text += f" ${refused_micro_dollars / 1e6:,.2f} more was asked for and refused."
        session.add(BudgetAlarmRow(kind=kind, period=period, percent=percent, sent_ns=now_ns))
        notice = NoticeRow(
            notice_key=f"budget-{kind}-{period}-{percent}",
            title=_title(kind, period, percent),
            text=f"{text} {then}",
            created_ns=now_ns,
        )
        queue_notice(session, notice, channel)
        told.append(text)
    return told


def _spans(used: Committed, caps: Caps, day: str) -> Iterator[tuple[str, int, int]]:
    yield day, used.day_micro_dollars, caps.daily_micro_dollars
    yield day[:7], used.month_micro_dollars, caps.monthly_micro_dollars


def _reached(amount: int, cap: int, refused: int) -> int | None:
    """Return the highest mark that was reached, in percent of the cap."""
    if 0 < refused <= cap < amount + refused:
        return PERCENTS[-1]
    marks = [percent for percent in PERCENTS if amount > 0 and 100 * amount >= percent * cap]
    return max(marks, default=None)


def _was_told(session: Session, kind: str, period: str, percent: int) -> bool:
    query = select(BudgetAlarmRow.percent).where(
        BudgetAlarmRow.kind == kind,
        BudgetAlarmRow.period == period,
        col(BudgetAlarmRow.percent) >= percent,
    )
    return session.exec(query).first() is not None


def _title(kind: str, period: str, percent: int) -> str:
    if percent < PERCENTS[-1]:
        return f"{percent} % of the budget of {kind} for {period} is used"
    return f"The budget of {kind} for {period} is used up"


def _words(kind: str, period: str, amount: int, cap: int) -> str:
    share = f" ({100 * amount // cap} %)" if cap else ""
    return (
        f"{kind} has committed ${amount / 1e6:,.2f} of ${cap / 1e6:,.2f}{share} in {period} (UTC)."
    )
