"""The DBN files that are served, as one history: day files, definitions, segments of the archive.

A file's header says when and of which schema it is; its records are read at the first question
they may answer, and once. Files are given out in the order of their first record, so files of one
schema that overlap in time must not be served together.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import databento_dbn as dbn
import numpy as np

from ifd.errors import ConfigurationError, UnsupportedDataError
from ifd.records import Chunk
from ifd.replay import read_chunks, read_metadata
from ifd.units import NANOS_PER_SECOND, UNDEFINED_TIMESTAMP, ns_from_datetime, utc_from_ns
from simulator.historical.holding import Holding, Records, dtype_of
from simulator.historical.query import RangeQuery
from simulator.historical.symbols import DatedSymbology, days_between

NANOS_PER_DAY: Final = 86_400 * NANOS_PER_SECOND
_SCHEMA_OF_RECORD: Final = {
    int(dbn.RType.INSTRUMENT_DEF): "definition",
    int(dbn.RType.STATISTICS): "statistics",
    int(dbn.RType.STATUS): "status",
}
"""What the odd records of a live recording belong to; its mappings, for one, to nothing."""


@dataclass(frozen=True, slots=True)
class DayOnFile:
    """One UTC day of a schema, and when its file was last changed."""

    day: dt.date
    modified: dt.date


@dataclass(slots=True)
class _File:
    path: Path
    metadata: dbn.Metadata
    lock: threading.Lock = field(default_factory=threading.Lock)
    holdings: dict[str, Holding] | None = None

    @property
    def schema(self) -> str | None:
        schema = self.metadata.schema
        return None if schema is None else str(schema)

    def load(self) -> dict[str, Holding]:
        with self.lock:
            if self.holdings is None:
                self.holdings = {}
                for chunk in read_chunks(self.path):
                    self._keep(self.holdings, chunk)
            return self.holdings

    def _keep(self, holdings: dict[str, Holding], chunk: Chunk) -> None:
        schema, records = self._records_of(chunk)
        if schema is not None and len(records):
            holding = holdings.get(schema) or holdings.setdefault(schema, Holding(schema))
            holding.append(records)

    def _records_of(self, chunk: Chunk) -> tuple[str | None, Records]:
        if isinstance(chunk, np.ndarray):
            return self.schema or "mbo", chunk
        schema = self.schema or _SCHEMA_OF_RECORD.get(int(chunk.rtype))
        if schema is None:
            return None, np.empty(0, dtype=np.void)
        dtype = dtype_of(schema)
        # A recording with send times has eight bytes more behind every record.
        return schema, np.frombuffer(bytes(chunk)[: dtype.itemsize], dtype=dtype)


class Library:
    """Everything that is served.

    Parameters
    ----------
    paths : sequence of Path
        Files, or directories whose `.dbn` and `.dbn.zst` files are taken, at any depth.

    Raises
    ------
    ConfigurationError, InputError, UnsupportedDataError, CorruptFileError
        If there is nothing to serve, or a file is not what it should be.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = [_File(path, read_metadata(path)) for path in _dbn_files(paths)]
        datasets = {file.metadata.dataset for file in self._files}
        if len(datasets) != 1:
            raise UnsupportedDataError(
                f"the files to serve are of {len(datasets)} datasets "
                f"({', '.join(sorted(datasets))}): serve those of one"
            )
        self.dataset = datasets.pop()
        self.symbology = DatedSymbology()
        for file in self._files:
            self.symbology.add_names(file.metadata.mappings)
            if file.schema in (None, "definition"):
                self._learn_definitions(file.path)
        self._days = self._days_on_file()

    def schemas(self) -> list[str]:
        """Return the schemas that are held, in order of name."""
        return sorted(self._days)

    def days(self, schema: str | None = None) -> list[DayOnFile]:
        """Return the days of a schema, or of any, in order and each once."""
        newest: dict[dt.date, dt.date] = {}
        for name in self._days if schema is None else [schema]:
            for one in self._days[name]:
                newest[one.day] = max(newest.get(one.day, one.modified), one.modified)
        return [DayOnFile(day, newest[day]) for day in sorted(newest)]

    def select(self, query: RangeQuery) -> Iterator[Records]:
        """Give the records a query asks for, day by day."""
        left = query.limit
        for day in query_days(query):
            midnight = midnight_ns(day)
            start_ns = max(query.start_ns, midnight)
            end_ns = min(query.end_ns, midnight + NANOS_PER_DAY)
            resolved = self.symbology.on(day).resolve(query.symbols, query.stype_in)[0]
            idents = np.array(sorted(one.instrument_id for one in resolved), dtype=np.uint32)
            for holding in self._holdings(query.schema, start_ns, end_ns):
                for records in holding.select(idents, start_ns, end_ns):
                    chosen = records if left is None else records[:left]
                    yield chosen
                    if left is not None:
                        left -= len(chosen)
                        if left == 0:
                            return

    def count(self, query: RangeQuery) -> int:
        """Return how many records a query asks for."""
        return sum(len(records) for records in self.select(query))

    def close(self) -> None:
        """Give the disk space back."""
        for file in self._files:
            for holding in (file.holdings or {}).values():
                holding.close()

    def _holdings(self, schema: str, start_ns: int, end_ns: int) -> list[Holding]:
        holdings = [
            file.load().get(schema)
            for file in self._files
            if file.schema in (None, schema) and _may_hold(file.metadata, start_ns, end_ns)
        ]
        return sorted(
            (holding for holding in holdings if holding is not None),
            key=lambda holding: holding.first_ns,
        )

    def _learn_definitions(self, path: Path) -> None:
        for chunk in read_chunks(path):
            if isinstance(chunk, dbn.InstrumentDefMsg):
                self.symbology.add_definition(chunk)

    def _days_on_file(self) -> dict[str, list[DayOnFile]]:
        days: dict[str, list[DayOnFile]] = {}
        for file in self._files:
            modified = utc_from_ns(file.path.stat().st_mtime_ns).date()
            for schema, start_ns, last_ns in _spans(file):
                first = utc_from_ns(start_ns).date()
                after = utc_from_ns(last_ns).date() + dt.timedelta(days=1)
                found = days.setdefault(schema, [])
                found += [DayOnFile(day, modified) for day in days_between(first, after)]
        return days


