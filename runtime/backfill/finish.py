"""What is done once the records of a hole are on the disk: it costs nothing, and may be done again.

Catalogue and coverage in one transaction, then the tables that the hole touched. Doubtful books are
merged one request after the other and the session is made anew once, at the end.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
from sqlalchemy.engine import Engine

from config.settings import Settings
from ifd.clock import Clock
from ifd.units import utc_from_ns
from models.backfills import change_request, close_doubts, merge_request
from models.money import BackfillRequestRow
from models.operations import ArchiveFileRow
from runtime.backfill.hole import Hole
from runtime.backfill.recompute import recompute
from runtime.backfill.segment import facts_of, instruments_of, working_directory
from runtime.gap_scan import scan_gaps, session_on

log = structlog.get_logger("backfill")

OnStep = Callable[[BackfillRequestRow], None]


class Finish:
    """Leads requests from fetched to done.

    Parameters
    ----------
    on_step : callable
        Told of a request whenever it has come a step further.
    """

    def __init__(
        self, settings: Settings, engine: Engine, *, clock: Clock, on_step: OnStep
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._clock = clock
        self._on_step = on_step

    def finish(self, request: BackfillRequestRow) -> BackfillRequestRow:
        """Return a request that is done; one for doubtful books only merged, while others come."""
        if request.state == "fetched":
            request = self._merge(request)
        if request.state == "merged" and not request.of_doubts:
            (request,) = self._remake([request])
        return request

    def finish_doubts(self, requests: Sequence[BackfillRequestRow]) -> list[BackfillRequestRow]:
        """Return the same requests, those that are merged done: a session is made anew once."""
        merged: dict[str, list[BackfillRequestRow]] = {}
        for request in requests:
            if request.state == "merged":
                merged.setdefault(request.session_date, []).append(request)
        ended = {one.id: one for each in merged.values() for one in self._remake(each)}
        return [ended.get(request.id, request) for request in requests]

    def step(self, request: BackfillRequestRow) -> BackfillRequestRow:
        """Say that a request has come a step further, and return it."""
        log.info(
            "backfill",
            session_date=request.session_date,
            start=str(utc_from_ns(request.start_ns)),
            of_doubts=request.of_doubts,
            state=request.state,
            method=request.method,
            error=request.error,
        )
        self._on_step(request)
        return request

    def _merge(self, request: BackfillRequestRow) -> BackfillRequestRow:
        assert request.id is not None
        assert request.path is not None
        number, path, now_ns = request.id, Path(request.path), self._clock.now_ns()
        found = instruments_of(path) if request.of_doubts else frozenset()
        if request.of_doubts and not found:
            received = request.received_records
            request = close_doubts(self._engine, number, received_records=received, now_ns=now_ns)
            path.unlink()
            return self.step(request)
        file = ArchiveFileRow(**dataclasses.asdict(facts_of(path, clock=self._clock)))
        return self.step(
            merge_request(self._engine, number, file, instrument_ids=found, now_ns=now_ns)
        )

    def _remake(self, requests: Sequence[BackfillRequestRow]) -> list[BackfillRequestRow]:
        """Make anew what holes of one session touched, from the earliest of them on."""
        first = min(requests, key=lambda request: request.start_ns)
        hole = self._hole_of(first)
        made = recompute(self._settings, self._engine, hole, clock=self._clock)
        scan_gaps(
            self._settings,
            self._engine,
            shard=hole.shard,
            now_ns=self._clock.now_ns(),
            date=hole.session_date,
        )
        # Made once, so counted once.
        return [
            self._end(one, made.windows, made.late_signals) if one is first else self._end(one)
            for one in requests
        ]

    def _end(
        self, request: BackfillRequestRow, windows: int = 0, late_signals: int = 0
    ) -> BackfillRequestRow:
        assert request.id is not None
        directory = working_directory(self._hole_of(request), self._settings.backfill.directory)
        shutil.rmtree(directory, ignore_errors=True)
        return self.step(
            change_request(
                self._engine,
                request.id,
                now_ns=self._clock.now_ns(),
                state="done",
                windows=windows,
                late_signals=late_signals,
            )
        )

    def _hole_of(self, request: BackfillRequestRow) -> Hole:
        now_ns = self._clock.now_ns()
        market = session_on(self._settings, request.session_date, now_ns=now_ns)
        return Hole(
            shard=request.shard,
            market=market,
            start_ns=request.start_ns,
            end_ns=request.end_ns,
            estimated_records=request.estimated_records,
            in_session=now_ns < market.close_ns,
            of_doubts=request.of_doubts,
        )
