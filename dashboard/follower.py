"""The one task that reads what is new in the tables and tells every page.

SQL runs in a thread of its own, so a slow database delays news and nothing else. When the
database goes away the pages are told, and following goes on where it ended once it is back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Engine

from dashboard.hub import Hub
from dashboard.metrics import Metrics
from dashboard.protocol import Kind
from dashboard.queries import Json, snapshot
from dashboard.tail import Changes, Tail
from ifd.clock import Clock
from ifd.units import NANOS_PER_SECOND

log = structlog.get_logger("dashboard")
T = TypeVar("T")

RETRY_SECONDS: Final = 0.5
STALLED_SECONDS: Final = 5.0
DATABASE_AWAY: Final = "The database does not answer: what is shown may be old. Trying again."


class Follower:
    """Publishes to the hub what the tail finds.

    `run_row` and `health_row` are the newest states seen, as JSON objects.
    """

    def __init__(self, engine: Engine, hub: Hub, metrics: Metrics, clock: Clock) -> None:
        self._engine = engine
        self._tail = Tail(engine)
        self._hub = hub
        self._metrics = metrics
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="follower")
        self._good_look = time.monotonic()
        self._restart_due = False
        self._broken = False
        self._held: str | None = None
        self.run_row: Json | None = None
        self.health_row: Json | None = None

    @property
    def age_seconds(self) -> float:
        """Time since the last good look at the tables."""
        return time.monotonic() - self._good_look

    @property
    def is_stalled(self) -> bool:
        """True when what the pages show may be old for reasons that lie here."""
        return self.age_seconds > STALLED_SECONDS

    @property
    def notice(self) -> str | None:
        """What people must be told at once, None when all is well."""
        return DATABASE_AWAY if self._broken else self._held

    async def look(self) -> None:
        """Look at the tables once and publish what is new.

        Raises
        ------
        sqlalchemy.exc.DBAPIError
            If the database is away.
        """
        changes = await self._in_thread(self._tail.look)
        self._publish(changes)
        self._restart_due = self._restart_due or changes.lead_changed
        if self._restart_due:
            self._hub.restart(await self._in_thread(self.snapshot))
            self._restart_due = False
        self._good_look = time.monotonic()

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            while True:
                await asyncio.sleep(self._tail.poll_seconds)
                try:
                    await self.look()
                except sa.exc.DBAPIError as error:
                    self._tell_broken(error)
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    self._tell_mended()
        finally:
            await self._in_thread(self._tail.close)
            self._thread.shutdown(wait=False)

    def snapshot(self) -> Json:
        """Return what a page starts with; blocks, call it in a thread."""
        return snapshot(self._engine, self._tail.lead)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _publish(self, changes: Changes) -> None:
        if changes.held != self._held:
            self._held = changes.held
            self._send(Kind.NOTICE, {"text": self.notice}, key=Kind.NOTICE)
        if changes.run is not None:
            self.run_row = changes.run
            self._send(Kind.RUN, {"run": changes.run}, key=Kind.RUN)
        if changes.health is not None:
            self.health_row = changes.health
            self._send(Kind.HEALTH, {"health": changes.health}, key=Kind.HEALTH)
        for bar in () if changes.lead_changed else changes.bars:  # else in the new snapshot
            key = f"bar {bar['interval_s']} {bar['start_s']}"
            self._send(Kind.BAR, {"bar": bar}, key=key)
        for signal in changes.signals:
            self._send(Kind.SIGNAL, {"signal": signal})
            lag_ns = self._clock.now_ns() - signal["committed_ns"]
            self._metrics.follower_lag.observe(max(lag_ns, 0) / NANOS_PER_SECOND)
        self._metrics.rows.labels("signal").inc(len(changes.signals))
        self._metrics.rows.labels("bar").inc(len(changes.bars))

    def _send(self, kind: Kind, body: Json, *, key: str | None = None) -> None:
        self._hub.publish(kind, body, key=key)
        self._metrics.messages.labels(kind.value).inc()

    def _tell_broken(self, error: sa.exc.DBAPIError) -> None:
        self._metrics.database_errors.inc()
        if not self._broken:
            self._broken = True
            log.warning("database away", error=str(error.orig))
            self._send(Kind.NOTICE, {"text": self.notice}, key=Kind.NOTICE)

    def _tell_mended(self) -> None:
        if self._broken:
            self._broken = False
            log.info("database back")
            self._send(Kind.NOTICE, {"text": self.notice}, key=Kind.NOTICE)
