"""What the reading process tells, kept in the shared tables: state, gaps, stretches, segments."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Engine

from ifd.errors import FeedError
from ifd.sessions import session_date
from ifd.source import Notice
from models.base import transaction
from models.operations import CoverageRow, GapRow
from sinks.catalogue import Catalogue
from sinks.segments import SegmentFacts


class FeedRecord:
    """Takes notices as they come; `store` writes what is new, now or when the database is back.

    Attributes
    ----------
    status : dict
        The newest word of the reading process about itself.
    """

    def __init__(self, engine: Engine, *, run_id: int, shard: str) -> None:
        # Any: numbers and texts, as `runtime.ingest` tells them.
        self.status: dict[str, Any] = {}
        self._engine = engine
        self._run_id = run_id
        self._shard = shard
        self._catalogue = Catalogue(engine)
        self._row_ids: dict[tuple[str, int], int] = {}
        self._unstored: dict[tuple[str, int], dict[str, Any]] = {}

    def metrics(self) -> dict[str, Any]:
        """Return what a health sample says of the feed, by name."""
        # Any: numbers and texts.
        counters = self.counters
        names = ("bytes", "reconnects", "gaps", "duplicates", "unknown_records")
        return {
            "feed_state": self.status.get("state", "connecting"),
            "feed_error": self.status.get("last_error"),
            "caught_up": self.status.get("caught_up", False),
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
            self._unstored["gap", facts["number"]] = facts
        else:
            for stretch in facts.pop("stretches"):
                self._unstored["stretch", stretch["number"]] = stretch
            self.status = facts

    def store(self) -> None:
        """Write what is new.

        Raises
        ------
        sqlalchemy.exc.OperationalError
            If the database is away. Nothing is lost: the next call writes it.
        """
        if not self._unstored:
            return
        with transaction(self._engine) as session:
            written: dict[tuple[str, int], GapRow | CoverageRow] = {}
            for key, facts in self._unstored.items():
                kind: type[GapRow] | type[CoverageRow]
                kind = GapRow if key[0] == "gap" else CoverageRow
                row = session.get(kind, self._row_ids.get(key, -1)) or kind()
                for name, value in self._columns(key[0], facts).items():
                    setattr(row, name, value)
                session.add(row)
                written[key] = row
            session.flush()
            ids = {key: row.id for key, row in written.items()}
        self._row_ids.update({key: one for key, one in ids.items() if one is not None})
        self._unstored.clear()

    def finish(self) -> None:
        """Write everything that is left.

        Raises
        ------
        sqlalchemy.exc.OperationalError, DatabaseError
            If the database is away.
        """
        self.store()
        self._catalogue.finish()

    def _columns(self, kind: str, facts: dict[str, Any]) -> dict[str, Any]:
        shared = {
            "run_id": self._run_id,
            "shard": self._shard,
            "session_date": session_date(facts["start_ns"]),
        }
        if kind == "stretch":
            return {**facts, **shared, "dbn_schema": "mbo"}
        return {name: value for name, value in facts.items() if name != "number"} | shared
