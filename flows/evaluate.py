"""On demand: how right the detector is in simulated sessions, beside simple peers."""

from __future__ import annotations

import os
from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from evaluation.trial import OURS, plan_of
from runtime.supervisor import settings_of
from tasks.evaluating import play_seeds, publish_evaluation


@flow(name="ifd-evaluate")
def evaluate_detector(
    seeds: PositiveInt = 4,
    minutes: PositiveInt = 390,
    learning_days: NonNegativeInt = 3,
    rate: PositiveFloat = 40.0,
    episode_every: PositiveFloat = 600.0,
    workers: PositiveInt | None = None,
    directory: str = "var/evaluation",
    profile: str | None = None,
) -> State[None]:
    """Simulate, learn, replay and score, as `ifd evaluate` does.

    Args:
        seeds: Test seeds, and as many validation seeds.
        minutes: Length of each session.
        learning_days: Sessions that baselines are made of.
        rate: Records a second, about.
        episode_every: Seconds between planted institutions, and between confounders, about.
        workers: Processes; empty takes one a core.
        directory: Where results are kept; seeds that are there are not played again.
        profile: Settings profile; empty takes IFD_PROFILE, or default.
    """
    settings = settings_of(None, profile=profile)
    plan = plan_of(
        settings.engine_params(),
        learning_days=learning_days,
        minutes=minutes,
        records_per_second=rate,
        episode_seconds=episode_every,
    )
    found = play_seeds(
        plan,
        Path(directory).absolute(),
        seeds=seeds,
        threshold=settings.alerts.min_confidence,
        workers=workers or os.cpu_count() or 1,
    )
    ours = found.scores[OURS]
    told = (
        f"{ours.recall.found} of {ours.recall.of} planted episodes found at "
        f"{ours.false_alerts_a_day:.1f} false alerts a day ({found.test_seeds} test seeds)"
    )
    publish_evaluation(found, description=told)
    return Completed(message=told)
