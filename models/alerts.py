"""The alert outbox: stored with its subject, claimed by one worker at a time, settled once.

    pending ──claim──► sending ──► sent
       ▲                  ├──────► pending  (not delivered, due again later)
       │                  ├──────► failed   (refused, or tried too often)
       │                  └──────► unknown  (perhaps delivered: must be looked up)
       └──── absent ◄──look-up───────┘──────► sent

A claim is a lease that ends at `next_try_ns`. A worker that dies leaves a `sending` row whose lease
runs out; whoever finds it must treat it as unknown, for the message may have gone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, SQLModel, col, select

from models.base import transaction
from models.market import InstrumentRow
from models.signals import AlertOutboxRow, NoticeRow, SignalRow

NEVER: Final = 2**63 - 1
"""A `next_try_ns` that is never due."""
OPEN_STATES: Final = ("pending", "sending", "unknown")
STATES: Final = ("pending", "sending", "sent", "unknown", "failed")


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """An alert in hand: of a signal or of a notice, never of both.

    `uncertain` is True when an earlier attempt may have been delivered; `multiplier` is US dollars
    a point, None when no definition of the instrument is stored.
    """

    alert: AlertOutboxRow
    signal: SignalRow | None
    notice: NoticeRow | None
    multiplier: float | None
    uncertain: bool


def store_signals(session: Session, signals: Iterable[SignalRow]) -> list[SignalRow]:
    """Insert the signals that are not there yet, and return those.

    Raises
    ------
    sqlalchemy.exc.IntegrityError
        If another process stored one of them in this moment; a second call then sees it.
    """
    by_id = {row.signal_id: row for row in signals}
    known = session.exec(select(SignalRow.signal_id).where(col(SignalRow.signal_id).in_(by_id)))
    for signal_id in known:
        del by_id[signal_id]
    _insert(session, by_id.values())
    return list(by_id.values())


def queue_alerts(
    session: Session, signals: Iterable[SignalRow], channel: str, *, now_ns: int
) -> int:
    """Owe an alert for each of the signals, which were stored in this transaction."""
    return _insert(
        session,
        [
            AlertOutboxRow(
                signal_id=row.signal_id, channel=channel, created_ns=now_ns, next_try_ns=now_ns
            )
            for row in signals
        ],
    )


def claim_due(
    engine: Engine, *, now_ns: int, lease_ns: int, without: Collection[str] = ()
) -> Claim | None:
    """Take the oldest alert that is due, or return None.

    Parameters
    ----------
    lease_ns : int
        How long nobody else may take it; longer than a request can last.
    without : collection of str
        Channels that must wait.
    """
    with transaction(engine) as session:
        alert = session.exec(
            select(AlertOutboxRow)
            .where(
                col(AlertOutboxRow.state).in_(OPEN_STATES),
                AlertOutboxRow.next_try_ns <= now_ns,
                col(AlertOutboxRow.channel).not_in(without),
            )
            .order_by(col(AlertOutboxRow.id))
            .limit(1)
        ).first()
        if alert is None:
            return None
        uncertain = alert.state != "pending"
        taken = session.connection().execute(
            sa.update(AlertOutboxRow)
            .where(
                col(AlertOutboxRow.id) == alert.id,
                col(AlertOutboxRow.state) == alert.state,
                col(AlertOutboxRow.next_try_ns) == alert.next_try_ns,
            )
            .values(
                state="unknown" if uncertain else "sending",
                attempts=alert.attempts + (0 if uncertain else 1),
                next_try_ns=now_ns + lease_ns,
            )
        )
        if taken.rowcount != 1:  # another worker was faster
            return None
        session.refresh(alert)
        if alert.notice_key is not None:
            notice = session.get_one(NoticeRow, alert.notice_key)
            return Claim(alert, None, notice, None, uncertain)
        signal = session.exec(select(SignalRow).where(SignalRow.signal_id == alert.signal_id)).one()
        instrument = session.get(InstrumentRow, (signal.session_date, signal.instrument_id))
        return Claim(alert, signal, None, instrument.multiplier if instrument else None, uncertain)


def mark_sent(
    engine: Engine, alert: AlertOutboxRow, *, message_ts: str | None, now_ns: int
) -> None:
    """Note that the alert is delivered."""
    _settle(engine, alert, state="sent", sent_ns=now_ns, message_ts=message_ts, error=None)


def put_back(
    engine: Engine, alert: AlertOutboxRow, *, next_try_ns: int, error: str | None, counted: bool
) -> None:
    """Note that the alert was not delivered and is due again at `next_try_ns`.

    Parameters
    ----------
    counted : bool
        False when the attempt says nothing about this alert: a rate limit, no network.
    """
    attempts = alert.attempts if counted else max(alert.attempts - 1, 0)
    _settle(engine, alert, state="pending", next_try_ns=next_try_ns, error=error, attempts=attempts)


def mark_unknown(engine: Engine, alert: AlertOutboxRow, *, look_up_ns: int, error: str) -> None:
    """Note that nobody can say whether it was delivered; `look_up_ns` may be `NEVER`."""
    _settle(engine, alert, state="unknown", next_try_ns=look_up_ns, error=error)


def mark_failed(engine: Engine, alert: AlertOutboxRow, *, error: str) -> None:
    """Give the alert up."""
    _settle(engine, alert, state="failed", error=error)


def next_due_ns(engine: Engine, *, without: Collection[str] = ()) -> int:
    """Return when the next open alert is due, `NEVER` when none is."""
    with Session(engine) as session:
        due = session.exec(
            select(sa.func.min(AlertOutboxRow.next_try_ns)).where(
                col(AlertOutboxRow.state).in_(OPEN_STATES),
                col(AlertOutboxRow.channel).not_in(without),
            )
        ).one()
        return NEVER if due is None else int(due)


def count_states(engine: Engine) -> dict[str, int]:
    """Return how many alerts are in each state, zero included."""
    with Session(engine) as session:
        found = session.exec(
            select(AlertOutboxRow.state, sa.func.count()).group_by(AlertOutboxRow.state)
        ).all()
        return dict.fromkeys(STATES, 0) | dict(found)


def _settle(engine: Engine, alert: AlertOutboxRow, **columns: Any) -> None:
    # Any: one value for each column that changes.
    with transaction(engine) as session:
        session.connection().execute(
            sa.update(AlertOutboxRow).where(col(AlertOutboxRow.id) == alert.id).values(**columns)
        )


def _insert(session: Session, rows: Collection[SQLModel]) -> int:
    if rows:
        table = type(next(iter(rows))).__table__  # type: ignore[attr-defined]
        values = [row.model_dump(exclude={"id"}) for row in rows]
        session.connection().execute(sa.insert(table), values)
    return len(rows)
