"""A session's archive as one stream in order of time, whoever wrote its segments, and whenever."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import databento_dbn as dbn
import numpy as np
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.errors import CorruptFileError
from ifd.records import F_SNAPSHOT, MboArray
from ifd.replay import read_chunks
from models.operations import ArchiveFileRow
from runtime.merging import merge_by_time

BACKFILL_PREFIX = "backfill-"
"""Segments that no run wrote are named so."""

OnDefinition = Callable[[dbn.InstrumentDefMsg], None]
OnStatus = Callable[[dbn.StatusMsg], None]


def session_segments(engine: Engine, shard: str, session_date: str) -> list[ArchiveFileRow]:
    """Return the segments of a session that are on the disk, in the order they were begun."""
    with Session(engine) as session:
        rows = session.exec(
            select(ArchiveFileRow)
            .where(ArchiveFileRow.shard == shard, ArchiveFileRow.session_date == session_date)
            .order_by(col(ArchiveFileRow.created_ns), col(ArchiveFileRow.path))
        ).all()
    return [row for row in rows if Path(row.path).is_file()]


def read_session(
    segments: Sequence[ArchiveFileRow],
    on_definition: OnDefinition = lambda _definition: None,
    *,
    on_status: OnStatus = lambda _status: None,
) -> Iterator[MboArray]:
    """Give the orders of a session's segments in order of time.

    Parameters
    ----------
    on_definition : callable
        Told of each definition before any record that came after it in its own segment.
    on_status : callable
        Told of each change of an instrument's trading status, likewise.

    Raises
    ------
    InputError
        If a closed segment cannot be read to its end.
    """
    live: dict[int | None, list[ArchiveFileRow]] = {}
    for row in segments:
        filled = Path(row.path).name.startswith(BACKFILL_PREFIX)
        # A run's segments follow each other; what filled a hole runs beside them.
        live.setdefault(-len(live) - 1 if filled or row.run_id is None else row.run_id, []).append(
            row
        )
    yield from merge_by_time(_read_all(rows, on_definition, on_status) for rows in live.values())


def received_between(
    segments: Iterable[ArchiveFileRow], start_ns: int, end_ns: int
) -> Iterator[MboArray]:
    """Give the orders captured in `start_ns <= ts_recv < end_ns`, snapshots aside."""
    for row in segments:
        reaches = row.closed_ns is None or (row.last_ts is not None and row.last_ts >= start_ns)
        if not reaches or row.first_ts is None or row.first_ts >= end_ns:
            continue
        for records in _read(row, lambda _definition: None, lambda _status: None):
            times = records["ts_recv"]
            inside = (times >= start_ns) & (times < end_ns) & (records["flags"] & F_SNAPSHOT == 0)
            if inside.any():
                yield records[inside]


def _read_all(
    rows: Sequence[ArchiveFileRow], on_definition: OnDefinition, on_status: OnStatus
) -> Iterator[MboArray]:
    for row in rows:
        yield from _read(row, on_definition, on_status)


def _read(
    row: ArchiveFileRow, on_definition: OnDefinition, on_status: OnStatus
) -> Iterator[MboArray]:
    try:
        for chunk in read_chunks(row.path):
            if isinstance(chunk, np.ndarray):
                yield chunk
            elif isinstance(chunk, dbn.InstrumentDefMsg):
                on_definition(chunk)
            elif isinstance(chunk, dbn.StatusMsg):
                on_status(chunk)
    except CorruptFileError:
        if row.closed_ns is not None:
            raise
        # It is still being written: everything before its unfinished frame was given.
