"""What the market did after each signal of a stored session, beside random moments like it.

The archive is replayed once through the engine's books, and the mids of every option that was
signalled, and of its future, are read at the signal, at each horizon, and likewise at random
moments of the same instrument and time of day. A mid that cannot be known is left out, with its
reason. The same archive gives the same rows, as often as it is asked.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
import statistics
from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from config.calendar import build_calendar, load_overrides
from config.settings import Settings
from ifd.baseline.keys import time_bucket
from ifd.clock import Clock
from ifd.coverage import Interval, intersect
from ifd.errors import InputError
from ifd.params import EngineParams
from ifd.sessions import Session as MarketSession
from ifd.symbols import Instrument, instrument_from_definition
from ifd.units import NANOS_PER_MINUTE
from models.base import transaction
from models.coverage import coverage_intervals
from models.operations import ArchiveFileRow
from models.outcomes import SignalOutcomeRow, futures_of, signals_of, store_outcomes
from models.signals import SignalRow
from runtime.mids import Mid, MidSampler, Moment
from runtime.session_archive import read_session, session_segments
from runtime.trading_status import Halts

HORIZONS_MINUTES: Final = (1, 5, 15, 60)
CONTROLS: Final = 20
"""Random moments that a signal is held against."""


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What one session gave: its signals, the rows stored, and those of them without a move."""

    session_date: str
    signals: int
    rows: int
    missing: int


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A signal and what is looked at after it, the option or its future; `sign` is the way up.

    `control_starts` are the random moments it is held against.
    """

    signal: SignalRow
    subject: str
    instrument_id: int | None
    sign: int
    control_starts: tuple[int, ...]

    def moments(self) -> Iterator[Moment]:
        """Yield every moment whose mid is needed."""
        if self.instrument_id is not None:
            for start_ns in (self.signal.ts_event, *self.control_starts):
                for minutes in (0, *HORIZONS_MINUTES):
                    yield Moment(start_ns + minutes * NANOS_PER_MINUTE, self.instrument_id)


def measure_outcomes(
    settings: Settings, engine: Engine, session_date: str, *, clock: Clock
) -> Measured:
    """Compute and store the outcomes of a session's signals; a repeat changes nothing.

    Raises
    ------
    InputError
        If the date has no session, or a file of its archive is missing or cannot be read.
    """
    shard = settings.feed.shard
    with Session(engine, expire_on_commit=False) as session:
        signals = signals_of(session, shard, session_date)
        if not signals:
            return Measured(session_date, 0, 0, 0)
        market = _market(settings, signals, session_date)
        first_ns = min(market.open_ns, signals[0].ts_event)
        covered = coverage_intervals(session, shard, first_ns, market.close_ns)
        futures = futures_of(session, {each.underlying for each in signals}, session_date)
    bucket_ns = settings.engine_params().baseline.bucket_ns
    cases = [
        case
        for signal in signals
        for case in cases_of(signal, futures, covered, bucket_ns=bucket_ns)
    ]
    halts = Halts()
    sampler = _replay(
        settings.engine_params(), _segments(engine, shard, session_date), cases, halts
    )
    known = Known(sampler.finish(), halts, covered, market.close_ns)
    # Signals made anew from an archive do not say of which shard: its books do.
    rows = [
        row
        for case in cases
        if case.signal.run_id is not None or sampler.has_seen(case.signal.instrument_id)
        for row in outcomes_of(case, known, now_ns=clock.now_ns())
    ]
    with transaction(engine) as session:
        store_outcomes(session, rows)
    without = sum(row.move is None for row in rows)
    return Measured(session_date, len({row.signal_id for row in rows}), len(rows), without)


class Known:
    """The mids that were read, less those of moments that say nothing."""

    def __init__(
        self, mids: dict[Moment, Mid], halts: Halts, covered: Sequence[Interval], close_ns: int
    ) -> None:
        self._mids = mids
        self._halts = halts
        self._covered = covered
        self._close_ns = close_ns

    def at(self, moment: Moment, *, received: bool = False) -> Mid:
        """Return the mid of a moment; `received` of one that a record itself is witness to."""
        ts_ns = moment.ts_ns
        if ts_ns >= self._close_ns:
            return Mid(None, "closed")
        if not received and not any(start <= ts_ns < end for start, end in self._covered):
            return Mid(None, "not-received")
        if self._halts.is_halted(moment.instrument_id, ts_ns):
            return Mid(None, "halted")
        return self._mids[moment]


def cases_of(
    signal: SignalRow, futures: dict[str, int], covered: Sequence[Interval], *, bucket_ns: int
) -> list[Case]:
    """Return what is looked at after a signal: the option, and its future with the option's sign.

    A bought call and a sold put lean upward in the future.
    """
    bought = 1 if signal.side == "BUY" else -1
    upward = bought if signal.right == "C" else -bought
    starts = draw_controls(signal, covered, bucket_ns=bucket_ns)
    return [
        Case(signal, "option", signal.instrument_id, bought, starts),
        Case(signal, "future", futures.get(signal.underlying), upward, starts),
    ]


def draw_controls(
    signal: SignalRow, covered: Sequence[Interval], *, bucket_ns: int
) -> tuple[int, ...]:
    """Return random moments that were received in the signal's time of day, seeded by its id."""
    begin_ns = signal.ts_event - time_bucket(signal.ts_event, 1) % bucket_ns
    stretches = intersect(covered, [(begin_ns, begin_ns + bucket_ns)])
    if not stretches:
        return ()
    rng = random.Random(signal.signal_id)  # noqa: S311 - a sample, not a secret
    chosen = rng.choices(stretches, [end - start for start, end in stretches], k=CONTROLS)
    return tuple(rng.randrange(start, end) for start, end in chosen)


