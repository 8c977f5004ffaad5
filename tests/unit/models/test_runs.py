"""The stream's singleton row."""

import os

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.errors import AlreadyStreamingError
from ifd.units import NANOS_PER_SECOND
from models.operations import HealthSampleRow, StreamRunRow
from models.runs import (
    STALE_AFTER_NS,
    active_run,
    claim_run,
    end_run,
    forget_health,
    latest_run,
    request_stop,
)

START_NS = 1_764_000_000 * NANOS_PER_SECOND


def run_row(shard: str = "nq", *, pid: int | None = None, at_ns: int = START_NS) -> StreamRunRow:
    return StreamRunRow(
        shard=shard,
        source="simulated",
        profile="default",
        params_fingerprint="0" * 16,
        session_date="2026-11-23",
        status="starting",
        pid=pid,
        started_ns=at_ns,
        heartbeat_ns=at_ns,
    )


def test_a_second_stream_of_a_shard_is_refused(engine: Engine) -> None:
    claim_run(engine, run_row(pid=os.getpid()), now_ns=START_NS)

    with pytest.raises(AlreadyStreamingError, match="nq"):
        claim_run(engine, run_row(), now_ns=START_NS + NANOS_PER_SECOND)


def test_two_shards_stream_side_by_side(engine: Engine) -> None:
    first = claim_run(engine, run_row("nq"), now_ns=START_NS)
    second = claim_run(engine, run_row("es"), now_ns=START_NS)

    assert first != second


def test_a_shard_may_stream_again_once_its_run_has_ended(engine: Engine) -> None:
    first = claim_run(engine, run_row(), now_ns=START_NS)
    end_run(engine, first, status="drained", now_ns=START_NS + 1)

    second = claim_run(engine, run_row(), now_ns=START_NS + 2)

    with Session(engine) as session:
        assert session.get_one(StreamRunRow, first).status == "drained"
        newest = latest_run(session)
        assert newest is not None
        assert newest.id == second


def test_a_run_whose_heart_stopped_and_process_is_gone_gives_way(engine: Engine) -> None:
    dead = claim_run(engine, run_row(pid=None), now_ns=START_NS)

    claim_run(engine, run_row(), now_ns=START_NS + STALE_AFTER_NS)

    with Session(engine) as session:
        ended = session.get_one(StreamRunRow, dead)
        assert (ended.status, ended.active_shard) == ("failed", None)
        assert ended.error is not None


def test_a_run_without_heartbeat_whose_process_lives_keeps_its_place(engine: Engine) -> None:
    claim_run(engine, run_row(pid=os.getpid()), now_ns=START_NS)

    with pytest.raises(AlreadyStreamingError):
        claim_run(engine, run_row(), now_ns=START_NS + 100 * STALE_AFTER_NS)


def test_the_first_reason_to_stop_is_kept(engine: Engine) -> None:
    run_id = claim_run(engine, run_row(), now_ns=START_NS)

    assert request_stop(engine, "nq", "market close", now_ns=START_NS + 5) == run_id
    request_stop(engine, "nq", "operator", now_ns=START_NS + 9)

    with Session(engine) as session:
        run = active_run(session, "nq")
        assert run is not None
        assert (run.stop_requested_ns, run.stop_reason) == (START_NS + 5, "market close")


def test_stopping_a_shard_that_does_not_run_says_so(engine: Engine) -> None:
    assert request_stop(engine, "nq", "market close", now_ns=START_NS) is None


def test_old_health_samples_are_forgotten_and_the_rest_is_kept(engine: Engine) -> None:
    with Session(engine) as session:
        for ts_ns in (START_NS, START_NS + 1, START_NS + 2):
            session.add(HealthSampleRow(ts_ns=ts_ns, component="stream", metrics={"records": 1}))
        session.commit()

    assert forget_health(engine, before_ns=START_NS + 2) == 2

    with Session(engine) as session:
        assert session.exec(select(col(HealthSampleRow.ts_ns))).all() == [START_NS + 2]
