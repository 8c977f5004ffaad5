"""The ledger of gaps: what the feed told, what only the calendar shows, and what came later.

Times are in minutes of one day; the session lasts from minute 100 to 200.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.sessions import Session as MarketSession
from ifd.units import NANOS_PER_MINUTE
from models.base import transaction
from models.coverage import (
    Reconciled,
    coverage_intervals,
    gaps_of,
    missing_intervals,
    reconcile_gaps,
    write_coverage,
)
from models.operations import CoverageRow, GapRow, StreamRunRow

DATE = "2026-11-24"
SESSION = MarketSession(DATE, "cash", 100 * NANOS_PER_MINUTE, 200 * NANOS_PER_MINUTE)


def at(minute: float) -> int:
    return round(minute * NANOS_PER_MINUTE)


def add_run(
    engine: Engine, start: float, end: float | None, *, status: str = "drained", **facts: Any
) -> int:
    """Store a run; one without an end lives, and its heart beats at minute `beat`."""
    beat = at(facts.pop("beat", start if end is None else end))
    row = StreamRunRow(
        shard="nq",
        active_shard="nq" if end is None else None,
        source="live",
        profile="default",
        params_fingerprint="f",
        session_date=DATE,
        status="streaming" if end is None else status,
        started_ns=at(start),
        heartbeat_ns=beat,
        ended_ns=None if end is None else at(end),
        **facts,
    )
    with transaction(engine) as session:
        session.add(row)
        session.flush()
        assert row.id is not None
        return row.id


def cover(
    engine: Engine, run: int | None, number: int, start: float, end: float, **facts: Any
) -> None:
    usual: dict[str, Any] = {"records": 0, "session_date": DATE, "dbn_schema": "mbo", "shard": "nq"}
    row = CoverageRow(
        run_id=run, number=number, start_ns=at(start), end_ns=at(end), **usual | facts
    )
    with transaction(engine) as session:
        write_coverage(session, [row])


def add_gap(engine: Engine, run: int | None, start: float, end: float | None, **facts: Any) -> None:
    usual: dict[str, Any] = {"cause": "reset", "state": "open", "detected_ns": at(start)}
    with transaction(engine) as session:
        session.add(
            GapRow(
                run_id=run,
                shard="nq",
                session_date=DATE,
                start_ns=at(start),
                end_ns=None if end is None else at(end),
                **usual | facts,
            )
        )


def reconcile(engine: Engine, now: float) -> Reconciled:
    return reconcile_gaps(engine, "nq", [SESSION], now_ns=at(now))


def gaps(engine: Engine) -> list[tuple[float, float | None, str, str]]:
    with Session(engine) as session:
        return [
            (
                row.start_ns / NANOS_PER_MINUTE,
                None if row.end_ns is None else row.end_ns / NANOS_PER_MINUTE,
                row.cause,
                row.state,
            )
            for row in gaps_of(session, "nq", [DATE])
        ]


def test_a_stretch_that_grows_is_one_row(engine: Engine) -> None:
    run = add_run(engine, 90, 210)
    cover(engine, run, 1, 100, 120, records=5, is_open=True)
    cover(engine, run, 1, 100, 130, records=9)
    cover(engine, run, 2, 140, 150)

    with Session(engine) as session:
        rows = session.exec(select(CoverageRow).order_by(col(CoverageRow.number))).all()
    assert [(row.number, row.end_ns, row.records, row.is_open) for row in rows] == [
        (1, at(130), 9, False),
        (2, at(150), 0, False),
    ]


def test_coverage_is_merged_over_runs_and_cut_to_what_was_asked(engine: Engine) -> None:
    first, second = add_run(engine, 90, 130), add_run(engine, 125, 210)
    cover(engine, first, 1, 95, 130)
    cover(engine, second, 1, 125, 140)
    cover(engine, second, 2, 150, 210)
    cover(engine, second, 3, 100, 200, dbn_schema="definition")
    cover(engine, second, 4, 100, 200, shard="es")

    with Session(engine) as session:
        found = coverage_intervals(session, "nq", at(100), at(200))

    assert found == [(at(100), at(140)), (at(150), at(200))]


@pytest.mark.parametrize(
    ("runs", "stretches", "expected"),
    [
        # (start, end, status) of runs; (run, start, end) of coverage
        ([], [], [(100, 180, "not-running")]),
        ([(110, 210, "drained")], [(1, 112, 180)], [(100, 112, "late-start")]),
        ([(90, 210, "drained")], [(1, 103, 180)], [(100, 103, "late-start")]),
        # It had the last five minutes before its start sent again.
        ([(120, 210, "drained")], [(1, 115, 180)], [(100, 115, "late-start")]),
        ([(90, 150, "failed")], [(1, 100, 149)], [(149, 180, "crash")]),
        ([(90, 150, "drained")], [(1, 100, 150)], [(150, 180, "not-running")]),
        (
            [(90, 150, "failed"), (160, 210, "drained")],
            [(1, 100, 150), (2, 161, 180)],
            [(150, 161, "crash")],
        ),
        ([(90, 210, "drained")], [(1, 100, 120), (1, 130, 180)], [(120, 130, "unrecorded")]),
        # A run of the day before has nothing to do with it.
        ([(10, 90, "failed")], [], [(100, 180, "not-running")]),
    ],
)
def test_market_hours_that_nobody_covered_get_a_gap_and_a_cause(
    engine: Engine,
    runs: list[tuple[float, float, str]],
    stretches: list[tuple[int, float, float]],
    expected: list[tuple[float, float, str]],
) -> None:
    ids = [add_run(engine, start, end, status=status) for start, end, status in runs]
    for number, (run, start, end) in enumerate(stretches, start=1):
        cover(engine, ids[run - 1], number, start, end)

    assert reconcile(engine, 180) == Reconciled(len(expected), 0, 0)
    assert reconcile(engine, 180) == Reconciled(0, 0, 0)

    assert gaps(engine) == [(*gap, "open") for gap in expected]


def test_a_gap_that_the_feed_recorded_is_not_recorded_twice(engine: Engine) -> None:
    run = add_run(engine, 90, 210)
    cover(engine, run, 1, 100, 120)
    add_gap(engine, run, 120, 130)
    cover(engine, run, 2, 130, 200)

    assert reconcile(engine, 300) == Reconciled(0, 0, 0)
    assert gaps(engine) == [(120, 130, "reset", "open")]


def test_a_living_run_is_not_missing_what_it_has_yet_to_write_down(engine: Engine) -> None:
    run = add_run(engine, 90, None, beat=150)
    cover(engine, run, 1, 100, 149, is_open=True)

    assert reconcile(engine, 150) == Reconciled(0, 0, 0)

    add_gap(engine, run, 149, None)
    cover(engine, run, 1, 100, 149)
    assert reconcile(engine, 150.1) == Reconciled(0, 0, 0)
    assert gaps(engine) == [(149, None, "reset", "open")]


def test_the_open_gap_of_a_dead_run_ends_with_it_and_the_rest_is_the_crashs(
    engine: Engine,
) -> None:
    run = add_run(engine, 90, 150, status="failed", error="the disk was full")
    cover(engine, run, 1, 100, 140)
    add_gap(engine, run, 140, None)

    reconcile(engine, 180)

    assert gaps(engine) == [(140, 150, "reset", "open"), (150, 180, "crash", "open")]
    with Session(engine) as session:
        assert gaps_of(session, "nq", [DATE])[1].detail == (
            f"run {run} ended early: the disk was full"
        )


def test_an_outage_that_goes_on_stays_one_gap(engine: Engine) -> None:
    assert reconcile(engine, 110) == Reconciled(1, 0, 0)
    assert reconcile(engine, 125) == Reconciled(0, 1, 0)
    assert gaps(engine) == [(100, 125, "not-running", "open")]

    run = add_run(engine, 130, 210)
    cover(engine, run, 1, 131, 200)
    assert reconcile(engine, 140) == Reconciled(0, 1, 0)
    assert gaps(engine) == [(100, 131, "late-start", "open")]


def test_what_a_replay_or_a_backfill_brought_is_split_off(engine: Engine) -> None:
    """
    gap         120 ------------------------- 160
    replay            130 --- 140
    backfill                     135 --- 150
    """
    run = add_run(engine, 90, 210)
    cover(engine, run, 1, 100, 120, records=2_000)
    add_gap(engine, run, 120, 160, detail="RST")
    cover(engine, run, 2, 160, 200)
    cover(engine, run, 3, 130, 140, origin="replay")
    cover(engine, None, 1, 135, 150, origin="backfill")

    assert reconcile(engine, 300) == Reconciled(0, 0, 1)
    assert reconcile(engine, 300) == Reconciled(0, 0, 0)

    assert gaps(engine) == [
        (120, 130, "reset", "open"),
        (130, 140, "reset", "replayed"),
        (140, 150, "reset", "backfilled"),
        (150, 160, "reset", "open"),
    ]
    with Session(engine) as session:
        rows = gaps_of(session, "nq", [DATE])
    assert {row.detail for row in rows} == {"RST"}
    assert [row.missing_ns for row in rows] == [at(10)] * 4
    # 2,000 records in the 20 minutes before it, none in the 10 of the replay after it.
    assert rows[0].estimated_records == 666


def test_a_run_that_received_around_its_own_gap_has_not_replayed_it(engine: Engine) -> None:
    run = add_run(engine, 90, 210)
    cover(engine, run, 1, 100, 200)
    add_gap(engine, run, 120, 130)

    assert reconcile(engine, 300) == Reconciled(0, 0, 0)

    other = add_run(engine, 90, 210)
    cover(engine, other, 1, 115, 140)
    assert reconcile(engine, 300) == Reconciled(0, 0, 1)
    assert gaps(engine) == [(120, 130, "reset", "replayed")]


def test_doubt_about_an_instrument_explains_no_silence_and_only_a_new_copy_settles_it(
    engine: Engine,
) -> None:
    run = add_run(engine, 90, 210)
    other = add_run(engine, 90, 210)
    cover(engine, run, 1, 100, 200)
    cover(engine, other, 1, 100, 200)
    add_gap(engine, run, 150, 160, cause="flag", instrument_id=7, raw_symbol="NQZ6 C25000")

    assert reconcile(engine, 300) == Reconciled(0, 0, 0)
    with Session(engine) as session:
        assert missing_intervals(gaps_of(session, "nq", [DATE]), now_ns=at(300)) == []

    cover(engine, None, 1, 140, 170, origin="backfill")
    assert reconcile(engine, 300) == Reconciled(0, 0, 1)
    assert gaps(engine) == [(150, 160, "flag", "backfilled")]


def test_two_that_reconcile_at_once_add_one_gap(engine: Engine) -> None:
    threads = [threading.Thread(target=reconcile, args=(engine, 180)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert gaps(engine) == [(100, 180, "not-running", "open")]


def test_a_session_that_has_not_begun_lacks_nothing(engine: Engine) -> None:
    assert reconcile(engine, 100) == Reconciled(0, 0, 0)
    assert gaps(engine) == []
