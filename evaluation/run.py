"""Many seeds in parallel, resumable, and what comes out of them.

Each finished seed is a file named by its seed and the plan's fingerprint; a second run reads those
that are there and plays the rest. Thresholds of the peers are chosen on validation seeds, at the
false alerts a day that ours gives there: all are compared at one price. The test seeds are played
by the same code and scored once.
"""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Final

from evaluation.scores import Scores, Session, score, threshold_for
from evaluation.seeds import Split, seeds_of
from evaluation.trial import ARE_PROBABILITIES, DETECTORS, OURS, Trial, TrialPlan, run_trial
from runtime.pool_workers import end_with_parent

FEWEST_FALSE_ALERTS: Final = 1.0
"""Peers are allowed so many false alerts a day even where ours gives fewer."""

OnTrial = Callable[[int], None]
"""Called with each seed that is done, in any order."""


@dataclasses.dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of every detector on the test seeds, and how their thresholds came about."""

    fingerprint: str
    validation_seeds: int
    test_seeds: int
    records: int
    false_alerts_allowed: float
    scores: dict[str, Scores]

    def to_json(self) -> dict[str, Any]:
        """Return it as one JSON object; a share is `[found, of]`, an unknown number null."""
        # Any: numbers, names and lists of them.
        return {
            "fingerprint": self.fingerprint,
            "validation_seeds": self.validation_seeds,
            "test_seeds": self.test_seeds,
            "records": self.records,
            "false_alerts_allowed": self.false_alerts_allowed,
            "detectors": {name: _plain(each) for name, each in self.scores.items()},
        }


def evaluate(
    plan: TrialPlan,
    directory: Path,
    *,
    seeds: int,
    threshold: float,
    workers: int,
    on_trial: OnTrial | None = None,
) -> Evaluation:
    """Play `seeds` validation seeds and as many test seeds, and score every detector.

    Parameters
    ----------
    directory : Path
        Where finished seeds are kept.
    threshold : float
        The confidence at which ours alerts.
    """
    played: dict[Split, list[Trial]] = {
        split: play(seeds_of(split, seeds), plan, directory, workers=workers, on_trial=on_trial)
        for split in ("validation", "test")
    }
    thresholds, allowed = choose_thresholds(played["validation"], ours=threshold)
    return Evaluation(
        fingerprint=plan.fingerprint(),
        validation_seeds=seeds,
        test_seeds=seeds,
        records=sum(each.records for trials in played.values() for each in trials),
        false_alerts_allowed=allowed,
        scores={
            name: score(
                sessions_of(played["test"], name),
                threshold=thresholds[name],
                is_probability=name in ARE_PROBABILITIES,
            )
            for name in DETECTORS
        },
    )


def play(
    seeds: Sequence[int],
    plan: TrialPlan,
    directory: Path,
    *,
    workers: int,
    on_trial: OnTrial | None = None,
) -> list[Trial]:
    """Return the trials of these seeds in their order; those that are on disk are not played."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = {seed: directory / f"{plan.fingerprint()}-{seed}.json" for seed in seeds}
    missing = [seed for seed, path in paths.items() if not path.is_file()]
    for seed in seeds:
        if seed not in missing and on_trial is not None:
            on_trial(seed)
    if missing:
        # Fresh processes: a fork would take over whatever threads this one has.
        context = multiprocessing.get_context("spawn")
        size = min(workers, len(missing))
        with ProcessPoolExecutor(size, mp_context=context, initializer=end_with_parent) as pool:
            waiting = {pool.submit(_play_one, seed, plan, paths[seed]): seed for seed in missing}
            try:
                for done in as_completed(waiting):
                    done.result()
                    if on_trial is not None:
                        on_trial(waiting[done])
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [Trial.read(path) for path in paths.values()]


def choose_thresholds(
    validation: Sequence[Trial], *, ours: float
) -> tuple[dict[str, float], float]:
    """Return every detector's threshold, and the false alerts a day the peers are allowed."""
    own = score(sessions_of(validation, OURS), threshold=ours, is_probability=True)
    allowed = max(own.false_alerts_a_day, FEWEST_FALSE_ALERTS)
    chosen = {
        name: ours
        if name == OURS
        else threshold_for(sessions_of(validation, name), false_alerts_a_day=allowed)
        for name in DETECTORS
    }
    return chosen, allowed


def sessions_of(trials: Sequence[Trial], detector: str) -> list[Session]:
    """Return what one detector said in each trial, beside the truth."""
    return [Session(each.alerts[detector], each.episodes) for each in trials]


def _play_one(seed: int, plan: TrialPlan, path: Path) -> None:
    run_trial(seed, plan).write(path)


def _plain(scores: Scores) -> dict[str, Any]:
    body = dataclasses.asdict(scores)
    body["threshold"] = None if math.isinf(scores.threshold) else scores.threshold
    body["recall"] = [scores.recall.found, scores.recall.of]
    for name in ("recall_by_family", "recall_by_size"):
        body[name] = {key: [one["found"], one["of"]] for key, one in body[name].items()}
    return body
