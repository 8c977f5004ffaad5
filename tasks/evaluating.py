"""The evaluation as one task: its seeds are processes of their own, its progress an artifact."""

from __future__ import annotations

from pathlib import Path

from prefect import get_run_logger, task

from evaluation.plots import draw
from evaluation.results import drawn, write_evaluation
from evaluation.run import Evaluation, evaluate
from evaluation.tables import recall_rows, score_rows
from evaluation.trial import TrialPlan
from tasks.artifacts import progress, publish_picture, publish_table


@task(name="play seeds", retries=1, retry_delay_seconds=30, persist_result=False)
def play_seeds(
    plan: TrialPlan, directory: Path, *, seeds: int, threshold: float, workers: int
) -> Evaluation:
    """Play validation and test seeds and score them; seeds that were played are only read."""
    logger, total, played = get_run_logger(), 2 * seeds, 0
    with progress("evaluation-progress", f"{total} seeds of plan {plan.fingerprint()}") as advance:

        def note(seed: int) -> None:
            nonlocal played
            played += 1
            logger.info("seed %d played, %d of %d", seed, played, total)
            advance(played / total)

        found = evaluate(
            plan,
            directory / "seeds",
            seeds=seeds,
            threshold=threshold,
            workers=workers,
            on_trial=note,
        )
    write_evaluation(found, directory)
    return found


def publish_evaluation(found: Evaluation, *, description: str) -> None:
    """Publish an evaluation: the detectors, what each found of what, and the plots."""
    publish_table("evaluation", score_rows(found.scores), description=description)
    publish_table("evaluation-recall", recall_rows(found.scores), description=description)
    picture = drawn(lambda file: draw(found.scores, file))
    publish_picture("evaluation-plot", picture, "png", description=description)
