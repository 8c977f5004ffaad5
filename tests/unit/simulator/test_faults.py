"""How faults are written, and in which order and place a plan of them strikes."""

from __future__ import annotations

from pathlib import Path

import pytest

import cli.simulator
from ifd.errors import ConfigurationError
from simulator.live import Fault, FaultName, FaultPlan
from simulator.live.faults import KINDS, QUICK, describe_faults
from simulator.live.saboteur import NO_FAULT, Fuse, Hole, Saboteur

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("cut", Fault(FaultName.CUT)),
        ("cut:0", Fault(FaultName.CUT, after=0)),
        ("close:250", Fault(FaultName.CLOSE, after=250)),
        ("slow", Fault(FaultName.SLOW, 1_000)),
        ("slow:50:7", Fault(FaultName.SLOW, 50, 7)),
        ("refuse:0.25", Fault(FaultName.REFUSE, 0.25)),
        ("refuse:2:100", Fault(FaultName.REFUSE, 2.0, 100)),
        ("error:6", Fault(FaultName.ERROR, 6)),
        ("error:replay-data-aged-out:9", Fault(FaultName.ERROR, 8, 9)),
        ("error:API_KEY_DEACTIVATED", Fault(FaultName.ERROR, 2)),
        ("skip:500:10", Fault(FaultName.SKIP, 500, 10)),
        ("hang-at-connect", Fault(FaultName.HANG_AT_CONNECT)),
        ("version:2", Fault(FaultName.VERSION, 2)),
    ],
)
def test_a_fault_is_a_name_a_value_and_a_place(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault


def test_an_unknown_name_is_answered_with_all_the_names() -> None:
    with pytest.raises(ConfigurationError, match="dance") as raised:
        Fault.parse("dance:3")

    assert all(name in str(raised.value) for name in FaultName)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("cut:soon", "cut[:AFTER]"),
        ("cut:-1", "cut[:AFTER]"),
        ("cut:1:2", "cut[:AFTER]"),
        ("slow:0", "slow[:RATE[:AFTER]]"),
        ("error", "error:CODE[:AFTER]"),
        ("error:99", "error:CODE[:AFTER]"),
        ("refuse:nan", "refuse[:SECONDS[:AFTER]]"),
        ("version:1:5", "version[:CONNECTIONS]"),
    ],
)
def test_a_wrong_parameter_is_answered_with_how_the_fault_is_written(text: str, form: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Fault.parse(text)

    assert str(raised.value).endswith(form)


@pytest.mark.parametrize("name", list(FaultName))
def test_every_fault_is_in_the_help_and_in_the_page_of_the_exchange(name: FaultName) -> None:
    form = KINDS[name].written(name)
    page = (ROOT / "docs" / "exchange.md").read_text()

    assert f"  {form} " in (cli.simulator.gateway.__doc__ or "")
    assert f"| `{form}` |" in page
    assert (form, KINDS[name].does) in describe_faults()


def test_a_random_plan_is_that_of_its_seed_and_strikes_within_the_records() -> None:
    plan = FaultPlan.random(7, records=2_000_000, count=12)

    assert plan == FaultPlan.random(7, records=2_000_000, count=12)
    assert plan != FaultPlan.random(8, records=2_000_000, count=12)
    assert len(plan.faults) == 12
    assert 0 < sum(fault.after or 0 for fault in plan.faults) < 2_000_000
    assert {fault.name for fault in plan.faults} <= {Fault.parse(text).name for text in QUICK}


def test_a_fuse_burns_from_the_fault_before_on_and_begins_anew_with_a_connection() -> None:
    saboteur = Saboteur(FaultPlan.parse(["slow:9:100", "cut:50", "close:10"]))
    first = Fuse(saboteur)
    first.burn(60)
    assert first.left == 40
    first.burn(40)
    assert first.take() == Fault(FaultName.SLOW, 9, 100)
    first.burn(30)
    assert (first.left, first.take()) == (20, None)
    first.burn(20)
    assert first.take() == Fault(FaultName.CUT, after=50)

    second = Fuse(saboteur)
    second.burn(10)
    assert second.take() == Fault(FaultName.CLOSE, after=10)
    assert second.left == NO_FAULT


def test_of_two_connections_the_one_that_is_first_is_struck() -> None:
    saboteur = Saboteur(FaultPlan.parse(["cut:10", "cut:10"]))
    ahead, behind = Fuse(saboteur), Fuse(saboteur)
    ahead.burn(10)
    behind.burn(9)

    assert ahead.take() is not None
    assert behind.take() is None
    assert behind.left == 10


def test_a_fault_of_connecting_waits_for_the_connections_it_is_meant_for() -> None:
    saboteur = Saboteur(FaultPlan.parse(["cut:5", "hang-at-connect:2", "close:5"]))
    hangs = lambda: saboteur.spoils_connection(FaultName.HANG_AT_CONNECT, 1)  # noqa: E731
    fuse = Fuse(saboteur)

    assert not hangs()
    fuse.burn(5)
    assert fuse.take() == Fault(FaultName.CUT, after=5)
    assert fuse.left == NO_FAULT
    assert [hangs(), hangs(), hangs()] == [True, True, False]
    assert fuse.left == 5


def test_a_standing_fault_holds_until_it_is_lifted() -> None:
    saboteur = Saboteur(FaultPlan.parse(["auth-fail", "auth-fail:3", "cut:1"]))

    assert all(saboteur.spoils_connection(FaultName.AUTH_FAIL, number) for number in range(20))
    saboteur.lift(FaultName.AUTH_FAIL)
    assert not saboteur.spoils_connection(FaultName.AUTH_FAIL, 21)
    assert Fuse(saboteur).left == 1


def test_a_hole_ends_what_is_whole_and_one_that_goes_on_is_one() -> None:
    saboteur = Saboteur(FaultPlan())
    for start, stop in ((3, 5), (5, 6), (18, 30)):
        saboteur.leave_out(start, stop)

    assert saboteur.holes == [Hole(3, 6), Hole(18, 30)]
    assert [saboteur.whole_until(place) for place in (0, 3, 5, 6, 29, 30)] == [
        (3, False),
        (6, True),
        (6, True),
        (18, False),
        (30, True),
        (NO_FAULT, False),
    ]
