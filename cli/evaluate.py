"""`ifd evaluate`: how right the detector is, measured on simulated sessions, beside its peers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import AsJson, Database, Profile, SessionDate, print_json, settings_for

if TYPE_CHECKING:
    from evaluation.run import Evaluation
    from evaluation.trial import TrialPlan


def evaluate(
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="test seeds, and as many validation seeds")
    ] = 4,
    out: Annotated[
        Path, typer.Option("--out", help="directory for results; what is there is not done again")
    ] = Path("var/evaluation"),
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, help="processes  [default: one a core]", show_default=False
        ),
    ] = None,
    minutes: Annotated[
        int, typer.Option("--minutes", min=1, max=390, help="length of each session")
    ] = 390,
    learning_days: Annotated[
        int, typer.Option("--learning-days", min=0, help="sessions baselines are made of")
    ] = 3,
    rate: Annotated[float, typer.Option("--rate", min=0.1, help="records a second, about")] = 40.0,
    episode_every: Annotated[
        float, typer.Option("--episode-every", min=5, help="seconds between institutions, about")
    ] = 600.0,
    outcomes: Annotated[
        bool,
        typer.Option(
            "--outcomes",
            help="instead: what the market did after the signals that are stored, from the archive",
        ),
    ] = False,
    session_date: SessionDate = None,
    as_json: AsJson = False,
    database: Database = None,
    profile: Profile = None,
) -> None:
    """Score the detector against what was planted in simulated sessions, and simple peers with it.

    The scored seeds are used for nothing else; the peers' thresholds are chosen on validation seeds
    at the false alerts a day that ours gives there. Writes scores.json and scores.png. With
    --outcomes, writes outcomes.json and outcomes.png; --session measures one session anew.

    Example: ifd evaluate --seeds 8 --out var/evaluation
    """
    settings = settings_for(database, profile)
    if session_date is not None and not outcomes:
        raise typer.BadParameter("a stored session has outcomes only", param_hint="--session")
    if outcomes:
        from cli.outcomes import evaluate_outcomes

        evaluate_outcomes(settings, session_date, out, as_json=as_json)
        return
    from evaluation.results import write_evaluation
    from evaluation.trial import plan_of

    plan = plan_of(
        settings.engine_params(),
        learning_days=learning_days,
        minutes=minutes,
        records_per_second=rate,
        episode_seconds=episode_every,
    )
    found = _run_with_progress(
        plan, out, seeds, settings.alerts.min_confidence, workers or os.cpu_count() or 1
    )
    write_evaluation(found, out)
    if as_json:
        print_json(found.to_json())
    else:
        _print(found, out)


def _run_with_progress(
    plan: TrialPlan, out: Path, seeds: int, threshold: float, workers: int
) -> Evaluation:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from evaluation.run import evaluate as play_all

    columns = (
        TextColumn("playing seeds"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("seeds", total=2 * seeds)
        return play_all(
            plan,
            out / "seeds",
            seeds=seeds,
            threshold=threshold,
            workers=workers,
            on_trial=lambda _: bar.advance(task),
        )


def _print(found: Evaluation, out: Path) -> None:
    from cli.terminal import plain_table, print_table
    from evaluation.tables import recall_rows, score_rows

    for rows in (score_rows(found.scores), recall_rows(found.scores)):
        first, *numbers = rows[0]
        table = plain_table(first, numbers=numbers)
        for row in rows:
            table.add_row(*(row.get(heading, "") for heading in (first, *numbers)))
        print_table(table)
    causes = next(iter(found.scores.values())).false_alerts_by_cause
    blamed = ", ".join(f"{cause} {count}" for cause, count in causes.items()) or "none"
    typer.echo(f"our false alerts on: {blamed}")
    typer.echo(
        f"{found.test_seeds} test seeds, {found.validation_seeds} validation seeds, "
        f"{found.records:,} records in their scored sessions; {out / 'scores.json'}, scores.png"
    )
