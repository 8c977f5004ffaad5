"""Find what is new in the shared tables, cheaply enough to be asked fifty times a second.

SQLite says for the price of one PRAGMA whether anybody else has committed, and the tables are
read only then. PostgreSQL has no such counter; its indexed reads are cheap
enough for a slower beat. Signals are followed by `id`, bars by `updated_ns`. Neither order is
the order of commits on PostgreSQL, so ids that were jumped over are asked for again for a while,
and bars are read with an overlap; what was given out already is not given out twice.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from dashboard.queries import (
    Future,
    Json,
    bar_json,
    held_sessions,
    lead_future,
    newest_health,
    newest_run,
    signal_json,
)
from ifd.units import NANOS_PER_SECOND
from models.market import BarRow
from models.signals import SignalRow
from models.watch import CommitWatch

SQLITE_POLL_SECONDS: Final = 0.02
POSTGRESQL_POLL_SECONDS: Final = 0.05
LEAD_SECONDS: Final = 5.0
"""How often the most traded future is looked up again."""
HOLE_SECONDS: Final = 30.0
"""How long a jumped-over id is waited for; a rolled-back insert leaves one for ever."""
_HOLES_AT_ONCE: Final = 256
_BAR_OVERLAP_NS: Final = 2 * NANOS_PER_SECOND
_SIGNALS_AT_ONCE: Final = 500


@dataclasses.dataclass(slots=True)
class Changes:
    """What one look found; `lead_changed` means that every candle shown belongs elsewhere now.

    `held` says which alerts are held as of this look, also when nothing changed.
    """

    signals: list[Json] = dataclasses.field(default_factory=list)
    bars: list[Json] = dataclasses.field(default_factory=list)
    run: Json | None = None
    health: Json | None = None
    lead_changed: bool = False
    held: str | None = None


class Tail:
    """Follows the tables from the moment of its first look.

    Used by one thread at a time.

    Parameters
    ----------
    engine : Engine
        Its connections must not be used to write: SQLite's counter does not show own commits.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        self._watch: CommitWatch | None = None
        self._is_behind = False
        self._last_id: int | None = None
        self._holes: dict[int, float] = {}
        self._bars_ns = 0
        self._sent_bars: dict[tuple[int, int], Json] = {}
        self._run: Json | None = None
        self._health: Json | None = None
        self._held: str | None = None
        self._lead_due = 0.0
        self.lead: Future | None = None

    @property
    def poll_seconds(self) -> float:
        """How long to wait between two looks."""
        return SQLITE_POLL_SECONDS if self._sqlite else POSTGRESQL_POLL_SECONDS

    def look(self) -> Changes:
        """Return what was committed since the last look; the first one finds only run and health.

        Raises
        ------
        sqlalchemy.exc.DBAPIError
            If the database is away; the next look goes on where the last good one ended.
        """
        try:
            if not self._has_moved():
                return Changes(held=self._held)
            changes = self._read()
        except sa.exc.DBAPIError:
            self.close()
            raise
        # There may be more than one look takes: then look again although nobody commits.
        self._is_behind = len(changes.signals) == _SIGNALS_AT_ONCE
        return changes

    def close(self) -> None:
        """Give the connection back."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _has_moved(self) -> bool:
        if not self._sqlite:
            return True
        if self._watch is None:
            self._watch = CommitWatch(self._engine)
        return self._watch.has_changed() or self._is_behind

    def _read(self) -> Changes:
        with Session(self._engine) as session:
            if self._last_id is None:
                self._begin(session)
            # All is read before anything is remembered as given out: a failure loses nothing.
            signals = self._new_signals(session)
            lead_changed = self._look_up_lead(session)
            bars = self._new_bars(session)
            run, health = newest_run(session), newest_health(session)
            held = held_sessions(session)
        changes = Changes(
            signals=self._remember_signals(signals),
            bars=self._remember_bars(bars),
            run=run if run != self._run else None,
            health=health if health != self._health else None,
            lead_changed=lead_changed,
            held=held,
        )
        self._run, self._health, self._held = run, health, held
        return changes

    def _begin(self, session: Session) -> None:
        self._last_id = session.exec(select(sa.func.max(SignalRow.id))).one() or 0
        newest_ns = session.exec(select(sa.func.max(BarRow.updated_ns))).one()
        self._bars_ns = newest_ns or 0

    def _new_signals(self, session: Session) -> list[SignalRow]:
        now = time.monotonic()
        self._holes = {key: until for key, until in self._holes.items() if until > now}
        key = col(SignalRow.id)
        wanted: Any = key > self._last_id  # Any: a column expression of either shape
        if self._holes:
            wanted = sa.or_(wanted, key.in_(list(self._holes)))
        return list(
            session.exec(select(SignalRow).where(wanted).order_by(key).limit(_SIGNALS_AT_ONCE))
        )

    def _remember_signals(self, rows: list[SignalRow]) -> list[Json]:
        until = time.monotonic() + HOLE_SECONDS
        for row in rows:
            assert row.id is not None
            assert self._last_id is not None
            if self._holes.pop(row.id, None) is not None:
                continue
            if not self._sqlite:  # which has one writer at a time, so ids are in order of commits
                jumped = range(max(self._last_id + 1, row.id - _HOLES_AT_ONCE), row.id)
                self._holes.update(dict.fromkeys(jumped, until))
            self._last_id = row.id
        return [signal_json(row) for row in rows]

    def _look_up_lead(self, session: Session) -> bool:
        now = time.monotonic()
        if self.lead is not None and now < self._lead_due:
            return False
        self._lead_due = now + LEAD_SECONDS
        found = lead_future(session, self.lead)
        before = self.lead and (self.lead.instrument_id, self.lead.raw_symbol)
        after = found and (found.instrument_id, found.raw_symbol)
        self.lead = found
        if before == after:
            return False
        self._sent_bars.clear()
        return True

    def _new_bars(self, session: Session) -> list[BarRow]:
        if self.lead is None:
            return []
        return list(
            session.exec(
                select(BarRow)
                .where(
                    BarRow.updated_ns >= self._bars_ns - _BAR_OVERLAP_NS,
                    BarRow.instrument_id == self.lead.instrument_id,
                    BarRow.raw_symbol == self.lead.raw_symbol,
                )
                .order_by(col(BarRow.start_ns), col(BarRow.interval_ns))
            )
        )

    def _remember_bars(self, rows: list[BarRow]) -> list[Json]:
        """Keep only the overlap in memory: what may be read again."""
        fresh, seen = [], {}
        for row in rows:
            self._bars_ns = max(self._bars_ns, row.updated_ns)
        for row in rows:
            key = (row.interval_ns, row.start_ns)
            bar = bar_json(row)
            if self._sent_bars.get(key) != bar:
                fresh.append(bar)
            if row.updated_ns >= self._bars_ns - _BAR_OVERLAP_NS:
                seen[key] = bar
        self._sent_bars = seen
        return fresh
