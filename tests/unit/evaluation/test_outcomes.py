"""What became of signals, counted by hand."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from evaluation.outcomes import Outcome, clustered_interval, score_outcomes
from evaluation.plots import draw_outcomes
from evaluation.tables import outcome_rows
from ifd.signals import Signal
from ifd.units import NANOS_PER_MINUTE, PRICE_SCALE
from models.outcomes import SignalOutcomeRow
from models.signals import SignalRow

TEN_OCLOCK_NS = 1_795_705_200_000_000_000  # Thursday 2026-11-26, 10:00 in New York


@pytest.fixture
def outcome(make_signal: Callable[..., Signal]) -> Callable[..., Outcome]:
    """Make the outcome of a signal so many minutes after ten, moves in points."""

    def make(
        minute: int, move: float | None, control: float | None = None, *, missing: str | None = None
    ) -> Outcome:
        at = TEN_OCLOCK_NS + minute * NANOS_PER_MINUTE
        signal = make_signal(signal_id=f"{minute:016}", ts_event=at, session_date="2026-11-26")
        row = SignalOutcomeRow(
            signal_id=signal.signal_id,
            subject="future",
            horizon_minutes=5,
            start_ns=at,
            end_ns=at + 5 * NANOS_PER_MINUTE,
            move=None if move is None else round(move * PRICE_SCALE),
            missing=missing,
            control_move=None if control is None else control * PRICE_SCALE,
            controls=0 if control is None else 20,
            computed_ns=1,
        )
        return SignalRow.from_signal(signal, source="live", committed_ns=1), row

    return make


def test_what_is_counted_by_hand(outcome: Callable[..., Outcome]) -> None:
    (score,) = score_outcomes(
        [
            outcome(0, 4.0, 1.0),
            outcome(1, -2.0, 1.0),
            outcome(40, 1.0, -3.0),
            outcome(41, 0.0),
            outcome(42, None, missing="closed"),
            outcome(43, None, missing="closed"),
            outcome(44, None, missing="halted"),
        ]
    )

    assert (score.subject, score.horizon_minutes) == ("future", 5)
    assert (score.signals, score.known, score.compared) == (7, 4, 3)
    assert score.missing == {"closed": 2, "halted": 1}
    # Up, down, up and nowhere; excesses are 3, -3 and 4 over three signals.
    assert score.right == 0.5
    assert score.move == 0.75
    assert score.control_move == pytest.approx(-1 / 3)
    assert score.excess == pytest.approx(4 / 3)
    # Two half hours of means 0 and 4: a draw of both gives 4/3, of one alone its own.
    assert (score.low, score.high) == (0.0, 4.0)


def test_the_interval_is_as_wide_as_theory_says() -> None:
    # 400 clusters of one, half 0 and half 1: the standard error of the mean is 0.025.
    values = [0.0, 1.0] * 200

    found = clustered_interval(values, range(400))

    assert found == pytest.approx((0.5 - 1.96 * 0.025, 0.5 + 1.96 * 0.025), abs=0.006)
    assert clustered_interval(values, range(400)) == found


def test_signals_that_share_their_fate_are_one_observation() -> None:
    values = [0.0] * 50 + [1.0] * 50

    low, high = clustered_interval(values, ["a"] * 50 + ["b"] * 50) or (0.5, 0.5)
    alone = clustered_interval(values, range(100)) or (0.0, 1.0)

    assert (low, high) == (0.0, 1.0)
    assert alone[1] - alone[0] < 0.25


def test_one_half_hour_gives_no_interval(outcome: Callable[..., Outcome]) -> None:
    (score,) = score_outcomes([outcome(0, 1.0, 0.0), outcome(1, 3.0, 0.0)])

    assert (score.excess, score.low, score.high) == (2.0, None, None)
    assert outcome_rows([score])[0]["95 % interval"] == ""


def test_scores_can_be_shown_and_drawn(outcome: Callable[..., Outcome]) -> None:
    scores = score_outcomes([outcome(0, 1.5, 0.25), outcome(40, None, missing="not-received")])
    picture = io.BytesIO()

    draw_outcomes(scores, picture)

    assert outcome_rows(scores) == [
        {
            "subject": "future",
            "after": "5 min",
            "signals": "2",
            "known": "1",
            "right": "100%",
            "move": "+1.50",
            "random moments": "+0.25",
            "excess": "+1.25",
            "95 % interval": "",
            "missing": "1 not-received",
        }
    ]
    assert picture.getvalue().startswith(b"\x89PNG")
