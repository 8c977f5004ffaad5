"""Baselines from DBN files into the database: what the nightly flow and the command line do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy.engine import Engine

from ifd.baseline import BaselineBuilder
from ifd.clock import Clock
from ifd.errors import InputError
from ifd.params import EngineParams
from ifd.replay import read_definitions
from ifd.symbols import DatedInstruments, Instrument
from ifd.windows import PressureWindow
from models.baselines import store_baselines
from runtime.session_parts import (
    OnRecords,
    SessionPart,
    by_session,
    part_instruments,
    part_windows,
    windows_of,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild made: `keys` are strikes and peer groups, `rows` statistics."""

    sessions: tuple[str, ...]
    records: int
    windows: int
    keys: int
    rows: int
    as_of: str | None
    fingerprint: str


def rebuild(
    files: Sequence[Path],
    definitions: Sequence[Path],
    engine: Engine,
    params: EngineParams,
    *,
    clock: Clock,
    on_records: OnRecords | None = None,
) -> Rebuilt:
    """Replace the baselines of `params` by those of the sessions in `files`.

    Nothing is written before everything has been read, and the rows are replaced in one
    transaction: a failure or a second run leaves no trace.

    Parameters
    ----------
    files : sequence of Path
        DBN files of MBO records, whole sessions, in any order; only the newest sessions count, as
        many as the profile says.
    definitions : sequence of Path
        DBN files that define the instruments.
    engine : Engine
        A database that is migrated.

    Raises
    ------
    InputError
        If a file is missing, damaged or of another schema, or nothing is defined.
    """
    instruments = read_all_definitions(definitions)
    records = 0

    def count(path: Path, number: int) -> None:
        nonlocal records
        records += number
        if on_records is not None:
            on_records(path, number)

    windows = (
        window
        for session in by_session(files, definitions)
        for window in windows_of(session, instruments, params, on_records=count)
    )
    made = _store(windows, instruments, engine, params, clock=clock)
    return dataclasses.replace(made, records=records)


def merge(
    parts: Sequence[SessionPart], engine: Engine, params: EngineParams, *, clock: Clock
) -> Rebuilt:
    """Replace the baselines of `params` by those of sessions that were computed one by one.

    The result is that of `rebuild` over the same files, wherever and in whatever order the parts
    were computed.
    """
    ordered = sorted(parts, key=lambda part: part.date)
    # Parts that were given the same definitions hold them all: one of each is enough.
    instruments = dict.fromkeys(one for part in ordered for one in part_instruments(part))
    windows = (window for part in ordered for window in part_windows(part))
    made = _store(windows, list(instruments), engine, params, clock=clock)
    return dataclasses.replace(made, records=sum(part.records for part in parts))


def _store(
    windows: Iterable[PressureWindow],
    instruments: Sequence[Instrument],
    engine: Engine,
    params: EngineParams,
    *,
    clock: Clock,
) -> Rebuilt:
    builder = BaselineBuilder(params.baseline, DatedInstruments(instruments))
    number = 0
    for window in windows:
        builder.add(window)
        number += 1
    stats = builder.build()
    sessions = tuple(builder.sessions)
    rows = store_baselines(engine, params, stats, clock=clock)
    return Rebuilt(
        sessions=sessions,
        records=0,
        windows=number,
        keys=len({stat.key for stat in stats}),
        rows=rows,
        as_of=sessions[-1] if sessions else None,
        fingerprint=params.baseline_fingerprint(),
    )


def read_all_definitions(files: Iterable[Path]) -> list[Instrument]:
    """Return the instruments of definition files.

    Raises
    ------
    InputError
        If a file holds none.
    """
    instruments: list[Instrument] = []
    for path in files:
        found = read_definitions(path)
        if not found:
            raise InputError(
                f"{path} holds no instrument definitions: give a DBN file of schema definition "
                "for the same dates"
            )
        instruments += found
    return instruments
