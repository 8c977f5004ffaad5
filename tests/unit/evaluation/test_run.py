"""Seeds played through: repeatable, resumable, scored on what no threshold has seen."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from evaluation.plots import draw
from evaluation.run import evaluate, play
from evaluation.seeds import split_of
from evaluation.trial import DETECTORS, OURS, Trial, TrialPlan, run_trial
from ifd.errors import ConfigurationError
from ifd.params import EngineParams
from simulator.market import MarketParams

PLAN = TrialPlan(
    params=EngineParams(),
    learning_days=1,
    minutes=6,
    strikes=5,
    market=MarketParams(records_per_second=20.0, episode_seconds=40.0, confounder_seconds=60.0),
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the results of one validation and one test seed."""
    directory = tmp_path_factory.mktemp("seeds")
    evaluate(PLAN, directory, seeds=1, threshold=0.8, workers=2)
    return directory


def test_a_seed_gives_the_same_trial_in_any_process(played: Path, tmp_path: Path) -> None:
    (path,) = (each for each in played.iterdir() if each.stem.endswith("-3000000"))

    run_trial(3_000_000, PLAN).write(tmp_path / "again.json")

    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
    trial = Trial.read(path)
    assert trial.episodes
    assert set(trial.alerts) == set(DETECTORS)
    assert trial.alerts[OURS]


def test_what_was_played_is_not_played_again(played: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in played.iterdir()}
    told: list[int] = []

    evaluate(PLAN, played, seeds=1, threshold=0.8, workers=2, on_trial=told.append)

    assert {path: path.stat().st_mtime_ns for path in played.iterdir()} == before
    assert [split_of(seed) for seed in told] == ["validation", "test"]


def test_another_plan_never_takes_results_of_this_one() -> None:
    other = TrialPlan(params=EngineParams(profile="other"), learning_days=1)

    assert PLAN.fingerprint() != other.fingerprint()


def test_a_seed_that_fails_fails_the_run_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    impossible = dataclasses.replace(PLAN, learning_days=-1)

    with pytest.raises(ConfigurationError, match="at least 1 day"):
        play([3_000_000], impossible, tmp_path, workers=1)

    assert list(tmp_path.iterdir()) == []


def test_the_result_is_json_and_a_picture(played: Path, tmp_path: Path) -> None:
    found = evaluate(PLAN, played, seeds=1, threshold=0.8, workers=2)

    draw(found.scores, tmp_path / "scores.png")
    body = json.loads(json.dumps(found.to_json(), allow_nan=False))

    assert list(body["detectors"]) == list(DETECTORS)
    assert body["detectors"][OURS]["recall"][1] == found.scores[OURS].recall.of > 0
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")
