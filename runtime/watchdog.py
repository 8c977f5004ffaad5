"""Notice streams that died, end what they left, say so, and start them again in market hours.

The run's row is the truth: its heartbeat says that somebody lives, its stop flag that somebody
asked. Each look is complete in itself and harmless when repeated, so the scheduled flow, `ifd up`,
and any number of both may look at once. A notice is stored in the transaction that ends the row; a
restart is asked for under a key that names the dead run, and a second stream is refused anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

import psutil
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session

from config.settings import Settings
from ifd.clock import Clock
from ifd.errors import EnvironmentProblemError
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND
from models.base import transaction
from models.notices import count_told, queue_notice, run_key
from models.operations import StreamRunRow
from models.runs import (
    GONE_AFTER_NS,
    active_runs,
    end_run_in,
    is_local,
    newest_runs,
)
from models.signals import NoticeRow
from runtime.market_hours import MarketHours, market_hours, new_york
from runtime.orphans import end_orphaned_readers
from runtime.stopping import process_of

SILENT_AFTER_NS: Final = 20 * NANOS_PER_SECOND
"""A stream beats every second; a locked database can keep it from that for some."""
START_LIMIT_NS: Final = 60 * NANOS_PER_SECOND
"""A claimed run has a process id after five seconds, twenty on a busy machine."""
HUNG_AFTER_NS: Final = 120 * NANOS_PER_SECOND
"""A stream gives up by itself when its database is away for a minute; this one does nothing."""
KILL_AFTER_NS: Final = 150 * NANOS_PER_SECOND
CLOSING_NS: Final = 60 * NANOS_PER_SECOND
"""So shortly before the close nothing is started any more."""
HOUR_NS: Final = 60 * NANOS_PER_MINUTE
FIRST_WAIT_NS: Final = 15 * NANOS_PER_SECOND
LONGEST_WAIT_NS: Final = 10 * NANOS_PER_MINUTE


class Restarts(Protocol):
    """How streams are started: through Prefect, or as a child of this process."""

    def was_cancelled(self, run: StreamRunRow) -> bool:
        """Return True when a person ended the run."""
        ...

    def restart(self, run: StreamRunRow) -> None:
        """Start the run's shard again; a repeat for the same run starts nothing more."""
        ...


