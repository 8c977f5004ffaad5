"""A feed that is billed by the byte, in mid-session: metered, told, and stopped as asked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from config.settings import Settings
from ifd.clock import ManualClock
from ifd.errors import StreamingSpentError
from ifd.units import NANOS_PER_MINUTE, ns_from_datetime
from models.base import transaction
from models.coverage import write_coverage
from models.money import BudgetAlarmRow, CostEntryRow
from models.operations import CoverageRow, StreamRunRow
from models.runs import end_run
from models.signals import NoticeRow
from runtime.backfill.worker import Backfill
from runtime.costs.meter import StreamMeter
from runtime.costs.streaming import book_replayed
from runtime.supervisor import start_stream
from runtime.watchdog import Watchdog

GIB = 2**30
NOON = dt.datetime(2026, 11, 25, 17, tzinfo=dt.UTC)
"""Noon in New York, in the session."""
NOON_NS = ns_from_datetime(NOON)
MIDNIGHT_NS = ns_from_datetime(dt.datetime(2026, 11, 26, tzinfo=dt.UTC))
SettingsOf = Callable[..., Settings]
Run = Callable[..., int]


class Starter:
    """Notes what it is asked to start."""

    def __init__(self) -> None:
        self.started: list[int | None] = []

    def was_cancelled(self, run: StreamRunRow) -> bool:
        return False

    def restart(self, run: StreamRunRow) -> None:
        self.started.append(run.id)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON_NS)


def receive(engine: Engine, run_id: int, gib: float, clock: ManualClock) -> None:
    with transaction(engine) as session:
        row = session.get_one(StreamRunRow, run_id)
        row.bytes_by_schema = {"mbo": int(gib * GIB)}
        row.heartbeat_ns = clock.now_ns()
        session.add(row)


def stored(engine: Engine, run_id: int) -> StreamRunRow:
    with Session(engine) as session:
        return session.get_one(StreamRunRow, run_id)


def alarms(engine: Engine) -> list[tuple[str, int]]:
    with Session(engine) as session:
        rows = session.exec(select(BudgetAlarmRow)).all()
        return sorted((row.period, row.percent) for row in rows)


def minute_later(clock: ManualClock) -> None:
    clock.advance_to(clock.now_ns() + NANOS_PER_MINUTE)


def by_the_byte(settings_of: SettingsOf, then: str, **changes: str) -> Settings:
    return settings_of(costs__live="usage", budget__when_streaming_spent=then, **changes)


def test_alarms_come_while_the_stream_runs_and_it_goes_on(
    settings_of: SettingsOf, engine: Engine, run: Run, clock: ManualClock
) -> None:
    # 25 dollars are 11.57 GiB at 2.16; 80 percent of them 9.26 GiB.
    meter = StreamMeter(engine, by_the_byte(settings_of, "alarm"), clock=clock)
    run_id = run(NOON)
    found = []
    for gib in (9.2, 9.3, 11.5, 11.6, 12.0):
        receive(engine, run_id, gib, clock)
        told = meter.look()
        found.append((len(told), alarms(engine)))
        minute_later(clock)

    eighty, hundred = ("2026-11-25", 80), ("2026-11-25", 100)
    assert found == [
        (0, []),
        (1, [eighty]),
        (0, [eighty]),
        (1, [eighty, hundred]),
        (0, [eighty, hundred]),
    ]
    assert stored(engine, run_id).stop_requested_ns is None
    assert not meter.stopped


def test_the_meter_looks_once_a_minute(
    settings_of: SettingsOf, engine: Engine, run: Run, clock: ManualClock
) -> None:
    meter = StreamMeter(engine, by_the_byte(settings_of, "alarm"), clock=clock)
    meter.look()
    receive(engine, run(NOON), 20, clock)

    clock.advance_to(NOON_NS + NANOS_PER_MINUTE - 1)
    early = meter.look()
    clock.advance_to(NOON_NS + NANOS_PER_MINUTE)

    assert early == []
    assert len(meter.look()) == 1


def test_a_subscription_is_neither_metered_nor_stopped(
    settings_of: SettingsOf, engine: Engine, run: Run, clock: ManualClock
) -> None:
    settings = settings_of(costs__subscription_monthly="4000", budget__when_streaming_spent="stop")
    run_id = run(NOON)
    receive(engine, run_id, 50, clock)

    assert StreamMeter(engine, settings, clock=clock).look() == []
    assert stored(engine, run_id).stop_requested_ns is None


def test_at_the_cap_streams_are_asked_to_drain_with_a_notice_and_not_started_again(
    settings_of: SettingsOf, engine: Engine, run: Run, clock: ManualClock, tmp_path: Path
) -> None:
    settings = by_the_byte(
        settings_of, "stop", session__hours="always", log_directory=str(tmp_path)
    )
    starter = Starter()
    watchdog = Watchdog(engine, settings, starter, clock=clock)
    run_id = run(NOON)
    receive(engine, run_id, 12, clock)

    said = watchdog.look()
    asked = stored(engine, run_id)
    end_run(engine, run_id, status="drained", now_ns=clock.now_ns())
    # A second stream died of something else in the same minute; it is not started again either.
    dead = run(NOON, shard="es", active_shard=None, status="failed", ended_ns=NOON_NS)
    minute_later(clock)
    later = watchdog.look()

    why = (
        "streams are stopped until 2026-11-25 (UTC) is over, as budget.when_streaming_spent says: "
        "the live feed has cost $25.92 of $25.00"
    )
    assert said[-1] == f"stream nq was asked to stop: {why}"
    assert (asked.stop_requested_ns, asked.stop_reason) == (NOON_NS, why)
    with Session(engine) as session:
        notice = session.get_one(NoticeRow, f"run-{run_id}-spent")
    assert notice.title == "Stream nq is stopped: its budget is used up"
    assert any("stream es ended unasked" in word for word in later), dead
    assert starter.started == []


def test_no_start_goes_through_until_the_day_is_over_or_the_cap_is_raised(
    settings_of: SettingsOf, engine: Engine, run: Run, clock: ManualClock, tmp_path: Path
) -> None:
    settings = by_the_byte(settings_of, "stop", log_directory=str(tmp_path))
    receive(engine, run(NOON), 12, clock)
    StreamMeter(engine, settings, clock=clock).look()

    def start(chosen: Settings, now_ns: int) -> None:
        stream = start_stream(
            engine,
            chosen.of_shard("nq").model_copy(
                update={"feed": chosen.feed.model_copy(update={"shard": "es"})}
            ),
            now_ns=now_ns,
            session_date="2026-11-25",
            command=("true",),
        )
        assert stream.process.wait() == 0
        end_run(engine, stream.run_id, status="drained", now_ns=now_ns)

    with pytest.raises(StreamingSpentError, match="streams are stopped until 2026-11-25"):
        start(settings, NOON_NS)
    start(settings, MIDNIGHT_NS)
    start(by_the_byte(settings_of, "stop", budget__streaming_daily="26"), NOON_NS)


def test_a_used_up_month_stops_longer_than_its_day(
    settings_of: SettingsOf, engine: Engine, run: Run, clock: ManualClock
) -> None:
    settings = by_the_byte(settings_of, "stop", budget__streaming_monthly="20")
    receive(engine, run(NOON), 10, clock)
    StreamMeter(engine, settings, clock=clock).look()

    clock.advance_to(MIDNIGHT_NS)
    meter = StreamMeter(engine, settings, clock=clock)
    meter.look()

    assert meter.stopped
    assert alarms(engine) == [("2026-11", 100), ("2026-11-25", 80)]


@pytest.mark.parametrize("then", ["stop-backfill", "stop"])
def test_holes_wait_for_the_next_day_and_say_why(
    settings_of: SettingsOf,
    engine: Engine,
    run: Run,
    clock: ManualClock,
    tmp_path: Path,
    then: str,
) -> None:
    settings = by_the_byte(
        settings_of,
        then,
        session__hours="globex",
        archive__directory=str(tmp_path / "archive"),
        backfill__directory=str(tmp_path / "backfill"),
    )
    run_id = run(NOON, ended_ns=NOON_NS, active_shard=None, stop_requested_ns=NOON_NS)
    hole_begins_ns = NOON_NS - 30 * NANOS_PER_MINUTE
    with transaction(engine) as session:
        covered = {"run_id": run_id, "shard": "nq", "session_date": "2026-11-25"}
        write_coverage(
            session,
            [
                CoverageRow(
                    number=number,
                    dbn_schema="mbo",
                    start_ns=start_ns,
                    end_ns=end_ns,
                    records=1_000,
                    **covered,
                )
                for number, (start_ns, end_ns) in enumerate(
                    [
                        (NOON_NS - 18 * 60 * NANOS_PER_MINUTE, hole_begins_ns),
                        (NOON_NS - 20 * NANOS_PER_MINUTE, NOON_NS),
                    ],
                    start=1,
                )
            ],
        )
    receive(engine, run_id, 12, clock)
    StreamMeter(engine, settings, clock=clock).look()
    work = Backfill(settings, engine, clock=clock)

    (planned,) = work.plan()
    (request,) = work.run()
    again = work.run()

    assert (planned.hole.start_ns, planned.wait_ns) == (hole_begins_ns, MIDNIGHT_NS)
    assert planned.why.startswith("holes are not filled until 2026-11-25 (UTC) is over")
    assert (request.state, request.next_try_ns, request.attempts) == ("waiting", MIDNIGHT_NS, 0)
    assert request.error == planned.why
    assert again == []


def test_what_the_gateway_sends_again_of_a_hole_is_billed_too(
    settings_of: SettingsOf, engine: Engine, entries: Callable[[], list[CostEntryRow]]
) -> None:
    facts = {"shard": "nq", "span": (1, 2), "now_ns": NOON_NS}
    received = {"mbo": GIB, "definition": 0, "status": 0}

    book_replayed(settings_of(), engine, received, **facts)  # type: ignore[arg-type]
    free = entries()
    for _ in range(2):
        book_replayed(by_the_byte(settings_of, "alarm"), engine, received, **facts)  # type: ignore[arg-type]

    assert free == []
    assert [(one.dbn_schema, one.committed_micro_dollars) for one in entries()] == [
        ("mbo", 2_160_000),
        ("mbo", 2_160_000),
    ]
    assert (entries()[0].start_ns, entries()[0].end_ns, entries()[0].day) == (1, 2, "2026-11-25")
