"""What prices did after each signal: one row a signal, a subject and a horizon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sqlmodel import Field, Session, SQLModel, col, select

from models.base import BigInt, upsert
from models.market import InstrumentRow
from models.operations import StreamRunRow
from models.signals import SignalRow

MISSING_REASONS: Final = (
    "closed",
    "not-received",
    "halted",
    "incomplete",
    "no-quote",
    "crossed",
    "not-listed",
)
"""Why a mid is not there: after the close, in a gap, trading stopped, orders may rest that were
never seen, an empty side, a bid that meets its ask, or no definition of the future."""
_ROWS_A_STATEMENT: Final = 500


class SignalOutcomeRow(SQLModel, table=True):
    """How the mid of the option, or of its future, moved in a time after a signal.

    Mids and moves are in 1e-9. `move` is signed in the signal's direction: positive is what the
    institution gained. `control_move` is the mean move, signed alike, from `controls` random
    moments of the same instrument and half hour. What is missing is NULL, and `missing` says why.
    """

    __tablename__ = "signal_outcome"

    signal_id: str = Field(primary_key=True, max_length=16, foreign_key="signal.signal_id")
    subject: str = Field(primary_key=True, max_length=8)
    horizon_minutes: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    instrument_id: int | None = Field(default=None, sa_type=BigInt)
    start_ns: int = Field(sa_type=BigInt)
    end_ns: int = Field(sa_type=BigInt)
    start_mid: int | None = Field(default=None, sa_type=BigInt)
    end_mid: int | None = Field(default=None, sa_type=BigInt)
    move: int | None = Field(default=None, sa_type=BigInt)
    missing: str | None = Field(default=None, max_length=16)
    control_move: float | None = None
    controls: int
    computed_ns: int = Field(sa_type=BigInt)


def signals_of(session: Session, shard: str, session_date: str) -> list[SignalRow]:
    """Return the signals of a session in order of time.

    Those of a run of another shard are left out; those made anew from the archive have no run.
    """
    others = select(StreamRunRow.id).where(StreamRunRow.shard != shard)
    query = select(SignalRow).where(
        SignalRow.session_date == session_date,
        col(SignalRow.run_id).is_(None) | col(SignalRow.run_id).not_in(others),
    )
    return list(session.exec(query.order_by(col(SignalRow.ts_event), col(SignalRow.signal_id))))


def futures_of(session: Session, names: Iterable[str], session_date: str) -> dict[str, int]:
    """Return the instrument ids of futures by their symbol, as they were on a session date.

    That is the newest definition not after it, before the first one the first; what was never
    defined is left out.
    """
    rows = session.exec(
        select(InstrumentRow)
        .where(col(InstrumentRow.raw_symbol).in_(sorted(set(names))))
        .where(InstrumentRow.instrument_class == "F")
        .order_by(col(InstrumentRow.session_date))
    )
    found: dict[str, int] = {}
    for row in rows:
        if row.session_date <= session_date or row.raw_symbol not in found:
            found[row.raw_symbol] = row.instrument_id
    return found


def store_outcomes(session: Session, rows: Sequence[SignalOutcomeRow]) -> None:
    """Store outcomes; one that is stored already is written anew."""
    values = [row.model_dump() for row in rows]
    for first in range(0, len(values), _ROWS_A_STATEMENT):
        upsert(session, SignalOutcomeRow, values[first : first + _ROWS_A_STATEMENT])


def sessions_to_measure(session: Session, shard: str) -> list[str]:
    """Return the session dates on which some signal has no outcome, oldest first."""
    others = select(StreamRunRow.id).where(StreamRunRow.shard != shard)
    measured = select(SignalOutcomeRow.signal_id)
    query = (
        select(SignalRow.session_date)
        .where(col(SignalRow.run_id).is_(None) | col(SignalRow.run_id).not_in(others))
        .where(col(SignalRow.signal_id).not_in(measured))
        .distinct()
        .order_by(col(SignalRow.session_date))
    )
    return list(session.exec(query))


def measured_sessions(session: Session) -> list[str]:
    """Return the session dates of which any signal has an outcome, oldest first."""
    query = (
        select(SignalRow.session_date)
        .where(SignalRow.signal_id == SignalOutcomeRow.signal_id)
        .distinct()
        .order_by(col(SignalRow.session_date))
    )
    return list(session.exec(query))


def read_outcomes(
    session: Session, session_dates: Iterable[str]
) -> list[tuple[SignalRow, SignalOutcomeRow]]:
    """Return the outcomes of the signals of some sessions beside their signals, in order."""
    query = (
        select(SignalRow, SignalOutcomeRow)
        .where(SignalRow.signal_id == SignalOutcomeRow.signal_id)
        .where(col(SignalRow.session_date).in_(sorted(set(session_dates))))
        .order_by(
            col(SignalRow.ts_event),
            col(SignalRow.signal_id),
            col(SignalOutcomeRow.subject),
            col(SignalOutcomeRow.horizon_minutes),
        )
    )
    return [(signal, outcome) for signal, outcome in session.exec(query)]
