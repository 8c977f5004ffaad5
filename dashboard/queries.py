"""What the dashboard reads from the shared tables, as JSON objects; it never writes.

Column names go to the screen unchanged. Two things are converted: prices of bars become points
and their times seconds, as the chart draws them. Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.units import NANOS_PER_SECOND, price_to_float
from models.gates import closed_gates
from models.market import BarRow
from models.operations import HealthSampleRow
from models.runs import latest_run
from models.signals import SignalRow

Json = dict[str, Any]

SNAPSHOT_BARS: Final = {60: 1_200, 300: 1_000}
"""Seconds of an interval → newest bars of it a page starts with."""
SNAPSHOT_SIGNALS: Final = 500
STREAM_COMPONENT: Final = "stream"
_LEAD_LOOKBACK_NS: Final = 3_600 * NANOS_PER_SECOND
_DELIVERY: Final = ("id", "run_id", "source", "late", "received_ns", "committed_ns")


@dataclasses.dataclass(frozen=True, slots=True)
class Future:
    """The future whose candles are drawn."""

    instrument_id: int
    raw_symbol: str
    session_date: str
    volume: int


def signal_json(row: SignalRow) -> Json:
    """Return a signal as the contract has it, and how it was delivered."""
    return row.to_signal_json() | {name: getattr(row, name) for name in _DELIVERY}


def bar_json(row: BarRow) -> Json:
    """Return a bar with prices in points, `interval_s` and `start_s` in seconds."""
    return {
        "raw_symbol": row.raw_symbol,
        "interval_s": row.interval_ns // NANOS_PER_SECOND,
        "start_s": row.start_ns // NANOS_PER_SECOND,
        "open": price_to_float(row.open),
        "high": price_to_float(row.high),
        "low": price_to_float(row.low),
        "close": price_to_float(row.close),
        "volume": row.volume,
        "trades": row.trades,
        "closed": row.closed,
    }


def recent_signals(
    session: Session, *, limit: int, min_confidence: float = 0.0, before: int | None = None
) -> list[Json]:
    """Return the newest signals, newest first.

    Parameters
    ----------
    before : int, optional
        Only rows with a lower `id`: the next page of an earlier answer.
    """
    statement = select(SignalRow).where(col(SignalRow.confidence) >= min_confidence)
    if before is not None:
        statement = statement.where(col(SignalRow.id) < before)
    rows = session.exec(statement.order_by(col(SignalRow.id).desc()).limit(limit))
    return [signal_json(row) for row in rows]


def find_signal(session: Session, signal_id: str) -> Json | None:
    """Return one signal of any age, or None when the id is unknown."""
    row = session.exec(select(SignalRow).where(SignalRow.signal_id == signal_id)).first()
    return None if row is None else signal_json(row)


def recent_bars(
    session: Session, future: Future | None, *, interval_s: int, limit: int
) -> list[Json]:
    """Return the newest bars of one interval, oldest first."""
    if future is None:
        return []
    rows = session.exec(
        select(BarRow)
        .where(
            BarRow.instrument_id == future.instrument_id,
            BarRow.raw_symbol == future.raw_symbol,  # ids are used again for other names
            BarRow.interval_ns == interval_s * NANOS_PER_SECOND,
        )
        .order_by(col(BarRow.start_ns).desc())
        .limit(limit)
    ).all()
    return [bar_json(row) for row in reversed(rows)]


def lead_future(session: Session, held: Future | None = None) -> Future | None:
    """Return the future that trades most: the latest session first, then the volume.

    Parameters
    ----------
    held : Future, optional
        The one shown now; another must trade twice as much to replace it, so that two expiries
        of nearly equal volume do not alternate on the screen.
    """
    newest_ns = session.exec(select(sa.func.max(BarRow.updated_ns))).one()
    if newest_ns is None:
        return None
    volume = sa.func.sum(BarRow.volume)
    names = (BarRow.instrument_id, BarRow.raw_symbol, BarRow.session_date)
    rows = session.execute(
        sa.select(*names, volume)  # type: ignore[call-overload]
        .where(col(BarRow.updated_ns) >= newest_ns - _LEAD_LOOKBACK_NS)
        .group_by(*names)
        .order_by(col(BarRow.session_date).desc(), volume.desc(), col(BarRow.instrument_id))
    )
    futures = [Future(one, name, date, int(lots)) for one, name, date, lots in rows]
    lead = futures[0]
    if held is None:
        return lead
    kept = next((f for f in futures if _same(f, held)), None)
    return kept if kept is not None and lead.volume < 2 * kept.volume else lead


def _same(one: Future, other: Future) -> bool:
    return (one.instrument_id, one.raw_symbol) == (other.instrument_id, other.raw_symbol)


def newest_run(session: Session) -> Json | None:
    """Return the newest stream run, or None before the first."""
    row = latest_run(session)
    return None if row is None else row.model_dump()


def newest_health(session: Session) -> Json | None:
    """Return the stream's newest health sample, or None before the first."""
    row = session.exec(
        select(HealthSampleRow)
        .where(HealthSampleRow.component == STREAM_COMPONENT)
        .order_by(col(HealthSampleRow.ts_ns).desc(), col(HealthSampleRow.id).desc())
        .limit(1)
    ).first()
    return None if row is None else row.model_dump()


def held_sessions(session: Session) -> str | None:
    """Return in words which sessions' alerts are held, and why; None when none is."""
    gates = closed_gates(session)
    if not gates:
        return None
    told = (f"{gate.shard} {gate.session_date} ({', '.join(gate.checks)})" for gate in gates)
    return f"Data checks failed, alerts are held: {'; '.join(told)}. Do not act on its signals."


def snapshot(engine: Engine, held: Future | None = None) -> Json:
    """Return everything a page needs to start with: `future`, `bars`, `signals`, `run`, `health`.

    `bars` is one list, oldest first within each interval; `signals` is newest first.
    """
    with Session(engine) as session:
        future = held or lead_future(session)
        return {
            "future": future and {"raw_symbol": future.raw_symbol},
            "bars": [
                bar
                for interval_s, limit in SNAPSHOT_BARS.items()
                for bar in recent_bars(session, future, interval_s=interval_s, limit=limit)
            ],
            "signals": recent_signals(session, limit=SNAPSHOT_SIGNALS),
            "run": newest_run(session),
            "health": newest_health(session),
        }
