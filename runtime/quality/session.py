"""All that is checked of one session, batch after batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from sqlalchemy.engine import Engine

from config.settings import Settings
from ifd.clock import Clock
from ifd.coverage import Interval
from ifd.errors import NothingArchivedError
from ifd.gateway.historical import HistoricalSource
from ifd.symbols import Instrument
from ifd.units import NANOS_PER_SECOND
from runtime.quality.archive import (
    archive_batch,
    coverage_batch,
    covered_intervals,
    order_batches,
    provider_batch,
)
from runtime.quality.batches import Batch
from runtime.quality.listing import instruments_batch, listed_instruments
from runtime.quality.reading import SessionReading, read_archive, trades_frame
from runtime.quality.stored import (
    baselines_batch,
    session_fingerprints,
    signals_batch,
    windows_batch,
)
from runtime.quality.traded import bars_batch, flow_batch
from runtime.session_archive import session_segments
from sinks.archive_check import archive_rows

OnShare = Callable[[float], None]
"""Told which share (0..1) of the archive is read."""


class SessionBatches:
    """The batches of one session of one shard.

    Parameters
    ----------
    source : HistoricalSource, optional
        The provider's history; that of the settings when absent.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        date: str,
        *,
        clock: Clock,
        source: HistoricalSource | None = None,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._date = date
        self._clock = clock
        self._source = source
        self._shard = settings.feed.shard
        self._params = settings.engine_params()

    def make(self, on_share: OnShare = lambda _share: None) -> Iterator[Batch]:
        """Give the batches; the archive is read first, once.

        Raises
        ------
        NothingArchivedError
            If nothing of the session was ever archived.
        ConfigurationError
            If the file with the calendar's corrections cannot be used.
        """
        date, engine, params = self._date, self._engine, self._params
        if not archive_rows(engine, session_date=date, shard=self._shard):
            raise NothingArchivedError(self._shard, date)
        listed = listed_instruments(engine, self._settings, date)
        covered = covered_intervals(engine, self._shard, date)
        reading = self._read(listed, covered, on_share)
        trades = trades_frame(reading.trades)
        now_ns = self._clock.now_ns()
        directory = self._settings.archive.directory
        yield archive_batch(reading, engine, directory, self._shard, date, now_ns=now_ns)
        yield from order_batches(reading, listed)
        yield instruments_batch(listed, date)
        prints = session_fingerprints(engine, params, self._shard, date)
        yield windows_batch(engine, params, listed, date, prints)
        yield flow_batch(engine, params, listed, date, trades, covered, prints)
        yield bars_batch(engine, params, listed, date, trades, covered)
        yield baselines_batch(engine, params, date)
        yield signals_batch(engine, params, listed, self._shard, date)
        futures = [key for key, one in listed.items() if one.is_future]
        yield coverage_batch(
            self._settings,
            engine,
            date,
            covered,
            trades,
            futures,
            last_ns=reading.last_ns,
            now_ns=now_ns,
        )
        yield provider_batch(
            self._settings,
            covered,
            reading.received,
            date,
            clock=self._clock,
            source=self._source,
        )

    def _read(
        self, listed: Mapping[int, Instrument], covered: Sequence[Interval], on_share: OnShare
    ) -> SessionReading:
        segments = session_segments(self._engine, self._shard, self._date)
        total = sum(row.records for row in segments)
        done = 0

        def count(records: int) -> None:
            nonlocal done
            done += records
            on_share(min(done / max(total, 1), 1.0))

        skew_ns = int(self._settings.quality.max_clock_skew_seconds * NANOS_PER_SECOND)
        return read_archive(segments, listed, skew_ns=skew_ns, intervals=covered, on_records=count)
