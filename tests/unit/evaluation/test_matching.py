"""The matching rule, case by case.

episode        |=========|              trades
counts as hit  |=========|· · · · · ·|  and the minute after
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evaluation.matching import UNPROVOKED, Alert, judge
from simulator.market.episodes import Episode

MakeAlert = Callable[..., Alert]
MakeEpisode = Callable[..., Episode]


@pytest.mark.parametrize(
    ("at", "verdict"),
    [(99.9, "false"), (100, "found"), (110, "found"), (170, "found"), (170.1, "false")],
)
def test_an_alert_hits_from_the_first_trade_to_a_minute_after_the_last(
    at: float, verdict: str, alert: MakeAlert, episode: MakeEpisode
) -> None:
    (judged,) = judge([alert("BUY 1", at)], [episode("BUY 1", start=100, end=110)])

    assert judged.verdict == verdict


def test_the_other_side_of_the_right_instrument_is_a_false_alert(
    alert: MakeAlert, episode: MakeEpisode
) -> None:
    (judged,) = judge([alert("SELL 1", 5)], [episode("BUY 1")])

    assert (judged.verdict, judged.blame) == ("false", "wrong side of sweep")


def test_each_leg_finds_the_episode_and_the_second_alert_is_a_repeat(
    alert: MakeAlert, episode: MakeEpisode
) -> None:
    judged = judge([alert("SELL 2", 5), alert("BUY 1", 7)], [episode("BUY 1", "SELL 2")])

    assert [one.verdict for one in judged] == ["found", "repeat"]


def test_two_episodes_of_one_leg_need_two_alerts(alert: MakeAlert, episode: MakeEpisode) -> None:
    episodes = [episode("BUY 1", start=0, end=20), episode("BUY 1", start=10, end=30)]

    judged = judge([alert("BUY 1", 15), alert("BUY 1", 16), alert("BUY 1", 17)], episodes)

    assert [(one.verdict, one.episode) for one in judged] == [
        ("found", 0),
        ("found", 1),
        ("repeat", 0),
    ]


def test_a_confounder_is_never_found_but_named_as_the_cause(
    alert: MakeAlert, episode: MakeEpisode
) -> None:
    planted = [
        episode("BUY 1", kind="straddle", institutional=False),
        episode(kind="news", institutional=False),
    ]

    judged = judge([alert("BUY 1", 5), alert("BUY 2", 6), alert("BUY 2", 500)], planted)

    assert [one.verdict for one in judged] == ["false"] * 3
    assert [one.blame for one in judged] == ["straddle", "news", UNPROVOKED]


def test_alerts_are_judged_in_the_order_of_time(alert: MakeAlert, episode: MakeEpisode) -> None:
    judged = judge([alert("BUY 1", 9), alert("BUY 1", 3)], [episode("BUY 1")])

    assert [one.alert.ts_ns // 10**9 for one in judged] == [3, 9]
    assert [one.verdict for one in judged] == ["found", "repeat"]
