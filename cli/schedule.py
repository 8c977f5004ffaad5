"""`ifd schedule`: what will run when, holidays and half days considered."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.common import AsJson, print_json

if TYPE_CHECKING:
    from deployments.coming import ComingRun

_TIMES_SHOWN: Final = 3


def schedule(
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="so many days from now")] = 31,
    as_json: AsJson = False,
) -> None:
    """Show the coming runs of every deployment, in New York time.

    They are computed from prefect.yaml and the trading calendar; no Prefect server is asked.

    Example: ifd schedule --days 7
    """
    from deployments.coming import coming_runs
    from ifd.clock import SystemClock

    runs = coming_runs(SystemClock().now_ns(), days=days)
    if as_json:
        from cli.terminal import market_time

        print_json([dataclasses.asdict(run) | {"at": market_time(run.at_ns)} for run in runs])
    else:
        _print(runs)


def _print(runs: list[ComingRun]) -> None:
    from cli.terminal import plain_table, print_table
    from runtime.market_hours import new_york

    names = list(dict.fromkeys(run.deployment for run in runs))
    times: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        weekday, date, time, _zone = new_york(run.at_ns).split()
        times[f"{weekday} {date}"][run.deployment].append(time)
    table = plain_table("trading day", *names)
    for day, by_name in times.items():
        table.add_row(day, *(_shown(by_name[name]) for name in names))
    print_table(table)


def _shown(times: list[str]) -> str:
    if len(times) <= _TIMES_SHOWN:
        return ", ".join(times)
    return f"{times[0]} to {times[-1]}, {len(times)} runs"
