"""What one session brings to the baselines: its closed windows, computed once and kept.

A session is computed by itself, so that sessions can be computed beside each other, and the result
depends on nothing but the files, the definitions and the window's length. Their checksums name what
is kept; a night reads one new session and finds nineteen. Workers on several machines need the
archive and this directory in common.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from ifd.params import BASELINE_MEASURES, EngineParams
from ifd.pipeline import session_windows
from ifd.records import MboArray
from ifd.replay import read_definitions, read_mbo, read_metadata
from ifd.sessions import session_date
from ifd.symbols import Instrument
from ifd.windows import PressureWindow

FORMAT: Final = 1
"""Raised when what is kept is laid out anew, or windows are computed differently."""
OnRecords = Callable[[Path, int], None]
"""Called with the file that is read and how many records just came from it."""
_Fact = TypeVar("_Fact", PressureWindow, Instrument)


@dataclasses.dataclass(frozen=True, slots=True)
class SessionFiles:
    """The MBO files of one session in order, what defines their instruments, and checksums.

    `definitions` empty: the files do so themselves. `checksums` are those of the files where they
    are known already, as in the archive's catalogue; the others are read.
    """

    date: str
    files: tuple[Path, ...]
    definitions: tuple[Path, ...] = ()
    checksums: Mapping[Path, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class SessionPart:
    """One session computed: where it is kept, how much it is, and whether it was there already."""

    date: str
    path: Path
    records: int
    windows: int
    known: bool


def by_session(
    files: Iterable[Path],
    definitions: Sequence[Path] = (),
    checksums: Mapping[Path, str] | None = None,
) -> list[SessionFiles]:
    """Return the files grouped by the trading date they begin on, oldest first.

    Raises
    ------
    InputError
        If a file is missing, damaged or of another kind.
    """
    begins = {path: int(read_metadata(path).start) for path in files}
    groups: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(begins, key=begins.__getitem__):
        groups[session_date(begins[path])].append(path)
    known = checksums or {}
    return [
        SessionFiles(date, tuple(groups[date]), tuple(definitions), known)
        for date in sorted(groups)
    ]


def instruments_of(session: SessionFiles) -> list[Instrument]:
    """Return the instruments of a session, in the order of the files that define them.

    A file of orders alone, as history comes, defines nothing; a recording of a live session does.
    """
    own = [path for path in session.files if read_metadata(path).schema != "mbo"]
    return [
        instrument for path in session.definitions or own for instrument in read_definitions(path)
    ]


def windows_of(
    session: SessionFiles,
    instruments: Iterable[Instrument],
    params: EngineParams,
    *,
    on_records: OnRecords | None = None,
) -> Iterator[PressureWindow]:
    """Yield every closed window of a session, whatever was in any other."""
    return session_windows(_arrays(session.files, on_records), instruments, params)


def compute_part(
    session: SessionFiles,
    params: EngineParams,
    directory: Path,
    *,
    on_records: OnRecords | None = None,
) -> SessionPart:
    """Compute a session, or find it computed; what is kept appears as a whole.

    Raises
    ------
    InputError
        If a file is missing, damaged or of another schema.
    """
    path = directory / f"{session.date}-{_fingerprint(session, params)}"
    if (path / "windows.parquet").is_file():
        rows = pq.read_metadata(path / "windows.parquet")
        records = int(rows.metadata[b"records"])
        return SessionPart(session.date, path, records, rows.num_rows, known=True)
    instruments = instruments_of(session)
    records = 0

    def count(file: Path, number: int) -> None:
        nonlocal records
        records += number
        if on_records is not None:
            on_records(file, number)

    windows = list(windows_of(session, instruments, params, on_records=count))
    path.mkdir(parents=True, exist_ok=True)
    _write(path / "instruments.parquet", Instrument, instruments, records=0)
    # Last, for its presence says that all is there.
    _write(path / "windows.parquet", PressureWindow, windows, records=records)
    return SessionPart(session.date, path, records, len(windows), known=False)


def part_windows(part: SessionPart) -> Iterator[PressureWindow]:
    """Yield the windows of a computed session."""
    return _read(part.path / "windows.parquet", PressureWindow)


def part_instruments(part: SessionPart) -> Iterator[Instrument]:
    """Yield the instruments of a computed session."""
    return _read(part.path / "instruments.parquet", Instrument)


def _arrays(files: Iterable[Path], on_records: OnRecords | None) -> Iterator[MboArray]:
    for path in files:
        for records in read_mbo([path]):
            yield records
            if on_records is not None:
                on_records(path, len(records))


def _fingerprint(session: SessionFiles, params: EngineParams) -> str:
    digest = hashlib.sha256(f"{FORMAT} {BASELINE_MEASURES} {params.windows.length_ns}".encode())
    for path in (*session.files, *session.definitions):
        checksum = session.checksums.get(path) or _checksum(path)
        digest.update(f"\n{checksum}".encode())
    return digest.hexdigest()[:16]


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_TYPES: Final = {"int": pa.int64(), "float": pa.float64(), "str": pa.string(), "bool": pa.bool_()}


def _schema(kind: type[_Fact], records: int) -> pa.Schema:
    fields = [
        (field.name, _TYPES[str(field.type).removesuffix(" | None")])
        for field in dataclasses.fields(kind)
    ]
    return pa.schema(fields, metadata={"records": str(records)})


def _write(path: Path, kind: type[_Fact], facts: Sequence[_Fact], *, records: int) -> None:
    schema = _schema(kind, records)
    columns: dict[str, list[Any]] = {  # Any: the values of each field's type
        name: [getattr(fact, name) for fact in facts] for name in schema.names
    }
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    pq.write_table(pa.table(columns, schema=schema), partial, compression="zstd")
    partial.replace(path)


def _read(path: Path, kind: type[_Fact]) -> Iterator[_Fact]:
    for batch in pq.ParquetFile(path).iter_batches():
        yield from map(kind, *(column.to_pylist() for column in batch.columns))
