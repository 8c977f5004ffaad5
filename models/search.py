"""Find stored signals, and everything stored that explains one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from ifd.baseline.keys import ALL_OPTIONS, time_bucket
from ifd.errors import InputError
from ifd.params import BaselineParams, EngineParams, WindowParams
from models.market import BaselineRow, PressureWindowRow
from models.operations import ProfileVersionRow
from models.signals import AlertOutboxRow, SignalRow

ROWS_AT_ONCE: Final = 500


@dataclasses.dataclass(frozen=True, slots=True)
class SignalFilter:
    """Which signals are wanted; None wants them all."""

    session_date: str | None = None
    min_confidence: float | None = None
    side: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """A signal with what it came from and what came of it; None or empty where nothing is stored.

    `baselines` are those of its time of day that are stored now, for its own strike and for all
    options: they may be newer than the one it was judged by, which its reasons quote.
    """

    signal: SignalRow
    window: PressureWindowRow | None
    baselines: list[BaselineRow]
    params: dict[str, Any] | None
    alerts: list[AlertOutboxRow]


def newest_signals(session: Session, wanted: SignalFilter, *, limit: int) -> list[SignalRow]:
    """Return signals, the newest first."""
    query = _query(wanted).order_by(col(SignalRow.ts_event).desc(), col(SignalRow.id).desc())
    return list(session.exec(query.limit(limit)))


def all_signals(session: Session, wanted: SignalFilter) -> Iterator[SignalRow]:
    """Yield signals in the order of their events, however many there are."""
    query = _query(wanted).order_by(col(SignalRow.ts_event), col(SignalRow.id))
    yield from session.exec(query.execution_options(yield_per=ROWS_AT_ONCE))


def find_signal(session: Session, name: str) -> SignalRow:
    """Return the signal of this id, or the only one whose id begins so.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    query = select(SignalRow).where(col(SignalRow.signal_id).startswith(name, autoescape=True))
    found = session.exec(query.limit(2)).all() if name else []
    if not found:
        raise InputError(f"there is no signal {name}: `ifd signals list` shows those that are")
    if len(found) > 1:
        raise InputError(f"more than one signal begins with {name}: give more of its id")
    return found[0]


def explain(session: Session, signal: SignalRow) -> Explanation:
    """Return everything stored about a signal."""
    version = session.get(ProfileVersionRow, signal.params_fingerprint)
    window = session.get(
        PressureWindowRow,
        (
            signal.instrument_id,
            signal.window_start,
            signal.window_end,
            signal.params_fingerprint,
        ),
    )
    owed = select(AlertOutboxRow).where(AlertOutboxRow.signal_id == signal.signal_id)
    params = version.params if version is not None else None
    return Explanation(
        signal=signal,
        window=window,
        baselines=_baselines(session, signal, params) if params is not None else [],
        params=params,
        alerts=list(session.exec(owed)),
    )


def _baselines(session: Session, signal: SignalRow, stored: dict[str, Any]) -> list[BaselineRow]:
    params = _baseline_params(stored)
    query = (
        select(BaselineRow)
        .where(
            col(BaselineRow.key).in_((signal.raw_symbol, ALL_OPTIONS)),
            BaselineRow.bucket == time_bucket(signal.window_start, params.baseline.bucket_ns),
            BaselineRow.params_fingerprint == params.baseline_fingerprint(),
        )
        .order_by(col(BaselineRow.key).desc(), col(BaselineRow.metric))
    )
    return list(session.exec(query))


def _baseline_params(stored: dict[str, Any]) -> EngineParams:
    # Any: parameters as JSON kept them; those of another version find none of today's baselines.
    names = {field.name for field in dataclasses.fields(BaselineParams)}
    baseline = {name: value for name, value in stored["baseline"].items() if name in names}
    return EngineParams(
        windows=WindowParams(length_ns=stored["windows"]["length_ns"]),
        baseline=BaselineParams(**baseline),
    )


def _query(wanted: SignalFilter) -> SelectOfScalar[SignalRow]:
    query = select(SignalRow)
    if wanted.session_date is not None:
        query = query.where(SignalRow.session_date == wanted.session_date)
    if wanted.min_confidence is not None:
        query = query.where(SignalRow.confidence >= wanted.min_confidence)
    if wanted.side is not None:
        query = query.where(SignalRow.side == wanted.side)
    return query
