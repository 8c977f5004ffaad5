"""Baselines from DBN files into the database: what the nightly flow and the command line do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from sqlalchemy.engine import Engine

from ifd.baseline import BaselineBuilder
from ifd.clock import Clock
from ifd.errors import InputError
from ifd.params import EngineParams
from ifd.pipeline import session_windows
from ifd.records import MboArray
from ifd.replay import read_definitions, read_mbo, read_metadata
from ifd.symbols import DatedInstruments, Instrument
from models.baselines import store_baselines

OnRecords = Callable[[Path, int], None]
"""Called with the file that is read and how many records just came from it."""


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
        DBN files of MBO records, whole sessions; they are read oldest first, and only the newest
        sessions count, as many as the profile says.
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
    builder = BaselineBuilder(params.baseline, DatedInstruments(instruments))
    counted = _Counted(on_records)
    windows = 0
    for window in session_windows(counted.arrays(oldest_first(files)), instruments, params):
        builder.add(window)
        windows += 1
    stats = builder.build()
    sessions = tuple(builder.sessions)
    rows = store_baselines(engine, params, stats, clock=clock)
    return Rebuilt(
        sessions=sessions,
        records=counted.records,
        windows=windows,
        keys=len({stat.key for stat in stats}),
        rows=rows,
        as_of=sessions[-1] if sessions else None,
        fingerprint=params.baseline_fingerprint(),
    )


def oldest_first(files: Iterable[Path]) -> list[Path]:
    """Return DBN files in the order of the time they begin at."""
    return sorted(files, key=lambda path: read_metadata(path).start)


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


class _Counted:
    """Passes arrays on and counts their records."""

    def __init__(self, on_records: OnRecords | None) -> None:
        self.records = 0
        self._on_records = on_records

    def arrays(self, files: Sequence[Path]) -> Iterator[MboArray]:
        for path in files:
            for records in read_mbo([path]):
                self.records += len(records)
                yield records
                if self._on_records is not None:
                    self._on_records(path, len(records))
