"""`ifd bench`: what the project is held to, measured here and now."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.common import AsJson, Database, Profile, print_json
from ifd.errors import ConfigurationError

if TYPE_CHECKING:
    from benchmarks.measures import Measure

BENCHMARKS: Final = {
    "feed": "benchmarks.feed",
    "engine": "benchmarks.engine",
    "baselines": "benchmarks.baselines",
}
"""Each a module with a function `measure(directory)` that yields measures."""


def bench(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help=f"one of: {', '.join(BENCHMARKS)}")
    ] = None,
    as_json: AsJson = False,
    _database: Database = None,
    _profile: Profile = None,
) -> None:
    """Measure speed and memory, beside others in the same run; exit 1 where a promise is broken.

    Without a name, all benchmarks are run. Neither database nor profile has a part in it.

    Example: ifd bench engine
    """
    if name is not None and name not in BENCHMARKS:
        raise ConfigurationError(
            f"there is no benchmark {name!r}; choose one of {', '.join(BENCHMARKS)}"
        )
    found: dict[str, list[Measure]] = {}
    for chosen in [name] if name else BENCHMARKS:
        found[chosen] = _run(chosen, quiet=as_json)
    if as_json:
        print_json(
            {
                chosen: [
                    {
                        "name": one.name,
                        "value": one.value,
                        "unit": one.unit,
                        "at_least": one.at_least,
                        "at_most": one.at_most,
                        "kept": one.is_kept,
                    }
                    for one in measures
                ]
                for chosen, measures in found.items()
            }
        )
    if not all(one.is_kept for measures in found.values() for one in measures):
        raise typer.Exit(1)


def _run(name: str, *, quiet: bool) -> list[Measure]:
    module = importlib.import_module(BENCHMARKS[name])
    measures = []
    with tempfile.TemporaryDirectory(prefix="ifd-bench-") as directory:
        for measure in module.measure(Path(directory)):
            measures.append(measure)
            if not quiet:
                typer.echo(_line(measure))
    return measures


def _line(measure: Measure) -> str:
    value = f"{measure.value:,.0f}" if measure.value >= 1_000 else f"{measure.value:,.2f}"
    promise = ""
    if measure.at_least is not None:
        promise = f"  at least {measure.at_least:,g}"
    elif measure.at_most is not None:
        promise = f"  at most {measure.at_most:,g}"
    kept = "" if measure.is_kept else "  BROKEN"
    return f"{measure.name:<38} {value:>12} {measure.unit:<18}{promise}{kept}"
