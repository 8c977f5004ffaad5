"""One hole: what is missing, and how it would be fetched."""

from __future__ import annotations

import dataclasses
from typing import Final

from config.settings import Settings
from ifd.gateway.historical import HistoricalRequest
from ifd.sessions import Session as MarketSession
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND

_NANOS_PER_HOUR: Final = 60 * NANOS_PER_MINUTE
REPLAY_ATTEMPTS: Final = 2
"""A gateway that has failed so often is not asked again: history is."""
SYMBOLS_A_REQUEST: Final = 1_000
"""The provider takes 2,000; their names have to fit a form, too."""


@dataclasses.dataclass(frozen=True, slots=True)
class Hole:
    """A time of one session of which something was not received: `start_ns <= ts < end_ns`.

    `estimated_records` is what the neighbouring coverage lets expect, `usual_records` what earlier
    sessions had at that time of day, each None when nobody knows. `in_session` says that its
    session is still open, so that somebody may trade on it. A hole `of_doubts` is about some
    instruments alone: `symbols` are those of `instrument_ids` that are defined.
    """

    shard: str
    market: MarketSession
    start_ns: int
    end_ns: int
    estimated_records: int | None
    in_session: bool
    usual_records: int | None = None
    of_doubts: bool = False
    instrument_ids: frozenset[int] = frozenset()
    symbols: tuple[str, ...] = ()

    @property
    def session_date(self) -> str:
        """Date of its session."""
        return self.market.date


def method_for(hole: Hole, settings: Settings, *, failures: int, now_ns: int) -> str:
    """Return `replay` while the live gateway has the hole and has not failed, else `historical`."""
    oldest_ns = now_ns - int(settings.backfill.replay_hours * _NANOS_PER_HOUR)
    young = hole.start_ns - overlap_ns(settings) > oldest_ns
    return "replay" if young and failures < REPLAY_ATTEMPTS else "historical"


def history_of(hole: Hole, settings: Settings) -> list[HistoricalRequest]:
    """Return what to ask of history: the orders of the hole, and what defines their instruments.

    Doubtful instruments are defined already.
    """
    lap_ns, dataset = overlap_ns(settings), settings.feed.dataset
    start_ns, end_ns = hole.start_ns - lap_ns, hole.end_ns + lap_ns
    if hole.of_doubts:
        start_ns = hole.start_ns  # what was captured before is another's
        groups = range(0, len(hole.symbols), SYMBOLS_A_REQUEST)
        return [
            HistoricalRequest(
                "mbo",
                hole.symbols[first : first + SYMBOLS_A_REQUEST],
                start_ns,
                end_ns,
                stype_in="raw_symbol",
                dataset=dataset,
            )
            for first in groups
        ]
    symbols = (*settings.feed.parents, *settings.feed.futures)
    # The exchange lists its instruments anew at midnight UTC, and further ones during the day.
    midnight_ns = start_ns - start_ns % (24 * _NANOS_PER_HOUR)
    return [
        HistoricalRequest("definition", symbols, midnight_ns, end_ns, dataset=dataset),
        HistoricalRequest("mbo", symbols, start_ns, end_ns, dataset=dataset),
    ]


def overlap_ns(settings: Settings) -> int:
    """Return how far beyond a hole is asked for, on both sides."""
    return int(settings.backfill.overlap_seconds * NANOS_PER_SECOND)
