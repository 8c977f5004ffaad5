"""Once a minute while streams run that are billed by the byte: book, tell, and stop at the cap.

All of it is one transaction behind the lock of the ledger, so several watchers book and tell once,
and a stream is never asked to stop without a notice that says why.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.engine import Engine
from sqlmodel import Session

from config.settings import Settings
from ifd.clock import Clock
from ifd.errors import StreamingSpentError
from ifd.units import NANOS_PER_SECOND
from models.base import transaction
from models.caps import day_of, take_turns
from models.notices import queue_notice, run_key
from models.runs import active_runs, ask_to_stop
from models.signals import NoticeRow
from runtime.costs.degrading import stopped
from runtime.costs.streaming import book_received, tell_of_streaming

EVERY_NS: Final = 60 * NANOS_PER_SECOND


class StreamMeter:
    """Counts what the live feed costs while it runs.

    Attributes
    ----------
    stopped : bool
        True when, at the last look, no stream might run: none is started again then.
    """

    def __init__(self, engine: Engine, settings: Settings, *, clock: Clock) -> None:
        self.stopped = False
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._due_ns = 0

    def look(self) -> list[str]:
        """Do what is due; return what was done, in sentences.

        Raises
        ------
        sqlalchemy.exc.OperationalError
            If the database is away.
        """
        now_ns = self._clock.now_ns()
        if self._settings.costs.live != "usage" or now_ns < self._due_ns:
            return []
        with transaction(self._engine) as session:
            take_turns(session)
            book_received(session, self._settings, now_ns=now_ns)
            told = tell_of_streaming(session, self._settings, day=day_of(now_ns), now_ns=now_ns)
            why = stopped(session, self._settings, "streams are stopped", now_ns=now_ns)
            if why is not None:
                told += self._stop_all(session, why, now_ns)
        self.stopped = why is not None
        self._due_ns = now_ns + EVERY_NS
        return told

    def _stop_all(self, session: Session, why: StreamingSpentError, now_ns: int) -> list[str]:
        told = []
        for run in active_runs(session):
            if not ask_to_stop(session, run, str(why), now_ns=now_ns):
                continue
            notice = NoticeRow(
                notice_key=run_key(run.id, "spent"),
                title=f"Stream {run.shard} is stopped: its budget is used up",
                text=f"{why}. Raise the cap and start it again, or wait.",
                link=self._settings.prefect.flow_run_page(run.flow_run_id),
                created_ns=now_ns,
            )
            queue_notice(session, notice, self._settings.alert_channel)
            told.append(f"stream {run.shard} was asked to stop: {why}")
        return told