def query_days(query: RangeQuery) -> list[dt.date]:
    """Return the UTC days that a query touches."""
    last = utc_from_ns(query.end_ns - 1).date()
    return days_between(utc_from_ns(query.start_ns).date(), last + dt.timedelta(days=1))


def midnight_ns(day: dt.date) -> int:
    """Return the beginning of a UTC day."""
    return ns_from_datetime(dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC))


def _spans(file: _File) -> list[tuple[str, int, int]]:
    """Return schema, start and last moment of what a file holds.

    A header that names no end, that of a recording, says nothing: then the records are asked.
    """
    metadata = file.metadata
    if file.schema is not None and metadata.end not in (None, UNDEFINED_TIMESTAMP):
        return [(file.schema, metadata.start, metadata.end - 1)]
    return [(name, one.first_ns, one.last_ns) for name, one in file.load().items()]


def _may_hold(metadata: dbn.Metadata, start_ns: int, end_ns: int) -> bool:
    ends_ns = metadata.end
    if metadata.schema is None or ends_ns in (None, UNDEFINED_TIMESTAMP):
        return True
    return bool(metadata.start < end_ns and ends_ns > start_ns)


def _dbn_files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted([*path.rglob("*.dbn"), *path.rglob("*.dbn.zst")])
        else:
            files.append(path)
    if not files:
        named = ", ".join(str(path) for path in paths)
        raise ConfigurationError(f"there is no DBN file to serve in {named}")
    return files
