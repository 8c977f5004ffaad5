"""After reconciling, market hours until now are covered or lie in an open gap, always."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine
from sqlalchemy.pool import StaticPool
from sqlmodel import Session, SQLModel, create_engine

from ifd.coverage import duration_ns, intersect, union
from ifd.sessions import Session as MarketSession
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

SESSIONS = [
    MarketSession("2026-11-24", "cash", 100, 200),
    MarketSession("2026-11-25", "cash", 300, 400),
]
DATES = [session.date for session in SESSIONS]
moments = st.integers(0, 450)
spans = st.tuples(moments, moments).map(lambda pair: (min(pair), max(pair) + 1))
runs = st.lists(st.tuples(spans, st.sampled_from(["drained", "failed"])), max_size=4)
stretches = st.lists(
    st.tuples(st.integers(0, 4), spans, st.sampled_from(["live", "replay", "backfill"])),
    max_size=6,
)
recorded = st.lists(
    st.tuples(st.integers(0, 4), spans, st.booleans(), st.sampled_from([None, None, 7])), max_size=4
)


def run_row(number: int, span: tuple[int, int], status: str) -> StreamRunRow:
    return StreamRunRow(
        id=number,
        shard="nq",
        source="live",
        profile="default",
        params_fingerprint="f",
        session_date=DATES[0],
        status=status,
        started_ns=span[0],
        heartbeat_ns=span[1],
        ended_ns=span[1],
    )


def write_stretches(
    engine: Engine, found: list[tuple[int, tuple[int, int], str]], runs_known: int, first: int
) -> None:
    rows = [
        CoverageRow(
            run_id=run if 0 < run <= runs_known else None,
            number=number,
            shard="nq",
            session_date=DATES[0],
            dbn_schema="mbo",
            origin=origin,
            start_ns=start,
            end_ns=end,
            records=end - start,
        )
        for number, (run, (start, end), origin) in enumerate(found, start=first)
    ]
    with transaction(engine) as session:
        write_coverage(session, rows)


def check(engine: Engine, now_ns: int) -> None:
    market = [(s.open_ns, min(s.close_ns, now_ns)) for s in SESSIONS if s.open_ns < now_ns]
    with Session(engine) as session:
        covered = coverage_intervals(session, "nq", 0, 500)
        missing = missing_intervals(gaps_of(session, "nq", DATES), now_ns=now_ns)
    assert intersect(union(covered, missing), market) == union(market)


@settings(max_examples=60)
@given(runs, stretches, recorded, stretches, st.lists(moments, min_size=2, max_size=2))
def test_nothing_of_the_market_is_forgotten(
    lived: list[tuple[tuple[int, int], str]],
    received: list[tuple[int, tuple[int, int], str]],
    noticed: list[tuple[int, tuple[int, int], bool, int | None]],
    later: list[tuple[int, tuple[int, int], str]],
    nows: list[int],
) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    SQLModel.metadata.create_all(engine)
    with transaction(engine) as session:
        session.add_all(
            run_row(number, span, status) for number, (span, status) in enumerate(lived, start=1)
        )
        session.flush()
        session.add_all(
            GapRow(
                run_id=run if 0 < run <= len(lived) else None,
                shard="nq",
                session_date=DATES[0],
                instrument_id=instrument,
                start_ns=start,
                end_ns=end if ended or not 0 < run <= len(lived) else None,
                cause="reset",
                state="open",
                detected_ns=0,
            )
            for run, (start, end), ended, instrument in noticed
        )
    write_stretches(engine, received, len(lived), 1)

    first, second = sorted(nows)
    for now_ns, arriving in [(first, later), (second, [])]:
        reconcile_gaps(engine, "nq", SESSIONS, now_ns=now_ns)
        check(engine, now_ns)
        before = _ledger_time(engine, now_ns)
        write_stretches(engine, arriving, len(lived), 100)
        reconcile_gaps(engine, "nq", SESSIONS, now_ns=now_ns)
        check(engine, now_ns)
        assert _ledger_time(engine, now_ns) == before, "a gap that is settled stays on record"
        assert reconcile_gaps(engine, "nq", SESSIONS, now_ns=now_ns) == Reconciled(0, 0, 0)
    engine.dispose()


def _ledger_time(engine: Engine, now_ns: int) -> int:
    with Session(engine) as session:
        gaps = gaps_of(session, "nq", DATES)
    return duration_ns((gap.start_ns, gap.end_ns or now_ns) for gap in gaps)
