"""Notices to operators: a fact about the platform itself, told once, whoever notices it.

The key names the fact. It is stored with the act it tells of and with what the outbox then owes, in
one transaction, so that a crash loses no notice and two watchers double none.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlmodel import Session, col, func, select

from models.operations import StreamRunRow
from models.signals import AlertOutboxRow, NoticeRow

NOTICE_KIND: Final = "notice"


def queue_notice(session: Session, notice: NoticeRow, channel: str | None) -> bool:
    """Store a notice and owe its delivery; return False when it was stored before.

    Parameters
    ----------
    channel : str, optional
        Where it is owed; None, while Slack is not set up, keeps it in its table alone.

    Raises
    ------
    sqlalchemy.exc.IntegrityError
        If another process stored it in this moment; a second call then sees it.
    """
    if session.get(NoticeRow, notice.notice_key) is not None:
        return False
    session.add(notice)
    session.flush()
    if channel is not None:
        session.add(
            AlertOutboxRow(
                notice_key=notice.notice_key,
                channel=channel,
                kind=NOTICE_KIND,
                created_ns=notice.created_ns,
                next_try_ns=notice.created_ns,
            )
        )
    return True


def run_key(run_id: int | None, fact: str) -> str:
    """Return the key of a fact about a run: `run-17-ended`."""
    return f"run-{run_id}-{fact}"


def count_told(session: Session, shard: str, fact: str, *, since_ns: int) -> int:
    """Return how often a fact about runs of `shard` was told since `since_ns`."""
    keys = select("run-" + sa.cast(col(StreamRunRow.id), sa.String) + f"-{fact}").where(
        StreamRunRow.shard == shard
    )
    return session.exec(
        select(func.count()).where(
            col(NoticeRow.notice_key).in_(keys), NoticeRow.created_ns >= since_ns
        )
    ).one()
