"""The archive and its surroundings: files against the catalogue, the calendar, the provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from config.settings import Settings
from ifd.clock import Clock
from ifd.coverage import Interval, duration_ns, intersect, normalise
from ifd.errors import AuthenticationFailedError, HistoryError, InputError
from ifd.gateway.historical import HistoricalRequest, HistoricalSource
from ifd.symbols import Instrument
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND
from models.operations import CoverageRow
from runtime.gap_scan import scan_gaps
from runtime.quality.batches import ARCHIVE, COVERAGE, ORDERS, PROVIDER, Batch
from runtime.quality.reading import FILE_COLUMNS, SessionReading
from sinks.archive_check import verify

NOT_YET_FLUSHED_NS: Final = NANOS_PER_MINUTE
"""What a stretch that still grows ends with is on its way into the tables."""


def covered_intervals(engine: Engine, shard: str, date: str) -> list[Interval]:
    """Return what was received of a session, less the last minute of a stretch that still grows."""
    with Session(engine) as session:
        rows = session.exec(
            select(CoverageRow)
            .where(CoverageRow.shard == shard, CoverageRow.session_date == date)
            .where(CoverageRow.dbn_schema == "mbo")
            .order_by(col(CoverageRow.start_ns))
        ).all()
    ends = ((row, row.end_ns - (NOT_YET_FLUSHED_NS if row.is_open else 0)) for row in rows)
    return normalise((row.start_ns, end_ns) for row, end_ns in ends if end_ns > row.start_ns)


def order_batches(reading: SessionReading, listed: Mapping[int, Instrument]) -> list[Batch]:
    """Return a batch a file: its counts by instrument, and whether somebody defined each."""
    batches = []
    for name, counts in reading.orders.items():
        frame = counts.rename_axis("instrument_id").reset_index()
        ids = [int(one) for one in frame["instrument_id"]]
        known = {**listed, **reading.defined}
        frame["raw_symbol"] = [known[one].raw_symbol if one in known else None for one in ids]
        frame["in_archive"] = [one in reading.defined for one in ids]
        frame["in_tables"] = [one in listed for one in ids]
        frame["defined"] = frame["in_archive"] | frame["in_tables"]
        batches.append(Batch(ORDERS, name, frame))
    return batches


def archive_batch(
    reading: SessionReading, engine: Engine, directory: Path, shard: str, date: str, *, now_ns: int
) -> Batch:
    """Return a row for each file: what the catalogue denies of it, its clock and its books."""
    findings = verify(engine, directory, session_date=date, now_ns=now_ns)
    problems: dict[str, list[str]] = {}
    for finding in findings:
        if Path(finding.path).parent.name == shard:
            told = problems.setdefault(Path(finding.path).name, [])
            told.append(f"{finding.problem}: {finding.detail}")
    rows = {row["file"]: row for row in reading.files}
    for name, told in problems.items():
        row = rows.setdefault(name, {"file": name})
        row["problem"] = "; ".join(told)
    frame = pd.DataFrame(list(rows.values()), columns=list(FILE_COLUMNS))
    return Batch(ARCHIVE, f"archive {date}", frame)


def coverage_batch(
    settings: Settings,
    engine: Engine,
    date: str,
    covered: Sequence[Interval],
    trades: pd.DataFrame,
    futures: Sequence[int],
    *,
    last_ns: int,
    now_ns: int,
) -> Batch:
    """Return one row: the share of the session that was received, and how long its future was mute.

    The future is the one that traded most, and it may be mute before the first trade of anything
    and after the last record of anything (`last_ns`). Nobody promised that the simulated exchange
    runs all day: of its session only what lies between the first and the last that was received
    counts.
    """
    name, shard = f"coverage {date}", settings.feed.shard
    if settings.session.hours == "always":
        if not covered:
            return Batch(COVERAGE, name, pd.DataFrame(), "nothing was received")
        hours = (covered[0][0], covered[-1][1])
        share, lost = duration_ns(covered) / duration_ns([hours]), 0
    else:
        try:
            (found,) = scan_gaps(settings, engine, shard=shard, now_ns=now_ns, date=date)
        except InputError as error:
            return Batch(COVERAGE, name, pd.DataFrame(), str(error))
        hours, share = (found.market.open_ns, found.until_ns), found.covered_share
        lost = sum(gap.state == "lost" for gap in found.gaps)
    begun_ns = int(trades["ts_event"].min()) if len(trades) else hours[0]
    watched = intersect(intersect(covered, [hours]), [(begun_ns, max(last_ns, begun_ns))])
    silence_ns = longest_silence_ns(trades, futures, watched)
    row = {
        "covered_share": share,
        "lost_gaps": lost,
        "future_silence_s": silence_ns / NANOS_PER_SECOND,
    }
    return Batch(COVERAGE, name, pd.DataFrame([row]))


def longest_silence_ns(
    trades: pd.DataFrame, futures: Sequence[int], watched: Sequence[Interval]
) -> int:
    """Return the longest time within `watched` without a trade of the busiest future."""
    times = np.empty(0, np.int64)
    of_futures = trades[trades["instrument_id"].isin(futures)]
    if len(of_futures):
        busiest = of_futures["instrument_id"].value_counts().idxmax()
        times = np.sort(of_futures[of_futures["instrument_id"] == busiest]["ts_event"].to_numpy())
    return max((_silence_in(times, start, end) for start, end in watched), default=0)


def _silence_in(times: npt.NDArray[np.int64], start: int, end: int) -> int:
    inside = times[(times >= start) & (times < end)]
    return int(np.diff(np.concatenate([[start], inside, [end]])).max())


def provider_batch(
    settings: Settings,
    covered: Sequence[Interval],
    received: npt.NDArray[np.int64],
    date: str,
    *,
    clock: Clock,
    source: HistoricalSource | None = None,
) -> Batch:
    """Return a row for each stretch: records archived, and those the provider counts; free.

    Nothing is asked where no historical source is configured, or the feed is simulated by a market
    that has no history.
    """
    name = f"provider {date}"
    key, gateway = settings.databento_api_key, settings.historical.gateway
    if source is None and (key is None or (settings.feed.simulated and gateway is None)):
        return Batch(PROVIDER, name, pd.DataFrame(), "no historical source is configured")
    source = source or HistoricalSource(
        settings.require_databento_key(),
        dataset=settings.feed.dataset,
        gateway=gateway,
        clock=clock,
    )
    symbols = (*settings.feed.parents, *settings.feed.futures)
    rows = []
    try:
        for (start, end), archived in zip(covered, received.tolist(), strict=True):
            request = HistoricalRequest("mbo", symbols, start, end, dataset=settings.feed.dataset)
            rows.append({"archived": archived, "provider": source.record_count(request)})
    except (HistoryError, AuthenticationFailedError) as error:
        return Batch(PROVIDER, name, pd.DataFrame(), str(error))
    frame = pd.DataFrame(rows, columns=["archived", "provider"])
    missing = (frame["provider"] - frame["archived"]).abs()
    frame["difference_share"] = missing / frame["provider"].clip(lower=1)
    return Batch(PROVIDER, name, frame, None if rows else "nothing was received")