class Watchdog:
    """Looks after every shard's stream.

    Parameters
    ----------
    since_ns : int
        Runs started before are not started again: they belong to somebody else.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        restarts: Restarts,
        *,
        clock: Clock,
        since_ns: int = 0,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._restarts = restarts
        self._clock = clock
        self._since_ns = since_ns

    def look(self) -> list[str]:
        """Take every step that is due now; return what was done, in sentences.

        Raises
        ------
        sqlalchemy.exc.OperationalError
            If the database is away: then nothing can be known, and the streams wait for it too.
        """
        return [*self._end_dead(), *self._start_again()]

    def _end_dead(self) -> Iterator[str]:
        with Session(self._engine, expire_on_commit=False) as session:
            runs = active_runs(session)
        for run in runs:
            yield from self._examine(run, self._clock.now_ns() - run.heartbeat_ns)
        for pid in end_orphaned_readers(self._settings.database_url):
            yield f"ended process {pid}, which read the socket for a stream that is gone"

    def _examine(self, run: StreamRunRow, silence_ns: int) -> Iterator[str]:
        if silence_ns < SILENT_AFTER_NS:
            return
        silence = f"its last heartbeat was {silence_ns // NANOS_PER_SECOND} s ago"
        if not is_local(run):
            if silence_ns >= GONE_AFTER_NS:
                yield from self._end(run, f"{silence}, on {run.host}")
            return
        process = process_of(run)
        if process is not None:
            yield from _hurry(process, run, silence_ns, silence)
        elif run.pid is not None or silence_ns >= START_LIMIT_NS:
            yield from self._end(run, f"its process was gone; {silence}")

    def _end(self, run: StreamRunRow, error: str) -> Iterator[str]:
        assert run.id is not None
        now_ns = self._clock.now_ns()
        try:
            with transaction(self._engine) as session:
                ended = end_run_in(session, run.id, status="failed", now_ns=now_ns, error=error)
                if ended:
                    self._queue(session, run, "ended", self._words(error, now_ns))
        except sa.exc.IntegrityError:  # another watchdog told of it in this moment
            return
        if ended:
            yield f"run {run.id} of shard {run.shard} is dead: {error}"

    def _start_again(self) -> Iterator[str]:
        session_settings = self._settings.session
        now_ns = self._clock.now_ns()
        hours = market_hours(
            session_settings.hours, now_ns, calendar_file=session_settings.calendar_file
        )
        with Session(self._engine, expire_on_commit=False) as session:
            runs = newest_runs(session, hours.date)
        for run in runs:
            if self._ended_unasked(run):
                yield from self._answer(run, hours, now_ns)

    def _ended_unasked(self, run: StreamRunRow) -> bool:
        return (
            run.active_shard is None
            and run.stop_requested_ns is None
            and run.started_ns >= self._since_ns
        )

    def _answer(self, run: StreamRunRow, hours: MarketHours, now_ns: int) -> Iterator[str]:
        """Say that a run ended unasked, and start its shard again when that is due."""
        try:
            if self._restarts.was_cancelled(run):
                return
            assert run.ended_ns is not None
            words = self._words(run.error or "it drained without being asked to", run.ended_ns)
            if self._notify(run, "ended", words):
                yield f"stream {run.shard} ended unasked: {words}"
            if _may_start(hours, now_ns):
                yield from self._restart(run, now_ns)
        except EnvironmentProblemError as error:  # the next look tries again
            yield f"shard {run.shard} was not started again yet: {error}"

    def _restart(self, run: StreamRunRow, now_ns: int) -> Iterator[str]:
        assert run.ended_ns is not None
        limit = self._settings.prefect.restarts_an_hour
        with Session(self._engine) as session:
            deaths = count_told(session, run.shard, "ended", since_ns=now_ns - HOUR_NS)
        if deaths > limit:
            words = (
                f"{deaths} times within an hour: nothing is started until one of them is an hour "
                "old, or somebody starts it."
            )
            if self._notify(run, "given-up", words):
                yield f"shard {run.shard} is left alone: {words}"
        elif now_ns >= run.ended_ns + _wait_ns(deaths):
            self._restarts.restart(run)

    def _words(self, why: str, ended_ns: int) -> str:
        limit = self._settings.prefect.restarts_an_hour
        return (
            f"{why} ({new_york(ended_ns)}). In market hours it is started again, "
            f"{limit} times an hour at most."
        )

    def _notify(self, run: StreamRunRow, what: str, text: str) -> bool:
        """Store a notice; return False when it is known."""
        try:
            with transaction(self._engine) as session:
                return self._queue(session, run, what, text)
        except sa.exc.IntegrityError:  # another watchdog told of it in this moment
            return False

    def _queue(self, session: Session, run: StreamRunRow, what: str, text: str) -> bool:
        notice = NoticeRow(
            notice_key=run_key(run.id, what),
            title=f"Stream {run.shard} ended unasked",
            text=text,
            link=self._settings.prefect.flow_run_page(run.flow_run_id),
            created_ns=self._clock.now_ns(),
        )
        return queue_notice(session, notice, self._settings.alert_channel)


def _may_start(hours: MarketHours, now_ns: int) -> bool:
    """Return True while a stream is worth starting: not in the last minute before the close."""
    soon_closed = hours.closes_ns is not None and now_ns >= hours.closes_ns - CLOSING_NS
    return hours.is_open and not soon_closed


def _hurry(
    process: psutil.Process, run: StreamRunRow, silence_ns: int, silence: str
) -> Iterator[str]:
    """End a process that lives and does nothing; the look that finds it gone ends its row."""
    if silence_ns < HUNG_AFTER_NS:
        return
    try:
        if silence_ns < KILL_AFTER_NS:
            process.terminate()
            yield f"run {run.id} of shard {run.shard} hangs, {silence}: sent SIGTERM"
        else:
            process.kill()
            yield f"run {run.id} of shard {run.shard} hangs, {silence}: killed it"
    except psutil.NoSuchProcess:
        return


def _wait_ns(deaths: int) -> int:
    """Return how long to wait after the end of a run, the `deaths`-th within an hour."""
    if deaths <= 1:
        return 0
    return min(FIRST_WAIT_NS << (deaths - 2), LONGEST_WAIT_NS)