def outcomes_of(case: Case, known: Known, *, now_ns: int) -> Iterator[SignalOutcomeRow]:
    """Yield the outcome at each horizon."""
    signal, start_ns = case.signal, case.signal.ts_event
    start = Mid(None, "not-listed")
    if case.instrument_id is not None:
        start = known.at(Moment(start_ns, case.instrument_id), received=True)
    for minutes in HORIZONS_MINUTES:
        end_ns = start_ns + minutes * NANOS_PER_MINUTE
        end = start
        if case.instrument_id is not None:
            end = known.at(Moment(end_ns, case.instrument_id))
        controls = _control_moves(case, known, minutes)
        yield SignalOutcomeRow(
            signal_id=signal.signal_id,
            subject=case.subject,
            horizon_minutes=minutes,
            instrument_id=case.instrument_id,
            start_ns=start_ns,
            end_ns=end_ns,
            start_mid=start.price,
            end_mid=end.price,
            move=_move(case, start, end),
            missing=start.missing or end.missing,
            control_move=statistics.fmean(controls) if controls else None,
            controls=len(controls),
            computed_ns=now_ns,
        )


def _control_moves(case: Case, known: Known, minutes: int) -> list[int]:
    if case.instrument_id is None:
        return []
    moves = (
        _move(
            case,
            known.at(Moment(start_ns, case.instrument_id)),
            known.at(Moment(start_ns + minutes * NANOS_PER_MINUTE, case.instrument_id)),
        )
        for start_ns in case.control_starts
    )
    return [move for move in moves if move is not None]


def _move(case: Case, start: Mid, end: Mid) -> int | None:
    if start.price is None or end.price is None:
        return None
    return case.sign * (end.price - start.price)


def _replay(
    params: EngineParams, segments: Sequence[ArchiveFileRow], cases: Sequence[Case], halts: Halts
) -> MidSampler:
    moments = (moment for case in cases for moment in case.moments())
    sampler = MidSampler(moments, params.windows)
    defined: list[Instrument] = []
    arrays = read_session(
        segments,
        lambda message: defined.append(instrument_from_definition(message)),
        on_status=halts.heed,
    )
    for records in arrays:
        if defined:
            sampler.define(defined)
            defined.clear()
        sampler.update(records)
    return sampler


def _segments(engine: Engine, shard: str, session_date: str) -> list[ArchiveFileRow]:
    """Return all of a session's segments: a book that lacks some is not the market's."""
    segments = session_segments(engine, shard, session_date)
    with Session(engine) as session:
        paths = session.exec(
            select(ArchiveFileRow.path).where(
                col(ArchiveFileRow.shard) == shard,
                col(ArchiveFileRow.session_date) == session_date,
            )
        ).all()
    gone = sorted(set(paths) - {row.path for row in segments})
    if gone or not segments:
        raise InputError(
            f"the archive of {shard} on {session_date} is not on this disk"
            + (f": {gone[0]} is missing" if gone else "")
        )
    return segments


def _market(settings: Settings, signals: Sequence[SignalRow], session_date: str) -> MarketSession:
    # The local exchange never closes, whatever hours are set.
    simulated = all(signal.source == "simulated" for signal in signals)
    hours = "always" if simulated else settings.session.hours
    day = dt.date.fromisoformat(session_date)
    overrides = load_overrides(settings.session.calendar_file)
    market = build_calendar(hours, day, day, overrides=overrides).session_on(session_date)
    if market is None:
        raise InputError(f"{session_date} has no {hours} session in the calendar")
    return market
