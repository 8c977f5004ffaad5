"""What the reading process tells, kept in the shared tables: state, gaps, stretches, segments."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from ifd.clock import Clock
from ifd.errors import FeedError
from ifd.sessions import session_date
from ifd.source import Notice
from ifd.windows import BookFault
from models.base import transaction
from models.coverage import write_coverage
from models.operations import CoverageRow, GapRow
from sinks.catalogue import Catalogue
from sinks.segments import SegmentFacts

_DOUBTS: Final = {
    "flag": "the exchange says that this book may be bad",
    "book": "an order was changed or cancelled that the book had never seen",
}


class FeedRecord:
    """Takes notices as they come; `store` writes what is new, now or when the database is back.

    Attributes
    ----------
    status : dict
        The newest word of the reading process about itself.
    """

    def __init__(self, engine: Engine, *, run_id: int, shard: str, clock: Clock) -> None:
        # Any: numbers and texts, as `runtime.ingest` tells them.
        self.status: dict[str, Any] = {}
        self._engine = engine
        self._run_id = run_id
        self._shard = shard
        self._clock = clock
        self._catalogue = Catalogue(engine)
        self._gap_ids: dict[int, int | None] = {}
        # What is not stored yet, by number; the newest word on each counts.
        self._gaps: dict[int, dict[str, Any]] = {}
        self._stretches: dict[int, dict[str, Any]] = {}
        # Doubtful books: since when, by instrument and cause; symbol and end of what is unstored.
        self._doubted: dict[tuple[int, str], int] = {}
        self._doubts: dict[tuple[int, str, int], tuple[str | None, int | None]] = {}

    @property
    def state(self) -> str:
        """The feed's state; connecting until it has told one."""
        state: str = self.status.get("state", "connecting")
        return state

    @property
    def caught_up(self) -> bool:
        """True when records are live."""
        return bool(self.status.get("caught_up", False))

    def metrics(self) -> dict[str, Any]:
        """Return what a health sample says of the feed, by name."""
        # Any: numbers and texts.
        counters = self.counters
        names = ("bytes", "reconnects", "gaps", "duplicates", "unknown_records")
        return {
            "feed_state": self.state,
            "feed_error": self.status.get("last_error"),
            "caught_up": self.caught_up,
            "unresolved_symbols": self.status.get("unresolved_symbols", 0),
            "slow_reader_warnings": counters.get("slow_reader_warnings", 0),
            "ingest_rss_bytes": self.status.get("rss_bytes", 0),
            **{name: counters.get(name, 0) for name in names},
        }

    @property
    def counters(self) -> dict[str, Any]:
        """The feed's counters, by name; empty until it has told them."""
        counters: dict[str, Any] = self.status.get("counters", {})
        return counters

    def heed(self, notice: Notice) -> None:
        """Take in a notice.

        Raises
        ------
        FeedError
            If it says that the feed has ended for good.
        """
        facts = dict(notice.facts)
        if notice.about == "failed":
            raise FeedError(facts["error"])
        if notice.about == "segment":
            self._catalogue.note(SegmentFacts(**facts))
        elif notice.about == "gap":
            self._gaps[facts["number"]] = facts
        else:
            self._stretches |= {one["number"]: one for one in facts.pop("stretches")}
            self.status = facts

    def doubt(self, fault: BookFault) -> None:
        """Take in that a book became doubtful, or whole again."""
        key = (fault.instrument_id, fault.cause)
        if not fault.ended:
            self._doubted[key] = fault.ts_event
        start_ns = self._doubted.get(key)
        if start_ns is not None:
            end_ns = max(fault.ts_event, start_ns) if fault.ended else None
            self._doubts[fault.instrument_id, fault.cause, start_ns] = (fault.raw_symbol, end_ns)

    def store(self) -> None:
        """Write what is new.

        Raises
        ------
        sqlalchemy.exc.OperationalError
            If the database is away. Nothing is lost: the next call writes it.
        """
        if not self._gaps and not self._stretches and not self._doubts:
            return
        with transaction(self._engine) as session:
            write_coverage(session, [self._coverage(facts) for facts in self._stretches.values()])
            rows = {
                number: session.merge(self._gap(number, facts))
                for number, facts in self._gaps.items()
            }
            for key, told in self._doubts.items():
                self._store_doubt(session, key, told)
            session.flush()
            ids = {number: row.id for number, row in rows.items()}
        self._gap_ids.update(ids)
        self._gaps.clear()
        self._stretches.clear()
        self._doubts.clear()

    def finish(self) -> None:
        """Write everything that is left.

        Raises
        ------
        sqlalchemy.exc.OperationalError, DatabaseError
            If the database is away.
        """
        self.store()
        self._catalogue.finish()

    def _gap(self, number: int, facts: dict[str, Any]) -> GapRow:
        start_ns, end_ns = facts["start_ns"], facts["end_ns"]
        return GapRow(
            id=self._gap_ids.get(number),
            run_id=self._run_id,
            shard=self._shard,
            session_date=session_date(start_ns),
            start_ns=start_ns,
            end_ns=end_ns,
            missing_ns=None if end_ns is None else end_ns - start_ns,
            cause=facts["cause"],
            detail=facts["detail"],
            state=facts["state"],
            detected_ns=facts["detected_ns"],
        )

    def _store_doubt(
        self, session: Session, key: tuple[int, str, int], told: tuple[str | None, int | None]
    ) -> None:
        # A run that resumes an archive meets the doubts of the run before it again.
        (instrument_id, cause, start_ns), (raw_symbol, end_ns) = key, told
        row = session.exec(
            select(GapRow).where(
                GapRow.shard == self._shard,
                GapRow.instrument_id == instrument_id,
                GapRow.cause == cause,
                GapRow.start_ns == start_ns,
            )
        ).first()
        if row is None:
            row = GapRow(
                run_id=self._run_id,
                shard=self._shard,
                session_date=session_date(start_ns),
                instrument_id=instrument_id,
                raw_symbol=raw_symbol,
                start_ns=start_ns,
                cause=cause,
                detail=_DOUBTS[cause],
                state="open",
                detected_ns=self._clock.now_ns(),
            )
        row.end_ns = end_ns
        row.missing_ns = None if end_ns is None else end_ns - start_ns
        session.add(row)

    def _coverage(self, facts: dict[str, Any]) -> CoverageRow:
        return CoverageRow(
            run_id=self._run_id,
            number=facts["number"],
            shard=self._shard,
            session_date=session_date(facts["start_ns"]),
            dbn_schema="mbo",
            start_ns=facts["start_ns"],
            end_ns=facts["end_ns"],
            records=facts["records"],
            is_open=facts["open"],
        )
