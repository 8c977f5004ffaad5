"""Outcomes of signals in a market whose every price was chosen by hand.

One option and its future on 2026-10-05, from 10:00 in New York, in points:

    minute      0       1       5      15      60
    option    10.00   10.50    9.50   12.00    8.00
    future   25,000  25,002  24,996  25,010  25,004   (mids; a half or a quarter around them)
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from config.settings import Settings
from ifd.clock import ManualClock
from ifd.errors import InputError
from ifd.signals import Side, Signal
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND, PRICE_SCALE
from models.alerts import store_signals
from models.base import transaction
from models.outcomes import SignalOutcomeRow, measured_sessions, sessions_to_measure
from models.signals import SignalRow
from runtime.outcomes import CONTROLS, draw_controls, measure_outcomes
from simulator.market.chain import moment_ns
from tests.scripted import Script

DATE = dt.date(2026, 10, 5)
TEN_NS = moment_ns(DATE, dt.time(10))
CLOSE_NS = moment_ns(DATE, dt.time(16))
CLOCK = ManualClock(CLOSE_NS)
FUTURE, CALL = Script(DATE).future, Script(DATE).option
OPTION_MIDS = {0: 10.00, 1: 10.50, 5: 9.50, 15: 12.00, 60: 8.00}
FUTURE_MIDS = {0: 25_000.0, 1: 25_002.0, 5: 24_996.0, 15: 25_010.0, 60: 25_004.0}


def at(minutes: float) -> int:
    return TEN_NS + round(minutes * NANOS_PER_MINUTE)


@pytest.fixture
def script() -> Script:
    """Write the prices of the table above."""
    made = Script(DATE)
    for minute, mid in OPTION_MIDS.items():
        made.quote(made.option.instrument_id, at(minute) - 1, mid)
    for minute, mid in FUTURE_MIDS.items():
        made.quote(made.future.instrument_id, at(minute) - 1, mid)
    return made


@pytest.fixture
def archive(engine: Engine, tmp_path: Path) -> Callable[..., Path]:
    """Store a script as one archived segment, received from 09:59 to the close, or as told."""

    def store(script: Script, *received: tuple[int, int]) -> Path:
        path = tmp_path / "20261005.dbn.zst"
        script.archive(engine, path, *(received or [(at(-1), CLOSE_NS)]))
        return path

    return store


@pytest.fixture
def signal(engine: Engine, make_signal: Callable[..., Signal]) -> Callable[..., Signal]:
    """Store a live signal, a buyer of the call at 10:00 unless told otherwise."""

    def store(**changes: Any) -> Signal:
        usual = {
            "ts_event": at(0),
            "session_date": DATE.isoformat(),
            "instrument_id": CALL.instrument_id,
            "raw_symbol": CALL.raw_symbol,
            "underlying": FUTURE.raw_symbol,
        }
        made = make_signal(**(usual | changes))
        with transaction(engine) as session:
            store_signals(session, [SignalRow.from_signal(made, source="live", committed_ns=1)])
        return made

    return store


def measure(settings: Settings, engine: Engine) -> dict[tuple[str, int], SignalOutcomeRow]:
    measure_outcomes(settings, engine, DATE.isoformat(), clock=CLOCK)
    return stored(engine)


def stored(engine: Engine) -> dict[tuple[str, int], SignalOutcomeRow]:
    with Session(engine) as session:
        rows = session.exec(select(SignalOutcomeRow)).all()
    return {(row.subject, row.horizon_minutes): row for row in rows}


def points(rows: dict[tuple[str, int], SignalOutcomeRow], subject: str) -> list[float | None]:
    found = (rows[subject, minutes].move for minutes in (1, 5, 15, 60))
    return [None if move is None else move / PRICE_SCALE for move in found]


def reasons(rows: dict[tuple[str, int], SignalOutcomeRow], subject: str) -> list[str | None]:
    return [rows[subject, minutes].missing for minutes in (1, 5, 15, 60)]


@pytest.mark.parametrize(
    ("side", "right", "option", "future"),
    [
        (Side.BUY, "C", [0.5, -0.5, 2.0, -2.0], [2.0, -4.0, 10.0, 4.0]),
        (Side.SELL, "C", [-0.5, 0.5, -2.0, 2.0], [-2.0, 4.0, -10.0, -4.0]),
        (Side.BUY, "P", [0.5, -0.5, 2.0, -2.0], [-2.0, 4.0, -10.0, -4.0]),
        (Side.SELL, "P", [-0.5, 0.5, -2.0, 2.0], [2.0, -4.0, 10.0, 4.0]),
    ],
)
def test_moves_are_signed_in_the_direction_of_the_signal(
    side: Side,
    right: str,
    option: list[float],
    future: list[float],
    settings: Settings,
    engine: Engine,
    script: Script,
    archive: Callable[..., Path],
    signal: Callable[..., Signal],
) -> None:
    archive(script)
    signal(side=side, right=right)

    rows = measure(settings, engine)

    assert points(rows, "option") == option
    assert points(rows, "future") == future
    assert rows["option", 1].start_mid == 10 * PRICE_SCALE
    assert rows["option", 1].end_mid == 10_500_000_000
    assert rows["future", 60].instrument_id == FUTURE.instrument_id
    assert rows["future", 60].end_ns == at(60)
    assert {row.missing for row in rows.values()} == {None}


def test_random_moments_of_a_steady_drift_all_move_alike(
    settings: Settings, engine: Engine, archive: Callable[..., Path], signal: Callable[..., Signal]
) -> None:
    # The option gains a tick every ten seconds, the future loses one: from whatever moment on, that
    # is six steps a minute.
    script = Script(DATE)
    for step in range(6 * 95):
        script.quote(CALL.instrument_id, at(step / 6) - 1, 10.0 + 0.25 * step)
        script.quote(FUTURE.instrument_id, at(step / 6) - 1, 25_000.0 - 0.25 * step)
    archive(script)
    signal(side=Side.SELL)

    rows = measure(settings, engine)

    for minutes in (1, 5, 15, 60):
        assert rows["option", minutes].control_move == -1.5 * minutes * PRICE_SCALE
        assert rows["future", minutes].control_move == 1.5 * minutes * PRICE_SCALE
        assert rows["option", minutes].controls == CONTROLS


def test_what_lies_behind_the_close_is_not_made_up(
    settings: Settings,
    engine: Engine,
    script: Script,
    archive: Callable[..., Path],
    signal: Callable[..., Signal],
) -> None:
    script.quote(CALL.instrument_id, at(330), 7.0)
    archive(script)
    signal(ts_event=at(350))

    rows = measure(settings, engine)

    # At 15:50 a minute, and five, are left of the session.
    assert reasons(rows, "option") == [None, None, "closed", "closed"]
    assert points(rows, "option") == [0.0, 0.0, None, None]
    assert [rows["option", minutes].end_mid for minutes in (15, 60)] == [None, None]
    assert 0 < rows["option", 15].controls < CONTROLS


def test_what_was_not_received_is_not_made_up(
    settings: Settings,
    engine: Engine,
    script: Script,
    archive: Callable[..., Path],
    signal: Callable[..., Signal],
) -> None:
    archive(script, (at(-1), at(10)), (at(40), CLOSE_NS))
    signal()

    rows = measure(settings, engine)

    # Between 10:10 and 10:40 nothing was received; at 11:00 the book is known again.
    assert reasons(rows, "future") == [None, None, "not-received", None]
    assert points(rows, "future") == [2.0, -4.0, None, 4.0]


def test_a_halted_instrument_has_no_price_and_the_other_has(
    settings: Settings,
    engine: Engine,
    script: Script,
    archive: Callable[..., Path],
    signal: Callable[..., Signal],
) -> None:
    script.status(CALL.instrument_id, at(4), dbn.StatusAction.HALT)
    script.status(CALL.instrument_id, at(14), dbn.StatusAction.TRADING)
    archive(script)
    signal()

    rows = measure(settings, engine)

    assert reasons(rows, "option") == [None, "halted", None, None]
    assert reasons(rows, "future") == [None, None, None, None]


def test_an_empty_side_is_no_quote_and_a_bid_over_an_ask_no_mid(
    settings: Settings, engine: Engine, archive: Callable[..., Path], signal: Callable[..., Signal]
) -> None:
    script = Script(DATE)
    script.quote(CALL.instrument_id, at(-0.5), 10.0)
    script.quote(CALL.instrument_id, at(4), 9.0, sides="B")
    script.quote(CALL.instrument_id, at(12), 9.0, half=-0.25)
    script.quote(CALL.instrument_id, at(50), 9.0)
    archive(script)
    signal()

    rows = measure(settings, engine)

    assert reasons(rows, "option") == [None, "no-quote", "crossed", None]
    assert points(rows, "option") == [0.0, None, None, -1.0]


def test_a_future_that_was_never_defined_is_not_listed(
    settings: Settings,
    engine: Engine,
    script: Script,
    archive: Callable[..., Path],
    signal: Callable[..., Signal],
) -> None:
    archive(script)
    signal(underlying="NQU9")

    rows = measure(settings, engine)

    assert reasons(rows, "future") == ["not-listed"] * 4
    assert rows["future", 1].instrument_id is None
    assert points(rows, "option") == [0.5, -0.5, 2.0, -2.0]


def test_measuring_again_changes_nothing(
    settings: Settings,
    engine: Engine,
    script: Script,
    archive: Callable[..., Path],
    signal: Callable[..., Signal],
) -> None:
    archive(script)
    signal()

    first = measure(settings, engine)
    again = measure(settings, engine)

    assert len(first) == 8
    assert {key: row.model_dump() for key, row in again.items()} == {
        key: row.model_dump() for key, row in first.items()
    }


def test_an_archive_that_is_gone_is_named_and_what_is_stored_stays(
    settings: Settings,
    engine: Engine,
    script: Script,
    archive: Callable[..., Path],
    signal: Callable[..., Signal],
) -> None:
    path = archive(script)
    signal()
    before = measure(settings, engine)
    path.unlink()

    with pytest.raises(InputError, match=r"20261005\.dbn\.zst is missing"):
        measure(settings, engine)

    assert stored(engine).keys() == before.keys()


def test_a_session_without_signals_is_not_replayed(settings: Settings, engine: Engine) -> None:
    found = measure_outcomes(settings, engine, DATE.isoformat(), clock=CLOCK)

    assert (found.signals, found.rows) == (0, 0)


def test_a_session_is_due_until_every_signal_has_its_outcomes(
    settings: Settings,
    engine: Engine,
    script: Script,
    archive: Callable[..., Path],
    signal: Callable[..., Signal],
) -> None:
    archive(script)
    signal()

    def due() -> Iterable[str]:
        with Session(engine) as session:
            return sessions_to_measure(session, "nq")

    assert due() == ["2026-10-05"]
    measure(settings, engine)
    assert due() == []
    signal(signal_id="f" * 16, ts_event=at(1))
    assert due() == ["2026-10-05"]
    with Session(engine) as session:
        assert measured_sessions(session) == ["2026-10-05"]


def test_random_moments_are_of_the_half_hour_and_of_what_was_received(
    make_signal: Callable[..., Signal],
) -> None:
    row = SignalRow.from_signal(make_signal(ts_event=at(17)), source="live", committed_ns=1)
    covered = [(at(-60), at(3)), (at(28), at(90))]

    found = draw_controls(row, covered, bucket_ns=30 * NANOS_PER_MINUTE)

    assert len(found) == CONTROLS
    assert all(at(0) <= ts < at(3) or at(28) <= ts < at(30) for ts in found)
    assert draw_controls(row, covered, bucket_ns=30 * NANOS_PER_MINUTE) == found
    assert draw_controls(row, [], bucket_ns=30 * NANOS_PER_MINUTE) == ()


def test_another_signal_draws_other_moments(make_signal: Callable[..., Signal]) -> None:
    one, other = (
        SignalRow.from_signal(
            make_signal(ts_event=at(17), signal_id=name), source="live", committed_ns=1
        )
        for name in ("a" * 16, "b" * 16)
    )
    covered = [(at(0), at(30))]

    assert draw_controls(one, covered, bucket_ns=NANOS_PER_SECOND * 1_800) != draw_controls(
        other, covered, bucket_ns=NANOS_PER_SECOND * 1_800
    )
