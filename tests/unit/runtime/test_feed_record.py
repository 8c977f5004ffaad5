"""What the reading process tells, in the tables: gaps, stretches, segments, doubtful books."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, SQLModel, select

from ifd.clock import ManualClock
from ifd.errors import FeedError
from ifd.source import Notice
from ifd.windows import BookFault
from models.base import make_engine
from models.database import upgrade
from models.operations import ArchiveFileRow, CoverageRow, GapRow, StreamRunRow
from models.runs import claim_run
from runtime.feed_record import FeedRecord

Row = TypeVar("Row", bound=SQLModel)
NOW_NS = 1_795_729_500_000_000_000
SECOND_NS = 10**9


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    upgrade(sqlite_url)
    engine = make_engine(sqlite_url)
    yield engine
    engine.dispose()


@pytest.fixture
def make_record(engine: Engine) -> Callable[[], FeedRecord]:
    """Make records of runs that follow each other."""

    def make() -> FeedRecord:
        with Session(engine) as session:
            for run in session.exec(select(StreamRunRow)):
                run.active_shard = None
            session.commit()
        row = StreamRunRow(
            shard="nq",
            source="live",
            profile="default",
            params_fingerprint="0" * 16,
            session_date="2026-11-26",
            status="starting",
            started_ns=NOW_NS,
            heartbeat_ns=NOW_NS,
        )
        run_id = claim_run(engine, row, now_ns=NOW_NS)
        return FeedRecord(engine, run_id=run_id, shard="nq", clock=ManualClock(NOW_NS))

    return make


def rows(engine: Engine, kind: type[Row]) -> list[Row]:
    with Session(engine) as session:
        return list(session.exec(select(kind)))


def gap(number: int, state: str, end_ns: int | None) -> Notice:
    facts = {
        "number": number,
        "start_ns": NOW_NS,
        "end_ns": end_ns,
        "cause": "reset",
        "detail": "connection reset",
        "state": state,
        "detected_ns": NOW_NS + 1,
    }
    return Notice("gap", facts)


def status(**changes: Any) -> Notice:
    stretch = {"number": 1, "start_ns": NOW_NS, "end_ns": NOW_NS + 5, "records": 3, "open": True}
    facts = {
        "state": "live",
        "caught_up": True,
        "last_error": None,
        "unresolved_symbols": 2,
        "rss_bytes": 1,
        "counters": {"gaps": 1, "bytes": 9, "reconnects": 1},
        "stretches": [stretch],
    }
    return Notice("status", facts | changes)


def fault(ts: int, *, ended: bool = False) -> BookFault:
    return BookFault(42, "NQZ6 C25000", NOW_NS + ts, "book", ended)


def test_a_gap_is_one_row_from_its_opening_to_its_end(
    engine: Engine, make_record: Callable[[], FeedRecord]
) -> None:
    record = make_record()

    record.heed(gap(1, "open", None))
    record.store()
    record.heed(gap(1, "replayed", NOW_NS + SECOND_NS))
    record.heed(gap(2, "open", None))
    record.store()

    first, second = rows(engine, GapRow)
    assert (first.state, first.end_ns, first.missing_ns) == (
        "replayed",
        NOW_NS + SECOND_NS,
        SECOND_NS,
    )
    assert (second.state, second.end_ns, second.instrument_id) == ("open", None, None)


def test_a_stretch_grows_in_its_row_and_the_state_is_at_hand(
    engine: Engine, make_record: Callable[[], FeedRecord]
) -> None:
    record = make_record()
    assert (record.state, record.caught_up) == ("connecting", False)

    record.heed(status())
    record.store()
    longer = {"number": 1, "start_ns": NOW_NS, "end_ns": NOW_NS + 9, "records": 4, "open": False}
    record.heed(status(state="closed", caught_up=False, stretches=[longer]))
    record.store()

    (stretch,) = rows(engine, CoverageRow)
    assert (stretch.end_ns, stretch.records, stretch.is_open) == (NOW_NS + 9, 4, False)
    assert (record.state, record.caught_up) == ("closed", False)
    assert record.metrics()["unresolved_symbols"] == 2
    assert record.metrics()["slow_reader_warnings"] == 0


def test_a_segment_is_catalogued(engine: Engine, make_record: Callable[[], FeedRecord]) -> None:
    record = make_record()
    facts = {
        "path": "/archive/1-093000.dbn.zst",
        "run_id": 1,
        "shard": "nq",
        "session_date": "2026-11-26",
        "first_ts": NOW_NS,
        "last_ts": NOW_NS + 1,
        "records": 2,
        "bytes": 80,
        "sha256": "0" * 64,
        "created_ns": NOW_NS,
        "closed_ns": NOW_NS + 2,
    }

    record.heed(Notice("segment", facts))

    (file,) = rows(engine, ArchiveFileRow)
    assert (file.path, file.records, file.sha256) == (facts["path"], 2, "0" * 64)


def test_what_ends_the_feed_for_good_is_raised(make_record: Callable[[], FeedRecord]) -> None:
    with pytest.raises(FeedError, match="the gateway refused the key"):
        make_record().heed(Notice("failed", {"error": "the gateway refused the key"}))


def test_a_doubtful_book_is_a_gap_of_its_instrument_until_it_is_whole_again(
    engine: Engine, make_record: Callable[[], FeedRecord]
) -> None:
    record = make_record()

    record.doubt(fault(1))
    record.store()
    record.doubt(fault(5, ended=True))
    record.doubt(fault(8))
    record.store()

    first, second = rows(engine, GapRow)
    assert (first.cause, first.instrument_id, first.raw_symbol) == ("book", 42, "NQZ6 C25000")
    assert (first.start_ns, first.end_ns, first.missing_ns) == (NOW_NS + 1, NOW_NS + 5, 4)
    assert (second.start_ns, second.end_ns) == (NOW_NS + 8, None)


def test_a_run_that_resumes_meets_the_doubts_of_the_run_before_it_and_adds_none(
    engine: Engine, make_record: Callable[[], FeedRecord]
) -> None:
    for _ in range(2):
        record = make_record()
        record.doubt(fault(1))
        record.store()

    (row,) = rows(engine, GapRow)
    assert row.run_id == 1


def test_while_the_database_is_away_everything_is_kept(
    engine: Engine, make_record: Callable[[], FeedRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_record()
    record.heed(gap(1, "open", None))
    record.heed(status())
    record.doubt(fault(1))

    def away(*_: object) -> None:
        raise sa.exc.OperationalError("insert", {}, Exception("database is locked"))

    with monkeypatch.context() as broken:
        broken.setattr("runtime.feed_record.write_coverage", away)
        with pytest.raises(sa.exc.OperationalError):
            record.store()
    assert rows(engine, GapRow) == []
    record.store()

    assert [row.cause for row in rows(engine, GapRow)] == ["reset", "book"]
    assert len(rows(engine, CoverageRow)) == 1
