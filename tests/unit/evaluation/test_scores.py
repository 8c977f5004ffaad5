"""Scores against what can be counted by hand, and against detectors whose worth is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from evaluation.matching import GRACE_NS, Alert, institutional
from evaluation.scores import Session, Share, precision_recall_curve, score, threshold_for
from ifd.units import NANOS_PER_SECOND
from simulator.market.episodes import Episode

MakeAlert = Callable[..., Alert]
MakeEpisode = Callable[..., Episode]

DAY_NS = 23_400 * NANOS_PER_SECOND


@pytest.fixture
def session(alert: MakeAlert, episode: MakeEpisode) -> Session:
    """Two episodes, one found after two seconds, one missed; two false alerts."""
    return Session(
        [
            alert("BUY 1", 2, 0.9),
            alert("BUY 1", 4, 0.7),
            alert("BUY 9", 2, 0.8),
            alert("BUY 9", 500, 0.3),
        ],
        [
            episode("BUY 1", lots=320),
            episode("SELL 2", start=300, end=310, lots=80, kind="iceberg"),
            episode(kind="news", start=400, end=600, institutional=False),
        ],
    )


def test_what_is_counted_by_hand(session: Session) -> None:
    found = score([session], threshold=0.5, is_probability=True)

    assert found.recall == Share(1, 2)
    assert found.precision == 1 / 2
    assert found.false_alerts_a_day == 1
    assert found.median_seconds_to_detect == 2
    assert found.recall_by_family == {"iceberg": Share(0, 1), "sweep": Share(1, 1)}
    assert found.recall_by_size == {"obvious": Share(1, 1), "small": Share(0, 1)}
    assert found.false_alerts_by_cause == {"ordinary flow": 1}


def test_false_alerts_a_day_are_a_mean_over_sessions(session: Session) -> None:
    quiet = Session([], session.episodes)

    assert score([session, quiet], threshold=0.0, is_probability=True).false_alerts_a_day == 1.0


def test_the_curve_moves_the_threshold_through_all_scores(session: Session) -> None:
    # 0.9: found. 0.8: and one false. 0.3: and another.
    assert precision_recall_curve([session]) == [(0.5, 1.0), (0.5, 0.5), (0.5, 1 / 3)]


def test_calibration_compares_what_was_said_with_what_was_right(session: Session) -> None:
    found = score([session], threshold=0.0, is_probability=True)

    # 0.9 and 0.7 were right, the repeat too; 0.8 and 0.3 were wrong.
    assert found.calibration_error == pytest.approx((0.1 + 0.3 + 0.8 + 0.3) / 4)
    assert found.brier == pytest.approx((0.01 + 0.09 + 0.64 + 0.09) / 4)


@pytest.mark.parametrize(
    ("allowed", "threshold"), [(0, 0.9), (0.5, 0.9), (1, 0.7), (2, 0.3), (9, 0.3)]
)
def test_a_threshold_is_the_lowest_within_its_budget(
    allowed: float, threshold: float, session: Session
) -> None:
    assert threshold_for([session], false_alerts_a_day=allowed) == threshold


def test_a_detector_that_is_only_wrong_keeps_silent_within_no_budget(alert: MakeAlert) -> None:
    wrong = Session([alert("BUY 9", 2, 0.8)], [])

    assert threshold_for([wrong], false_alerts_a_day=0) == math.inf


def test_nothing_said_is_no_precision_and_no_recall(session: Session) -> None:
    found = score([session], threshold=2.0, is_probability=True)

    assert (found.precision, found.recall, found.calibration_error) == (None, Share(0, 2), None)


def busy_days(rng: random.Random, episode: MakeEpisode) -> list[list[Episode]]:
    """Days of 20 institutional episodes among 50 options, and as many confounders."""
    return [
        [
            episode(
                f"{rng.choice(('BUY', 'SELL'))} {rng.randrange(50)}",
                start=(start := rng.uniform(0, 23_000)),
                end=start + rng.uniform(1, 200),
                institutional=number < 20,
                kind="sweep" if number < 20 else "fat-print",
            )
            for number in range(40)
        ]
        for _ in range(40)
    ]


def test_a_detector_that_reads_the_labels_scores_one(episode: MakeEpisode) -> None:
    sessions = [
        Session(
            [
                Alert(leg.instrument_id, leg.side, each.start_ns, 1.0)
                for each in institutional(episodes)
                for leg in each.legs
            ],
            episodes,
        )
        for episodes in busy_days(random.Random(1), episode)
    ]

    found = score(sessions, threshold=0.5, is_probability=True)

    assert (found.recall.value, found.precision, found.area) == (1.0, 1.0, 1.0)
    assert (found.false_alerts, found.calibration_error, found.brier) == (0, 0.0, 0.0)
    assert found.median_seconds_to_detect == 0.0


def test_a_detector_that_alerts_at_random_scores_what_chance_gives(episode: MakeEpisode) -> None:
    rng = random.Random(2)
    days = busy_days(rng, episode)
    sessions = [
        Session(
            [
                Alert(
                    rng.randrange(50),
                    rng.choice(("BUY", "SELL")),
                    rng.randrange(DAY_NS),
                    rng.random(),
                )
                for _ in range(500)
            ],
            episodes,
        )
        for episodes in days
    ]

    found = score(sessions, threshold=0.0, is_probability=True)

    # One alert falls on a given leg and side once in a hundred, and inside the episode's time as
    # often as that is of the day: of 500, none does so with this probability.
    def missed(each: Episode) -> float:
        return (1 - 0.01 * (each.end_ns + GRACE_NS - each.start_ns) / DAY_NS) ** 500

    expected = [1 - missed(each) for episodes in days for each in institutional(episodes)]
    recall = sum(expected) / len(expected)
    hits = sum(expected)
    assert found.recall.value == pytest.approx(recall, abs=3 * (recall / len(expected)) ** 0.5)
    assert found.precision == pytest.approx(hits / (hits + 40 * 500), rel=0.5)
    # Scores that mean nothing are half wrong: uniform on 0..1 against a truth near 0.
    assert found.calibration_error == pytest.approx(0.5, abs=0.02)
    assert found.area < 0.01
