"""Two shards side by side into one PostgreSQL: each has its own run, archive and coverage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from config.settings import load_settings
from ifd.clock import SystemClock
from ifd.sessions import session_date
from models.base import make_engine
from models.database import upgrade
from models.operations import ArchiveFileRow, CoverageRow, StreamRunRow
from models.runs import active_runs, request_stop
from runtime.supervisor import RunningStream, read_run, settings_of, start_stream
from tests.exchange import simulated_exchange, stream_environment
from tests.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def gateway_port(tmp_path: Path) -> Iterator[int]:
    with simulated_exchange(tmp_path, rate=1_000) as port:
        yield port


@pytest.fixture
def engine(
    tmp_path: Path, gateway_port: int, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    chosen = stream_environment(
        tmp_path,
        gateway_port,
        IFD_DATABASE_URL=postgres_url,
        IFD_FEED__REPLAY_MINUTES="5",
        IFD_SHARDS__OPTIONS__PARENTS='["NQ.OPT"]',
        IFD_SHARDS__FUTURES__PARENTS='["NQ.FUT"]',
    )
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    upgrade(postgres_url)
    engine = make_engine(postgres_url)
    yield engine
    engine.dispose()


def start(engine: Engine, shard: str) -> RunningStream:
    now_ns = SystemClock().now_ns()
    return start_stream(
        engine, settings_of(shard), now_ns=now_ns, session_date=session_date(now_ns)
    )


def test_two_shards_stream_side_by_side(engine: Engine) -> None:
    streams = {shard: start(engine, shard) for shard in ("options", "futures")}
    try:
        for stream in streams.values():
            wait_until(lambda stream=stream: read_run(engine, stream.run_id).records > 0)
        with Session(engine) as session:
            live = [run.shard for run in active_runs(session)]
        for shard in streams:
            request_stop(engine, shard, "enough", now_ns=SystemClock().now_ns())
        codes = [stream.process.wait(30) for stream in streams.values()]
    finally:
        for stream in streams.values():
            stream.process.kill()
            stream.process.wait()

    assert sorted(live) == ["futures", "options"]
    assert codes == [0, 0]
    assert load_settings().feed.shard == "nq"
    with Session(engine) as session:
        runs = session.exec(select(StreamRunRow).order_by(col(StreamRunRow.shard))).all()
        files = session.exec(select(ArchiveFileRow)).all()
        coverage = session.exec(select(CoverageRow)).all()
    assert [(run.shard, run.status) for run in runs] == [
        ("futures", "drained"),
        ("options", "drained"),
    ]
    assert {(row.shard, row.run_id) for row in files} == {(run.shard, run.id) for run in runs}
    assert {(row.shard, row.run_id) for row in coverage} == {(run.shard, run.id) for run in runs}
    by_shard = {run.shard: run.records for run in runs}
    archived = dict.fromkeys(by_shard, 0)
    for row in files:
        archived[row.shard] += row.records
        assert Path(row.path).parent.name == row.shard
    assert all(archived[shard] >= records > 0 for shard, records in by_shard.items())
