"""Leads holes from missing to done, one at a time, and can be killed at any point.

Each step leaves something that the next start finds: slices that are paid for, a segment under its
name, a row that says how far it is. One process of a machine works on a shard.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy.engine import Engine
from sqlmodel import Session

from config.settings import Settings
from ifd.clock import Clock
from ifd.errors import (
    BackfillBusyError,
    BudgetExceededError,
    FeedError,
    HistoryError,
    HistoryRefusedError,
    StreamingSpentError,
)
from ifd.gateway.historical import HistoricalSource, Quote
from ifd.units import NANOS_PER_SECOND
from models.backfills import (
    UNFINISHED,
    change_request,
    close_doubts,
    find_requests,
    give_up,
    request_for,
)
from models.caps import committed
from models.money import BackfillRequestRow
from runtime.backfill.doubts import held_records
from runtime.backfill.fetch import Fetched, buy, replay
from runtime.backfill.finish import Finish, OnStep
from runtime.backfill.hole import Hole, history_of, method_for, overlap_ns
from runtime.backfill.holes import find_holes, holes_of
from runtime.backfill.segment import segment_path, working_directory, write_segment
from runtime.budgets import purse_of
from runtime.caps import caps_of
from runtime.costs.degrading import require_money, stopped
from runtime.costs.streaming import book_replayed
from runtime.gap_scan import SessionGaps
from runtime.history import open_history
from runtime.session_archive import session_segments

_DAY_NS: Final = 86_400 * NANOS_PER_SECOND

ENDED: Final = ("waiting", "done", "given-up")
"""States after which one start of the work has nothing more to do for a hole."""


@dataclasses.dataclass(frozen=True, slots=True)
class Planned:
    """A hole and what would be done about it; the quote is None where nothing was asked.

    `left_micro_dollars` is what the budget still has for it, in the order of the plan. `wait_ns`
    is when it is due, None for now; `why` says why not now, where the request does not.
    """

    hole: Hole
    method: str
    quoted_micro_dollars: int | None
    quoted_bytes: int | None
    left_micro_dollars: int
    wait_ns: int | None
    why: str = ""

    @property
    def affordable(self) -> bool:
        """False when the budget does not pay it."""
        return (self.quoted_micro_dollars or 0) <= self.left_micro_dollars


class Backfill:
    """The work on the holes of one shard.

    Parameters
    ----------
    source : HistoricalSource, optional
        History; None: made from the settings when it is needed.
    on_step : callable
        Told of a request whenever it has come a step further.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        *,
        clock: Clock,
        source: HistoricalSource | None = None,
        on_step: OnStep = lambda _request: None,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._clock = clock
        self._source = source
        self._finish = Finish(settings, engine, clock=clock, on_step=on_step)
        self._shard = settings.feed.shard

    def plan(self, *, date: str | None = None, days: int = 1) -> list[Planned]:
        """Return what `run` would do, the most urgent first; free, and nothing is begun.

        Raises
        ------
        HistoryError, AuthenticationFailedError
            If the provider gives no quote.
        """
        now_ns = self._clock.now_ns()
        with Session(self._engine) as session:
            left = committed(session, "backfill", now_ns=now_ns).left(
                caps_of(self._settings.budget, "backfill")
            )
            known = {_key(row): row for row in find_requests(session, self._shard)}
            why = stopped(session, self._settings, "holes are not filled", now_ns=now_ns)
        planned = []
        for hole in self._holes(date, days):
            request = known.get(_key(hole))
            one = self._plan(hole, request, left, now_ns)
            if why is not None:
                one = dataclasses.replace(one, wait_ns=_tomorrow_ns(now_ns), why=str(why))
            left -= (one.quoted_micro_dollars or 0) if one.affordable else 0
            planned.append(one)
        return planned

    def due(self, sessions: Sequence[SessionGaps]) -> int:
        """Return on how many holes of these sessions `run` would work now; nothing is begun."""
        now_ns = self._clock.now_ns()
        with Session(self._engine) as session:
            known = {_key(row): row for row in find_requests(session, self._shard)}
        begun = sum(row.state in UNFINISHED for row in known.values())
        holes = holes_of(sessions, self._settings, self._engine, shard=self._shard, now_ns=now_ns)
        found = (known.get(_key(hole)) for hole in holes)
        return begun + sum(
            request is None or request.state == "done" or _is_due(request, now_ns)
            for request in found
        )

    def run(self, *, date: str | None = None, days: int = 1) -> list[BackfillRequestRow]:
        """Finish what was begun, then fill the holes that are due; return what was worked on.

        Raises
        ------
        BackfillBusyError
            If another process is at it.
        AuthenticationFailedError
            If the provider refuses the key.
        InputError, OSError
            If the archive cannot be read or written.
        """
        with self._alone():
            with Session(self._engine) as session:
                begun = find_requests(session, self._shard, states=UNFINISHED)
            done = [self._finish.finish(request) for request in begun]
            for hole in self._holes(date, days):
                request = self._request(hole)
                if request.state == "done":  # what filled it is gone again
                    request = change_request(
                        self._engine, _id(request), now_ns=self._now(), state="waiting", attempts=0
                    )
                if _is_due(request, self._now()):
                    done.append(self._attempt(hole, request))
            return self._finish.finish_doubts(done)

    def _holes(self, date: str | None, days: int) -> list[Hole]:
        return find_holes(
            self._settings,
            self._engine,
            shard=self._shard,
            now_ns=self._clock.now_ns(),
            date=date,
            days=days,
        )

    def _plan(
        self, hole: Hole, request: BackfillRequestRow | None, left: int, now_ns: int
    ) -> Planned:
        failures = 0 if request is None else request.attempts
        method = method_for(hole, self._settings, failures=failures, now_ns=now_ns)
        cost = size = None
        if self._is_in_vain(hole, method):
            cost = size = 0
        elif method == "historical":
            quote = self._quote(hole)
            cost, size = quote.micro_dollars, quote.billable_bytes
        wait_ns = None if request is None or request.next_try_ns <= now_ns else request.next_try_ns
        return Planned(hole, method, cost, size, left, wait_ns)

    def _quote(self, hole: Hole) -> Quote:
        quotes = [
            self._history().quote_missing(
                each, working_directory(hole, self._settings.backfill.directory)
            )
            for each in history_of(hole, self._settings)
        ]
        return Quote(
            sum(quote.micro_dollars for quote in quotes),
            sum(quote.billable_bytes for quote in quotes),
        )

    def _is_in_vain(self, hole: Hole, method: str) -> bool:
        """Return True when nobody has more orders of doubtful books than the archive.

        Asking is free. A replay is free as well, and tells by what it brings.
        """
        if not hole.of_doubts or not hole.symbols:
            return hole.of_doubts
        if method == "replay":
            return False
        asked = history_of(hole, self._settings)
        theirs = sum(self._history().record_count(each) for each in asked)
        segments = session_segments(self._engine, hole.shard, hole.session_date)
        return theirs <= held_records(hole, segments, lap_ns=overlap_ns(self._settings))

    def _request(self, hole: Hole) -> BackfillRequestRow:
        return request_for(
            self._engine,
            hole.shard,
            hole.session_date,
            hole.start_ns,
            hole.end_ns,
            of_doubts=hole.of_doubts,
            estimated_records=hole.estimated_records,
            now_ns=self._clock.now_ns(),
        )

    def _attempt(self, hole: Hole, request: BackfillRequestRow) -> BackfillRequestRow:
        """Fetch a hole and go on; a failure of the provider is kept in the request."""
        try:
            fetched = self._fetched(hole, request)
        except (BudgetExceededError, StreamingSpentError) as error:
            # No failure: tomorrow has money again.
            return self._wait(request, _tomorrow_ns(self._now()), error)
        except HistoryRefusedError as error:
            return self._finish.step(
                give_up(self._engine, _id(request), str(error), now_ns=self._now())
            )
        except (HistoryError, FeedError) as error:
            return self._fail(request, error)
        return self._finish.finish(fetched)

    def _fetched(self, hole: Hole, request: BackfillRequestRow) -> BackfillRequestRow:
        path = segment_path(hole, self._settings.archive.directory)
        # Any: a value of each column's type.
        changes: dict[str, Any] = {"state": "fetched", "path": str(path), "error": None}
        if not path.exists():
            require_money(self._settings, self._engine, "holes are not filled", now_ns=self._now())
            method = method_for(hole, self._settings, failures=request.attempts, now_ns=self._now())
            request = change_request(self._engine, _id(request), now_ns=self._now(), method=method)
            if self._is_in_vain(hole, method):
                return self._finish.step(
                    close_doubts(self._engine, _id(request), received_records=0, now_ns=self._now())
                )
            fetched = self._fetch(hole, request)
            changes["received_records"] = fetched.records
            write_segment(
                hole,
                fetched,
                session_segments(self._engine, hole.shard, hole.session_date),
                path,
                lap_ns=overlap_ns(self._settings),
                dataset=self._settings.feed.dataset,
            )
        return self._finish.step(
            change_request(self._engine, _id(request), now_ns=self._now(), **changes)
        )

    def _fetch(self, hole: Hole, request: BackfillRequestRow) -> Fetched:
        directory = working_directory(hole, self._settings.backfill.directory)
        if request.method == "replay":
            return replay(
                hole,
                self._settings,
                directory / "replay",
                clock=self._clock,
                on_received=lambda received: book_replayed(
                    self._settings,
                    self._engine,
                    received,
                    shard=hole.shard,
                    span=(hole.start_ns, hole.end_ns),
                    now_ns=self._now(),
                ),
            )
        purse = purse_of(
            self._settings,
            self._engine,
            "backfill",
            clock=self._clock,
            requests=history_of(hole, self._settings),
        )
        if request.quoted_micro_dollars is None:
            quoted = self._quote(hole).micro_dollars
            change_request(
                self._engine, _id(request), now_ns=self._now(), quoted_micro_dollars=quoted
            )
        try:
            return buy(hole, self._settings, self._history(), purse, directory)
        finally:
            spent = request.spent_micro_dollars + purse.spent_micro_dollars
            change_request(
                self._engine, _id(request), now_ns=self._now(), spent_micro_dollars=spent
            )

    def _fail(self, request: BackfillRequestRow, error: Exception) -> BackfillRequestRow:
        limits = self._settings.backfill
        attempts = request.attempts + 1
        request = change_request(self._engine, _id(request), now_ns=self._now(), attempts=attempts)
        if attempts >= limits.max_attempts:
            return self._finish.step(
                give_up(self._engine, _id(request), str(error), now_ns=self._now())
            )
        seconds = min(limits.first_wait_seconds * 2 ** (attempts - 1), limits.max_wait_seconds)
        return self._wait(request, self._now() + int(seconds * NANOS_PER_SECOND), error)

    def _wait(
        self, request: BackfillRequestRow, until_ns: int, error: Exception
    ) -> BackfillRequestRow:
        return self._finish.step(
            change_request(
                self._engine,
                _id(request),
                now_ns=self._now(),
                next_try_ns=until_ns,
                error=str(error),
            )
        )

    def _now(self) -> int:
        return self._clock.now_ns()

    def _history(self) -> HistoricalSource:
        if self._source is None:
            self._source = open_history(self._settings, self._clock)
        return self._source

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold a lock that ends with the process, however that ends."""
        directory = self._settings.backfill.directory / self._shard
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackfillBusyError(self._shard) from None
            file.write(f"{os.getpid()}\n")
            yield


def _tomorrow_ns(now_ns: int) -> int:
    return (now_ns // _DAY_NS + 1) * _DAY_NS


def _is_due(request: BackfillRequestRow, now_ns: int) -> bool:
    return request.state == "waiting" and request.next_try_ns <= now_ns


def _key(one: Hole | BackfillRequestRow) -> tuple[int, int, bool]:
    return one.start_ns, one.end_ns, one.of_doubts


def _id(request: BackfillRequestRow) -> int:
    assert request.id is not None
    return request.id
