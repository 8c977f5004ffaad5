"""Simulated sessions as DBN files: definitions, one MBO file a day, and the truth beside them.

The files are what a historical download looks like, readable by `databento.DBNStore`. They appear
all at once: everything is written into a temporary directory beside the target and renamed at the
end, so that nothing half-written stays after a failure or Ctrl-C.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import databento_dbn as dbn
import zstandard
from databento_dbn.metadata import MappingInterval

from ifd.errors import ConfigurationError, InputError
from ifd.sessions import next_business_date
from ifd.units import NANOS_PER_MINUTE, ns_from_datetime
from simulator.market.chain import Chain, list_chain, moment_ns
from simulator.market.definitions import definition_messages
from simulator.market.episodes import Episode
from simulator.market.market import Market, MarketParams

DATASET: Final = "GLBX.MDP3"
DEFINITIONS_NAME: Final = "definitions.dbn.zst"
LABELS_NAME: Final = "labels.json"
MBO_PATTERN: Final = "????-??-??.mbo.dbn.zst"
FIRST_DATE: Final = dt.date(2026, 10, 5)
"""Where simulated days begin unless told otherwise, so that bytes depend on the options alone."""
OPENING: Final = dt.time(9, 30)
_COMPRESSION_LEVEL: Final = 3

Progress = Callable[[], None]
"""Called after each minute of market."""


@dataclass(slots=True)
class Interval:
    """What the encoder asks of an interval of dates; `symbol` is the id as text."""

    start_date: dt.date
    end_date: dt.date
    symbol: str


@dataclass(slots=True)
class Mapping:
    """The ids of one symbol, by date, as the encoder asks for them."""

    raw_symbol: str
    intervals: Sequence[MappingInterval]


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """Which sessions to make: everything their bytes depend on."""

    days: int
    seed: int
    start_date: dt.date = FIRST_DATE
    minutes: int = 390
    params: MarketParams = field(default_factory=MarketParams)

    def dates(self) -> list[dt.date]:
        """Return the sessions' dates: business days from the start date on.

        Raises
        ------
        ConfigurationError
            If no session, or one without a minute, is asked for.
        """
        if self.days < 1 or self.minutes < 1:
            raise ConfigurationError("ask for at least 1 day and 1 minute")
        dates = [next_business_date(self.start_date)]
        while len(dates) < self.days:
            dates.append(next_business_date(dates[-1] + dt.timedelta(days=1)))
        return dates


@dataclass(frozen=True, slots=True)
class Written:
    """What was made."""

    directory: Path
    sessions: int
    instruments: int
    records: int
    episodes: int
    bytes: int


def write_sessions(
    directory: Path, plan: SessionPlan, *, force: bool = False, progress: Progress | None = None
) -> Written:
    """Simulate the sessions of `plan` and write them to `directory`.

    Raises
    ------
    InputError
        If the directory holds something and `force` was not given. With `force`, files of an
        earlier simulation are replaced and others left alone.
    """
    if not force and directory.exists() and any(directory.iterdir()):
        raise InputError(
            f"{directory} is not empty: choose another directory, or replace the simulated "
            "sessions in it with --force"
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        written = _write_all(scratch, directory, plan, progress or (lambda: None))
        _move_into_place(scratch, directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return written


def session_seed(seed: int, session: dt.date) -> int:
    """Return the seed of one session, so that each day can be made without those before it."""
    digest = hashlib.sha256(f"{seed}|{session.isoformat()}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _write_all(scratch: Path, directory: Path, plan: SessionPlan, progress: Progress) -> Written:
    dates = plan.dates()
    chain = list_chain(dates[-1])
    _write_definitions(scratch / DEFINITIONS_NAME, chain, dates)
    records = 0
    labels: list[Episode] = []
    for date in dates:
        path = scratch / f"{date.isoformat()}.mbo.dbn.zst"
        made, episodes = _write_session(path, chain, date, plan, progress)
        records += made
        labels += episodes
    document = json.dumps([episode.to_json() for episode in labels], indent=1)
    (scratch / LABELS_NAME).write_text(document + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in scratch.iterdir())
    return Written(directory, len(dates), len(chain.contracts), records, len(labels), size)


def _write_definitions(path: Path, chain: Chain, dates: list[dt.date]) -> None:
    header = _metadata(dbn.Schema.from_str("definition"), chain, dates)
    with path.open("xb") as file, _compressor().stream_writer(file) as stream:
        stream.write(header)
        for date in dates:
            for message in definition_messages(chain, date):
                stream.write(bytes(message))


def _write_session(
    path: Path, chain: Chain, date: dt.date, plan: SessionPlan, progress: Progress
) -> tuple[int, tuple[Episode, ...]]:
    start_ns = moment_ns(date, OPENING)
    end_ns = start_ns + plan.minutes * NANOS_PER_MINUTE
    seed = session_seed(plan.seed, date)
    market = Market(seed, start_ns, chain, plan.params, end_ns=end_ns)
    records = 0
    with path.open("xb") as file, _compressor().stream_writer(file) as stream:
        stream.write(_metadata(dbn.Schema.from_str("mbo"), chain, [date]))
        for until_ns in _minutes(start_ns, end_ns):
            batch = market.advance(until_ns)
            stream.write(batch.tobytes())
            records += len(batch)
            progress()
    return records, market.labels


def _minutes(start_ns: int, end_ns: int) -> Iterator[int]:
    yield from range(start_ns + NANOS_PER_MINUTE, end_ns + 1, NANOS_PER_MINUTE)


def _metadata(schema: dbn.Schema, chain: Chain, dates: list[dt.date]) -> bytes:
    after = dates[-1] + dt.timedelta(days=1)
    symbols = [contract.raw_symbol for contract in chain.contracts]
    metadata = dbn.Metadata(
        dataset=DATASET,
        start=_midnight_ns(dates[0]),
        end=_midnight_ns(after),
        stype_in=dbn.SType.from_str("raw_symbol"),
        stype_out=dbn.SType.from_str("instrument_id"),
        schema=schema,
        symbols=symbols,
        mappings=[
            Mapping(contract.raw_symbol, [Interval(dates[0], after, str(contract.instrument_id))])
            for contract in chain.contracts
        ],
    )
    return metadata.encode()


def _midnight_ns(day: dt.date) -> int:
    return ns_from_datetime(dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC))


def _compressor() -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL, write_checksum=True)


def _move_into_place(scratch: Path, directory: Path) -> None:
    if not directory.exists():
        scratch.chmod(0o755)
        scratch.rename(directory)
        return
    for old in directory.glob(MBO_PATTERN):
        old.unlink()
    for new in sorted(scratch.iterdir()):
        new.replace(directory / new.name)
