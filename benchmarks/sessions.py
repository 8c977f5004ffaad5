"""Simulated sessions to measure with: made once from a seed, kept as DBN files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Final, NamedTuple

import databento_dbn as dbn
import numpy as np
import zstandard

from ifd.records import MboArray
from ifd.symbols import Instrument, instrument_from_definition
from ifd.units import NANOS_PER_SECOND
from simulator.market import Market, MarketParams, list_chain
from simulator.market.chain import moment_ns
from simulator.market.definitions import definition_messages

DATE: Final = dt.date(2026, 10, 5)
SEED: Final = 1
_OPENING: Final = dt.time(9, 30)
_STEP_NS: Final = 10 * NANOS_PER_SECOND


class BenchSession(NamedTuple):
    """A simulated session: its records, what is listed, and both as files."""

    records: MboArray
    instruments: list[Instrument]
    mbo_file: Path
    definitions_file: Path


def make_session(directory: Path, *, records: int, strikes: int) -> BenchSession:
    """Simulate so many records of the future and four options a strike; kept in `directory`."""
    chain = list_chain(DATE, strikes=strikes)
    definitions = definition_messages(chain, DATE)
    name = f"{strikes}-strikes-{records}"
    mbo_file = directory / f"{name}.mbo.dbn.zst"
    definitions_file = directory / f"{name}.definition.dbn.zst"
    opening = moment_ns(DATE, _OPENING)
    market = Market(
        SEED, opening, chain, MarketParams(records_per_second=3_000.0, episode_seconds=60.0)
    )
    parts: list[MboArray] = []
    made = step = 0
    while made < records:
        step += 1
        parts.append(market.advance(opening + step * _STEP_NS))
        made += len(parts[-1])
    session = np.concatenate(parts)[:records]
    write_dbn(mbo_file, "mbo", session.tobytes())
    write_dbn(definitions_file, "definition", b"".join(bytes(one) for one in definitions))
    instruments = [instrument_from_definition(message) for message in definitions]
    return BenchSession(session, instruments, mbo_file, definitions_file)


def write_dbn(path: Path, schema: str, records: bytes) -> None:
    """Write records as a DBN file, compressed as a download is."""
    header = dbn.Metadata(
        dataset="GLBX.MDP3",
        start=moment_ns(DATE, dt.time()),
        stype_in=dbn.SType.from_str("raw_symbol"),
        stype_out=dbn.SType.from_str("instrument_id"),
        schema=dbn.Schema.from_str(schema),
        symbols=[],
        mappings=[],
    ).encode()
    path.write_bytes(zstandard.ZstdCompressor(level=3).compress(header + records))
