"""`ifd evaluate --outcomes`: what the market did after the signals of stored sessions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli.common import current_engine, print_json

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from config.settings import Settings
    from evaluation.outcomes import OutcomeScore
    from runtime.outcomes import Measured


def evaluate_outcomes(
    settings: Settings, session_date: str | None, out: Path, *, as_json: bool
) -> None:
    """Score the outcomes of stored signals, after measuring what was not yet measured.

    With `session_date` that session alone, measured anew.

    Raises
    ------
    InputError
        If there is nothing to score.
    """
    from sqlmodel import Session

    from evaluation.outcomes import score_outcomes
    from ifd.errors import InputError
    from models.outcomes import measured_sessions, read_outcomes

    with current_engine(settings) as engine:
        done, left_out = _measure(settings, engine, session_date)
        with Session(engine) as session:
            dates = [session_date] if session_date else measured_sessions(session)
            scores = score_outcomes(read_outcomes(session, dates))
    if not scores:
        why = "; ".join(left_out) or "no signal is stored"
        raise InputError(f"there is no outcome to show: {why}")
    body = {
        "sessions": dates,
        "measured": [dataclasses.asdict(each) for each in done],
        "left_out": left_out,
        "scores": [each.to_json() for each in scores],
    }
    _write(body, scores, out)
    if as_json:
        print_json(body)
    else:
        _print(body, scores, out)


def _measure(
    settings: Settings, engine: Engine, session_date: str | None
) -> tuple[list[Measured], list[str]]:
    from rich.console import Console
    from rich.progress import Progress
    from sqlmodel import Session

    from ifd.clock import SystemClock
    from ifd.errors import InputError
    from models.outcomes import sessions_to_measure
    from runtime.outcomes import measure_outcomes

    if session_date is not None:
        return [measure_outcomes(settings, engine, session_date, clock=SystemClock())], []
    with Session(engine) as session:
        dates = sessions_to_measure(session, settings.feed.shard)
    done, left_out = [], []
    with Progress(console=Console(stderr=True), transient=True) as bar:
        for date in bar.track(dates, description="replaying sessions"):
            try:
                done.append(measure_outcomes(settings, engine, date, clock=SystemClock()))
            except InputError as error:
                # An old session whose archive was moved away: the others can be told of.
                left_out.append(str(error))
    return done, left_out


def _write(body: dict[str, Any], scores: list[OutcomeScore], out: Path) -> None:
    # Any: as `to_json`.
    from evaluation.plots import draw_outcomes
    from evaluation.results import write_json, write_picture

    write_json(out / "outcomes.json", body)
    write_picture(out / "outcomes.png", lambda file: draw_outcomes(scores, file))


def _print(body: dict[str, Any], scores: list[OutcomeScore], out: Path) -> None:
    from cli.terminal import plain_table, print_table
    from evaluation.tables import outcome_rows

    rows = outcome_rows(scores)
    table = plain_table("subject", "after", numbers=tuple(rows[0])[2:])
    for row in rows:
        table.add_row(*row.values())
    print_table(table)
    for reason in body["left_out"]:
        typer.echo(f"left out: {reason}")
    typer.echo(
        f"points, in the direction of the signal; {len(body['sessions'])} sessions, "
        f"{len(body['measured'])} of them replayed now; {out / 'outcomes.json'}, outcomes.png"
    )
