"""What is missing, how it would be fetched, and what is worth fetching first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy.engine import Engine

from config.settings import Settings
from ifd.coverage import normalise
from ifd.gateway.historical import HistoricalRequest
from ifd.sessions import Session as MarketSession
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND
from models.gap_ledger import is_of_all
from models.operations import GapRow
from runtime.gap_scan import SessionGaps, scan_gaps

_NANOS_PER_HOUR: Final = 60 * NANOS_PER_MINUTE
REPLAY_ATTEMPTS: Final = 2
"""A gateway that has failed so often is not asked again: history is."""


@dataclasses.dataclass(frozen=True, slots=True)
class Hole:
    """A time of one session in which nothing of a shard was received: `start_ns <= ts < end_ns`.

    `estimated_records` is what the neighbouring coverage lets expect, None when there is none;
    `in_session` says that its session is still open, so that somebody may trade on it.
    """

    shard: str
    market: MarketSession
    start_ns: int
    end_ns: int
    estimated_records: int | None
    in_session: bool

    @property
    def session_date(self) -> str:
        """Date of its session."""
        return self.market.date


def find_holes(
    settings: Settings,
    engine: Engine,
    *,
    shard: str,
    now_ns: int,
    date: str | None = None,
    days: int = 1,
) -> list[Hole]:
    """Reconcile the gaps of some sessions and return the holes to fill, the most urgent first.

    In session first, then the larger, then the more recent. What has not ended long enough ago,
    is given up, or is of another market (the local exchange's before it was started) is no hole.

    Raises
    ------
    InputError, ConfigurationError
        As `runtime.gap_scan.scan_gaps`.
    """
    found = scan_gaps(settings, engine, shard=shard, now_ns=now_ns, date=date, days=days)
    settled_ns = now_ns - int(settings.backfill.settle_seconds * NANOS_PER_SECOND)
    holes = [hole for session in found for hole in _holes_of(session, shard, settled_ns, now_ns)]
    known_ns = settings.feed.resume_runs_after_ns
    return sorted((hole for hole in holes if hole.start_ns >= known_ns), key=_urgency)


def method_for(hole: Hole, settings: Settings, *, failures: int, now_ns: int) -> str:
    """Return `replay` while the live gateway has the hole and has not failed, else `historical`."""
    oldest_ns = now_ns - int(settings.backfill.replay_hours * _NANOS_PER_HOUR)
    young = hole.start_ns - overlap_ns(settings) > oldest_ns
    return "replay" if young and failures < REPLAY_ATTEMPTS else "historical"


def history_of(hole: Hole, settings: Settings) -> list[HistoricalRequest]:
    """Return what to ask of history: the day's definitions until the hole's end, and its orders."""
    lap_ns = overlap_ns(settings)
    symbols = (*settings.feed.parents, *settings.feed.futures)
    start_ns, end_ns = hole.start_ns - lap_ns, hole.end_ns + lap_ns
    # The exchange lists its instruments anew at midnight UTC, and further ones during the day.
    midnight_ns = start_ns - start_ns % (24 * _NANOS_PER_HOUR)
    dataset = settings.feed.dataset
    return [
        HistoricalRequest("definition", symbols, midnight_ns, end_ns, dataset=dataset),
        HistoricalRequest("mbo", symbols, start_ns, end_ns, dataset=dataset),
    ]


def overlap_ns(settings: Settings) -> int:
    """Return how far beyond a hole is asked for, on both sides."""
    return int(settings.backfill.overlap_seconds * NANOS_PER_SECOND)


def _holes_of(session: SessionGaps, shard: str, settled_ns: int, now_ns: int) -> list[Hole]:
    gaps = [
        gap
        for gap in session.gaps
        if gap.state == "open"
        and is_of_all(gap)
        and gap.end_ns is not None
        and gap.end_ns <= settled_ns
    ]
    spans = normalise((gap.start_ns, gap.end_ns) for gap in gaps if gap.end_ns is not None)
    return [
        Hole(
            shard=shard,
            market=session.market,
            start_ns=start_ns,
            end_ns=end_ns,
            estimated_records=_estimate(gaps, start_ns, end_ns),
            in_session=now_ns < session.market.close_ns,
        )
        for start_ns, end_ns in spans
    ]


def _estimate(gaps: Sequence[GapRow], start_ns: int, end_ns: int) -> int | None:
    inside: Iterable[GapRow] = (gap for gap in gaps if start_ns <= gap.start_ns < end_ns)
    known = [gap.estimated_records for gap in inside if gap.estimated_records is not None]
    return sum(known) if known else None


def _urgency(hole: Hole) -> tuple[bool, int, int, int]:
    size = hole.estimated_records or 0
    return (not hole.in_session, -size, hole.start_ns - hole.end_ns, -hole.start_ns)
