"""A day with a hole, filled from history: afterwards its tables are those of an uncut day.

Two runs of one stream with ten minutes between them, the second from a snapshot, as after a kill.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from config.settings import Settings, load_settings
from ifd.clock import ManualClock
from ifd.gateway.historical import HistoricalSource, Patience
from ifd.pipeline import Pipeline
from ifd.records import MboArray
from ifd.replay import read_chunks, read_definitions, read_mbo
from ifd.symbols import instrument_from_definition
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND, ns_from_datetime
from models.base import make_engine, transaction
from models.coverage import write_coverage
from models.database import upgrade
from models.market import BarRow, PressureWindowRow
from models.money import CostEntryRow
from models.operations import ArchiveFileRow, CoverageRow, GapRow, StreamRunRow
from models.signals import AlertOutboxRow, SignalRow
from runtime.backfill import finish as finish_module
from runtime.backfill import recompute as recompute_module
from runtime.backfill import segment as segment_module
from runtime.backfill import worker as worker_module
from runtime.backfill.hole import history_of
from runtime.backfill.worker import Backfill
from runtime.gap_evidence import compare_counts
from runtime.gap_scan import SessionGaps, scan_gaps, session_on
from runtime.session_archive import read_session, session_segments
from simulator.historical import HistoricalServer
from simulator.live import DEFAULT_KEY
from simulator.live.snapshots import OrderFollower
from sinks.archive import ArchiveWriter
from sinks.archive_check import verify
from sinks.catalogue import Catalogue
from sinks.tables import TableWriter

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

DATE = "2026-10-05"
OPEN_NS = ns_from_datetime(dt.datetime(2026, 10, 5, 13, 30, tzinfo=dt.UTC))
END = 40.0


def at(minute: float) -> int:
    return OPEN_NS + round(minute * NANOS_PER_MINUTE)


def parents_of(days: Path) -> list[str]:
    listed = read_definitions(days / "definitions.dbn.zst")
    return sorted({f"{one.asset}.OPT" for one in listed if one.is_option})


class Day:
    """The database and the archive of one shard on Monday, 2026-10-05."""

    def __init__(self, directory: Path, days: Path, **changes: Any) -> None:
        self.days = days
        # Of this instrument nothing arrives in minutes 15 to 25.
        self.withheld: int | None = None
        self.directory = directory
        base = load_settings()
        self.settings: Settings = base.model_copy(
            update={
                "database_url": f"sqlite:///{directory / 'ifd.db'}",
                "feed": base.feed.model_copy(update={"parents": parents_of(days)}),
                "archive": base.archive.model_copy(update={"directory": directory / "archive"}),
                "backfill": base.backfill.model_copy(
                    update={"directory": directory / "backfill", "replay_hours": 0.0}
                ),
                **changes,
            }
        )
        upgrade(self.settings.database_url)
        self.engine: Engine = make_engine(self.settings.database_url)
        self.clock = ManualClock(at(END) + 5 * NANOS_PER_MINUTE)
        self.records = np.concatenate(list(read_mbo([days / f"{DATE}.mbo.dbn.zst"])))
        self.definitions = [
            one
            for one in read_chunks(days / "definitions.dbn.zst")
            if isinstance(one, dbn.InstrumentDefMsg)
            and instrument_from_definition(one).session_date == DATE
        ]

    def backfill(self, address: str) -> Backfill:
        source = self.history(address)
        return Backfill(self.settings, self.engine, clock=self.clock, source=source)

    def history(self, address: str) -> HistoricalSource:
        return HistoricalSource(
            DEFAULT_KEY,
            gateway=address,
            patience=Patience(free_attempts=1, paid_attempts=1, first_seconds=0.01),
        )

    def scan(self) -> SessionGaps:
        now_ns = self.clock.now_ns()
        (found,) = scan_gaps(self.settings, self.engine, shard="nq", now_ns=now_ns, date=DATE)
        return found

    def compare(self, address: str) -> list[tuple[int, int, str, int | None]]:
        """What a comparison with history finds, which is in the ledger afterwards."""
        market = session_on(self.settings, DATE, now_ns=self.clock.now_ns())
        found = compare_counts(
            self.settings,
            self.engine,
            self.history(address),
            market,
            now_ns=self.clock.now_ns(),
        )
        return [(gap.start_ns, gap.end_ns or 0, gap.cause, gap.estimated_records) for gap in found]

    def receive(self, start: float, end: float) -> None:
        """Let a run receive the records of some minutes as the live engine would."""
        run_id = self._run(start, end)
        params = self.settings.engine_params()
        catalogue = Catalogue(self.engine)
        archive = ArchiveWriter(
            self.settings.archive.directory,
            run_id=run_id,
            shard="nq",
            clock=self.clock,
            on_segment=catalogue.note,
        )
        writer = TableWriter(
            self.engine,
            run_id=run_id,
            source="live",
            params_fingerprint=params.fingerprint(),
            alert_channel="#flow",
            alert_min_confidence=0.6,
            clock=self.clock,
        )
        pipeline = Pipeline(params)
        instruments = [instrument_from_definition(one) for one in self.definitions]
        pipeline.define(instruments)
        writer.define(instruments)
        for definition in self.definitions:
            archive.append(definition)
        for records in self._wire(start, end):
            archive.append(records)
            writer.write(pipeline.update(records), received_ns=None)
        writer.write(pipeline.finish(), received_ns=None)
        writer.flush()
        archive.close()
        catalogue.finish()

    def _wire(self, start: float, end: float) -> Iterator[MboArray]:
        times = self.records["ts_recv"]
        if start:
            follower = OrderFollower()
            follower.follow(self.records[times < at(start)])
            yield follower.snapshot(np.unique(self.records["instrument_id"]).tolist(), at(start))
        wanted = (times >= at(start)) & (times < at(end))
        if self.withheld is not None:
            lacking = (times >= at(15)) & (times < at(25))
            wanted &= ~(lacking & (self.records["instrument_id"] == self.withheld))
        inside = self.records[wanted]
        yield from np.array_split(inside, 200)

    def _run(self, start: float, end: float) -> int:
        with transaction(self.engine) as session:
            run = StreamRunRow(
                shard="nq",
                source="live",
                profile="default",
                params_fingerprint="f",
                session_date=DATE,
                status="failed" if end < END else "drained",
                started_ns=at(start),
                heartbeat_ns=at(end),
                ended_ns=at(end),
            )
            session.add(run)
            session.flush()
            assert run.id is not None
            stretch = CoverageRow(
                run_id=run.id,
                number=1,
                shard="nq",
                session_date=DATE,
                dbn_schema="mbo",
                start_ns=at(start),
                end_ns=at(end) if end < END else self.clock.now_ns(),
                records=10_000,
            )
            write_coverage(session, [stretch])
            return run.id

    def doubt(self, instrument_id: int, raw_symbol: str | None, cause: str) -> None:
        """Store what the stream stores when it cannot trust a book in minutes 15 to 25."""
        with transaction(self.engine) as session:
            session.add(
                GapRow(
                    shard="nq",
                    session_date=DATE,
                    instrument_id=instrument_id,
                    raw_symbol=raw_symbol,
                    start_ns=at(15),
                    end_ns=at(25),
                    cause=cause,
                    detail="doubtful",
                    state="open",
                    detected_ns=at(15),
                )
            )

    def doubts(self) -> dict[int | None, tuple[str, str]]:
        with Session(self.engine) as session:
            gaps = session.exec(select(GapRow)).all()
        return {gap.instrument_id: (gap.state, gap.detail) for gap in gaps}

    def rows(self, table: Any, *left_out: str) -> list[dict[str, Any]]:
        with Session(self.engine) as session:
            found = [row.model_dump(exclude=set(left_out)) for row in session.exec(select(table))]
        return sorted(found, key=str)

    def count(self, table: Any) -> int:
        with Session(self.engine) as session:
            return session.exec(select(sa.func.count()).select_from(table)).one()


@pytest.fixture(scope="module")
def uncut(served_days: Path, tmp_path_factory: pytest.TempPathFactory) -> Day:
    day = Day(tmp_path_factory.mktemp("uncut"), served_days)
    day.receive(0, END)
    return day


@pytest.fixture
def make_cut(served_days: Path, tmp_path: Path) -> Callable[..., Day]:
    """Make a day that misses minutes 15 to 25; keywords change its settings."""

    def make(**changes: Any) -> Day:
        day = Day(tmp_path, served_days, **changes)
        day.receive(0, 15)
        day.receive(25, END)
        return day

    return make


def assert_same_tables(day: Day, uncut: Day) -> None:
    assert day.rows(PressureWindowRow) == uncut.rows(PressureWindowRow)
    assert day.rows(BarRow, "updated_ns") == uncut.rows(BarRow, "updated_ns")
    given = {row["signal_id"] for row in day.rows(SignalRow)}
    assert {row["signal_id"] for row in uncut.rows(SignalRow)} <= given


def test_a_filled_day_has_the_tables_of_an_uncut_one(
    make_cut: Callable[..., Day], uncut: Day, api: HistoricalServer
) -> None:
    day = make_cut()
    assert day.rows(PressureWindowRow) != uncut.rows(PressureWindowRow)
    alerts = day.count(AlertOutboxRow)
    given = day.count(SignalRow)

    work = day.backfill(api.address)
    (planned,) = work.plan(date=DATE)
    (request,) = work.run(date=DATE)

    assert_same_tables(day, uncut)
    assert (planned.hole.start_ns, planned.hole.end_ns) == (at(15), at(25))
    assert (planned.method, planned.affordable) == ("historical", True)
    assert (request.state, request.method) == ("done", "historical")
    assert planned.quoted_micro_dollars is not None
    # Every slice is rounded up by itself: the plan says what that can come to at most.
    slices = sum(len(list(one.slices())) for one in history_of(planned.hole, day.settings))
    assert 0 <= planned.quoted_micro_dollars - request.spent_micro_dollars < slices
    assert sum(row["committed_micro_dollars"] for row in day.rows(CostEntryRow)) == (
        request.spent_micro_dollars
    )
    missing = day.records[(day.records["ts_recv"] >= at(15)) & (day.records["ts_recv"] < at(25))]
    with Session(day.engine) as session:
        gaps = session.exec(select(GapRow)).all()
        late = session.exec(select(SignalRow).where(SignalRow.late)).all()
        file = session.exec(
            select(ArchiveFileRow).where(col(ArchiveFileRow.path).contains("backfill-"))
        ).one()
    assert [(gap.start_ns, gap.end_ns, gap.state) for gap in gaps] == [
        (at(15), at(25), "backfilled")
    ]
    assert np.array_equal(np.concatenate(list(read_mbo([file.path]))), missing)
    # What was found late is stored as late, and nobody is told as if it were fresh.
    assert len(late) == request.late_signals == day.count(SignalRow) - given > 0
    assert day.count(AlertOutboxRow) == alerts
    assert not list(verify(day.engine, day.settings.archive.directory, now_ns=day.clock.now_ns()))


def test_filling_again_finds_nothing_to_do(
    make_cut: Callable[..., Day], api: HistoricalServer
) -> None:
    day = make_cut()
    work = day.backfill(api.address)
    work.run(date=DATE)
    before = day.rows(PressureWindowRow), day.rows(SignalRow), day.rows(CostEntryRow)

    again = work.run(date=DATE)

    assert again == []
    assert (day.rows(PressureWindowRow), day.rows(SignalRow), day.rows(CostEntryRow)) == before


@pytest.fixture
def doubtful(served_days: Path, tmp_path: Path) -> tuple[Day, dict[str, int]]:
    """A day with three doubtful books: one lacks orders, one lacks none, one is not defined."""
    day = Day(tmp_path, served_days)
    listed = [instrument_from_definition(one) for one in day.definitions]
    inside = day.records[(day.records["ts_recv"] >= at(15)) & (day.records["ts_recv"] < at(25))]
    numbers = dict(zip(*np.unique(inside["instrument_id"], return_counts=True), strict=True))
    options = sorted(
        (one for one in listed if one.is_option), key=lambda one: numbers.get(one.instrument_id, 0)
    )
    poor, whole = options[-1], options[-2]
    day.withheld = poor.instrument_id
    day.receive(0, END)
    day.doubt(poor.instrument_id, poor.raw_symbol, "flag")
    day.doubt(whole.instrument_id, whole.raw_symbol, "book")
    day.doubt(4_000_000_000, None, "book")
    ids = {"poor": poor.instrument_id, "whole": whole.instrument_id, "unknown": 4_000_000_000}
    return day, ids


def test_doubtful_books_get_what_history_has_and_the_rest_is_said_to_be_lost(
    doubtful: tuple[Day, dict[str, int]], uncut: Day, api: HistoricalServer
) -> None:
    day, ids = doubtful
    assert day.rows(PressureWindowRow) != uncut.rows(PressureWindowRow)

    work = day.backfill(api.address)
    (planned,) = work.plan(date=DATE)
    (request,) = work.run(date=DATE)

    assert planned.hole.of_doubts
    assert len(planned.hole.symbols) == 2
    # A book that cannot follow lacks an order of any time since the open.
    assert (request.start_ns, request.end_ns) == (at(0), at(25))
    assert (request.state, request.of_doubts) == ("done", True)
    missing = day.records[
        (day.records["instrument_id"] == ids["poor"])
        & (day.records["ts_recv"] >= at(15))
        & (day.records["ts_recv"] < at(25))
    ]
    assert request.added_records == len(missing) > 100
    doubts = day.doubts()
    assert doubts[ids["poor"]] == ("backfilled", "doubtful")
    assert doubts[ids["whole"]] == doubts[ids["unknown"]]
    assert doubts[ids["whole"]][0] == "lost"
    assert "the exchange itself lost it" in doubts[ids["whole"]][1]
    assert_same_tables(day, uncut)
    assert work.run(date=DATE) == []
    assert {row["origin"] for row in day.rows(CoverageRow)} == {"live"}


def test_books_of_which_nobody_has_more_cost_nothing(
    doubtful: tuple[Day, dict[str, int]], api: HistoricalServer
) -> None:
    day, ids = doubtful
    with transaction(day.engine) as session:
        poor = session.exec(select(GapRow).where(GapRow.instrument_id == ids["poor"])).one()
        session.delete(poor)

    work = day.backfill(api.address)
    (planned,) = work.plan(date=DATE)
    (request,) = work.run(date=DATE)

    assert planned.quoted_micro_dollars == 0
    assert (request.state, request.spent_micro_dollars) == ("done", 0)
    assert day.count(CostEntryRow) == 0
    assert {state for state, _ in day.doubts().values()} == {"lost"}
    assert "timeseries.get_range" not in [one.method for one in api.door.exchanges]


def test_doubtful_books_killed_before_their_windows_are_made_are_finished_by_the_next_start(
    doubtful: tuple[Day, dict[str, int]],
    uncut: Day,
    api: HistoricalServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    day, ids = doubtful

    def die(*_arguments: Any, **_options: Any) -> Any:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(finish_module, "recompute", die)
        with pytest.raises(KilledError):
            day.backfill(api.address).run(date=DATE)

    (request,) = day.backfill(api.address).run(date=DATE)

    assert request.state == "done"
    assert day.doubts()[ids["poor"]][0] == "backfilled"
    assert_same_tables(day, uncut)


def test_what_history_has_more_of_is_found_to_the_minute_and_filled(
    served_days: Path, tmp_path: Path, uncut: Day, api: HistoricalServer
) -> None:
    day = Day(tmp_path, served_days)
    inside = (day.records["ts_recv"] >= at(15)) & (day.records["ts_recv"] < at(25))
    ids, numbers = np.unique(day.records["instrument_id"][inside], return_counts=True)
    day.withheld = int(ids[np.argmax(numbers)])
    day.receive(0, END)

    assert uncut.compare(api.address) == []
    found = day.compare(api.address)
    asked = [one.method for one in api.door.exchanges]
    (request,) = day.backfill(api.address).run(date=DATE)

    assert found == [(at(15), at(25), "count", numbers.max())]
    # Two half hours, and the halves that lead to ten minutes; nothing that costs money.
    assert asked.count("metadata.get_record_count") < 60
    assert "timeseries.get_range" not in asked
    assert request.state == "done"
    assert day.doubts()[None][0] == "backfilled"
    assert_same_tables(day, uncut)
    assert day.compare(api.address) == []


def test_a_file_that_the_disk_has_lost_is_a_gap_and_filled(
    served_days: Path, tmp_path: Path, uncut: Day, api: HistoricalServer
) -> None:
    day = Day(tmp_path, served_days)
    day.receive(0, 15)
    day.receive(15, END)
    assert day.scan().covered_share == 1
    files = sorted(day.settings.archive.directory.rglob("*.dbn.zst"))
    files[1].unlink()

    before, again = day.scan(), day.scan()
    (request,) = day.backfill(api.address).run(date=DATE)
    after = day.scan()

    assert [(gap.cause, gap.state) for gap in before.gaps] == [("archive", "open")]
    assert files[1].name in before.gaps[0].detail
    assert 0 < before.covered_share < 1
    assert len(again.gaps) == 1
    assert (request.state, after.covered_share) == ("done", 1)
    assert [gap.state for gap in after.gaps] == ["backfilled"]
    held = np.concatenate(
        [one.copy() for one in read_session(session_segments(day.engine, "nq", DATE))]
    )
    assert np.array_equal(held, day.records)


def test_a_hole_that_is_open_again_is_worked_on_again_and_not_paid_again(
    make_cut: Callable[..., Day], uncut: Day, api: HistoricalServer
) -> None:
    day = make_cut()
    work = day.backfill(api.address)
    (first,) = work.run(date=DATE)
    paid = day.rows(CostEntryRow)
    with transaction(day.engine) as session:
        session.exec(sa.delete(CoverageRow).where(col(CoverageRow.origin) == "backfill"))
        gap = session.exec(select(GapRow)).one()
        gap.state = "open"

    due = work.due([day.scan()])
    (again,) = work.run(date=DATE)

    assert due == 1
    assert (again.id, again.state) == (first.id, "done")
    assert day.doubts()[None][0] == "backfilled"
    assert day.rows(CostEntryRow) == paid
    assert_same_tables(day, uncut)


def test_a_disk_that_is_away_is_said_and_nothing_is_bought(
    served_days: Path, tmp_path: Path
) -> None:
    day = Day(tmp_path, served_days)
    day.receive(0, 15)
    day.receive(15, END)
    day.settings.archive.directory.rename(tmp_path / "elsewhere")

    found = day.scan()

    assert found.gaps == ()
    assert "is it there?" in found.note


class KilledError(BaseException):
    """Stands for SIGKILL: nothing catches it."""


KILLS = {
    "before the segment is renamed": (segment_module.os, "fsync"),
    "before its row says so": (worker_module, "change_request"),
    "before it is catalogued": (finish_module, "merge_request"),
    "before the windows are made": (finish_module, "recompute"),
    "among the windows": (recompute_module.TableWriter, "flush"),
    "before the gap is settled": (finish_module, "scan_gaps"),
}


def is_segment(descriptor: int) -> bool:
    """True when an open file is the segment, not a download; how many of those depends."""
    return Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".writing"


@pytest.mark.parametrize("moment", KILLS)
def test_killed_at_any_point_it_is_finished_by_the_next_start(
    moment: str,
    make_cut: Callable[..., Day],
    uncut: Day,
    api: HistoricalServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    day = make_cut()
    owner, name = KILLS[moment]
    real = getattr(owner, name)

    def die(*arguments: Any, **options: Any) -> Any:
        if name == "change_request" and options.get("state") != "fetched":
            return real(*arguments, **options)
        if name == "fsync" and not is_segment(*arguments):
            return real(*arguments, **options)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, die)
        with pytest.raises(KilledError):
            day.backfill(api.address).run(date=DATE)
    paid = sum(row["committed_micro_dollars"] for row in day.rows(CostEntryRow))

    (request,) = day.backfill(api.address).run(date=DATE)

    assert request.state == "done"
    assert_same_tables(day, uncut)
    assert sum(row["committed_micro_dollars"] for row in day.rows(CostEntryRow)) == paid
    with Session(day.engine) as session:
        files = session.exec(
            select(ArchiveFileRow).where(col(ArchiveFileRow.path).contains("backfill-"))
        ).all()
        filled = session.exec(select(CoverageRow).where(CoverageRow.origin == "backfill")).all()
    assert len(files) == len(filled) == 1


def test_what_the_budget_does_not_pay_waits_for_tomorrow_and_is_no_failure(
    make_cut: Callable[..., Day], api: HistoricalServer
) -> None:
    budget = load_settings().budget.model_copy(update={"backfill_daily": Decimal("0.0001")})
    day = make_cut(budget=budget)
    work = day.backfill(api.address)

    (planned,) = work.plan(date=DATE)
    (request,) = work.run(date=DATE)

    assert not planned.affordable
    assert (request.state, request.attempts) == ("waiting", 0)
    assert "may still be spent" in str(request.error)
    assert sum(row["committed_micro_dollars"] for row in day.rows(CostEntryRow)) <= 100
    assert work.run(date=DATE) == []
    day.clock.advance_to(request.next_try_ns)
    assert request.id in [one.id for one in work.run(date=DATE)]


def test_a_provider_that_fails_is_asked_again_later_and_at_last_given_up_visibly(
    make_cut: Callable[..., Day], api: HistoricalServer
) -> None:
    limits = load_settings().backfill.model_copy(update={"replay_hours": 0.0, "max_attempts": 3})
    day = make_cut()
    day.settings = day.settings.model_copy(
        update={"backfill": limits.model_copy(update={"directory": day.directory / "backfill"})}
    )
    work = day.backfill(api.address)
    api.door.faults.plan("500", "timeseries.get_range")
    waits = []

    for _ in range(3):
        request = min(work.run(date=DATE), key=lambda one: one.start_ns)
        waits.append(request.next_try_ns - day.clock.now_ns())
        day.clock.advance_to(request.next_try_ns)

    assert [round(wait / NANOS_PER_SECOND) for wait in waits[:2]] == [60, 120]
    assert (request.state, request.attempts) == ("given-up", 3)
    assert request.error
    with Session(day.engine) as session:
        gaps = session.exec(select(GapRow).where(GapRow.start_ns == request.start_ns)).all()
    assert [gap.state for gap in gaps] == ["lost"]
    assert request.id not in [one.id for one in work.run(date=DATE)]
