"""Gaps in what coverage claims: the archive has lost it, or history has more of it.

Coverage is what a run received; whether it is still there, and whether it was all there was, others
say: the disk, and the provider's record counts, which are free. Only what is fetched for such a gap
makes it good, for coverage has been there all the time.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Engine
from sqlmodel import Session

from config.settings import Settings
from ifd.coverage import Interval, intersect, normalise, subtract
from ifd.gateway.historical import HistoricalRequest, HistoricalSource
from ifd.sessions import Session as MarketSession
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND
from models.coverage import gaps_of, missing_intervals, note_discrepancies
from models.operations import ArchiveFileRow, GapRow
from runtime.session_archive import received_between, session_segments
from sinks.archive_check import archive_rows

CELL_NS: Final = NANOS_PER_MINUTE
"""As finely as history is asked how many records it has."""
SLICE_CELLS: Final = 30
"""Asked for at once; a slice that differs is halved until the minutes are known."""
_DAY_NS: Final = 1_440 * NANOS_PER_MINUTE


def note_lost_files(engine: Engine, shard: str, market: MarketSession, *, now_ns: int) -> str:
    """Record a gap for each segment that the catalogue has and the disk has not.

    When none of a session is there, the disk is away rather than the files: nothing is recorded,
    or everything would be bought again, and a sentence is returned that says so.
    """
    rows = archive_rows(engine, session_date=market.date, shard=shard)
    held = [row for row in rows if row.first_ts is not None]
    lost = [row for row in held if not Path(row.path).is_file()]
    if lost and len(lost) == len(held):
        return f"nothing of the archive of {market.date} is on the disk: is it there?"
    gaps = [gap for row in lost for gap in _gaps_of_file(row, market, now_ns)]
    note_discrepancies(engine, gaps)
    return ""


def compare_counts(
    settings: Settings,
    engine: Engine,
    source: HistoricalSource,
    market: MarketSession,
    *,
    now_ns: int,
) -> list[GapRow]:
    """Record a gap for each time of a session of which history has more records; free.

    What is missing anyway is not compared, nor what was found before. Both count by capture time.

    Raises
    ------
    HistoryError, AuthenticationFailedError
        If history does not answer: its newest hours may not be there yet.
    """
    shard = settings.feed.shard
    with Session(engine) as session:
        gaps = gaps_of(session, shard, [market.date])
    known = [
        *missing_intervals(gaps, now_ns=now_ns),
        *((gap.start_ns, gap.end_ns) for gap in gaps if gap.cause == "count" and gap.end_ns),
    ]
    settled_ns = now_ns - int(settings.backfill.settle_seconds * NANOS_PER_SECOND)
    whole = (market.open_ns, min(market.close_ns, settled_ns))
    times = subtract([whole], [*known, *_midnights(whole)])
    segments = session_segments(engine, shard, market.date)
    counts = _Counts(settings, source, segments, times)
    found = [
        _gap(shard, market, "count", span, counts.words(span), now_ns, counts.lacking(span))
        for span in normalise(counts.short())
    ]
    return note_discrepancies(engine, found)


class _Counts:
    """How many records the archive and history have of some times, cut into cells."""

    def __init__(
        self,
        settings: Settings,
        source: HistoricalSource,
        segments: Sequence[ArchiveFileRow],
        times: Sequence[Interval],
    ) -> None:
        self._source = source
        self._symbols = (*settings.feed.parents, *settings.feed.futures)
        self._dataset = settings.feed.dataset
        self._cells = [cell for time in times for cell in _cells_of(time)]
        edges = sorted({edge for cell in self._cells for edge in cell})
        self._edges = np.array(edges, np.uint64)
        self._held = _cumulated(segments, self._edges)
        self._theirs: dict[Interval, int] = {}

    def short(self) -> list[Interval]:
        """Return the cells of which history has more."""
        found: list[Interval] = []
        for slice_ in _slices_of(self._cells):
            found += self._short_in(slice_)
        return found

    def lacking(self, span: Interval) -> int:
        """Return how many records the archive lacks of a time."""
        return self._count_theirs(span) - self._count_ours(span)

    def words(self, span: Interval) -> str:
        """Return both counts in a sentence."""
        theirs, ours = self._count_theirs(span), self._count_ours(span)
        return f"history has {theirs:,} records, the archive {ours:,}"

    def _short_in(self, cells: Sequence[Interval]) -> list[Interval]:
        span = cells[0][0], cells[-1][1]
        if self.lacking(span) <= 0:
            return []
        if len(cells) == 1:
            return [span]
        middle = len(cells) // 2
        return [*self._short_in(cells[:middle]), *self._short_in(cells[middle:])]

    def _count_theirs(self, span: Interval) -> int:
        if span not in self._theirs:
            asked = HistoricalRequest("mbo", self._symbols, *span, dataset=self._dataset)
            self._theirs[span] = self._source.record_count(asked)
        return self._theirs[span]

    def _count_ours(self, span: Interval) -> int:
        first, last = np.searchsorted(self._edges, np.array(span, np.uint64))
        return int(self._held[last] - self._held[first])


def _cumulated(
    segments: Sequence[ArchiveFileRow], edges: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int64]:
    """Return how many archived orders were captured before each edge, from the first edge on."""
    counts = np.zeros(len(edges) + 1, np.int64)
    if len(edges):
        for records in received_between(segments, int(edges[0]), int(edges[-1])):
            places = np.searchsorted(edges, records["ts_recv"], side="right")
            counts += np.bincount(places, minlength=len(edges) + 1)
    return np.cumsum(counts)[:-1]


def _cells_of(time: Interval) -> list[Interval]:
    start_ns, end_ns = time
    inner = range((start_ns // CELL_NS + 1) * CELL_NS, end_ns, CELL_NS)
    return list(itertools.pairwise([start_ns, *inner, end_ns]))


def _slices_of(cells: Sequence[Interval]) -> list[list[Interval]]:
    """Return cells that follow each other without a break, so many together at most."""
    slices: list[list[Interval]] = []
    for cell in cells:
        last = slices[-1] if slices else []
        if last and last[-1][1] == cell[0] and len(last) < SLICE_CELLS:
            last.append(cell)
        else:
            slices.append([cell])
    return slices


def _midnights(span: Interval) -> list[Interval]:
    # History begins each UTC day with a snapshot of all books, which nobody else is sent.
    days = range(-(-span[0] // _DAY_NS) * _DAY_NS, span[1], _DAY_NS)
    return [(midnight_ns, midnight_ns + CELL_NS) for midnight_ns in days]


def _gaps_of_file(row: ArchiveFileRow, market: MarketSession, now_ns: int) -> list[GapRow]:
    assert row.first_ts is not None
    assert row.last_ts is not None
    detail = f"{Path(row.path).name} is in the catalogue and not on the disk"
    inside = intersect([(row.first_ts, row.last_ts + 1)], [(market.open_ns, market.close_ns)])
    return [
        _gap(row.shard, market, "archive", span, detail, now_ns, row.records) for span in inside
    ]


def _gap(
    shard: str,
    market: MarketSession,
    cause: str,
    span: Interval,
    detail: str,
    now_ns: int,
    records: int,
) -> GapRow:
    return GapRow(
        shard=shard,
        session_date=market.date,
        start_ns=span[0],
        end_ns=span[1],
        missing_ns=span[1] - span[0],
        estimated_records=records,
        cause=cause,
        state="open",
        detail=detail,
        detected_ns=now_ns,
    )
