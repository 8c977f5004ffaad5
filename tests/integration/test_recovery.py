"""Killed at any moment, the stream goes on where its archive ends: no record lost, none doubled.

A real gateway process, a real stream with its reading child, a real database; SIGKILL.
"""

from __future__ import annotations

import asyncio
import dataclasses
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from config.settings import Settings, load_settings
from ifd.clock import SystemClock
from ifd.pipeline import Pipeline
from ifd.records import MboArray
from ifd.replay import read_definitions
from ifd.sessions import session_date
from models.base import make_engine
from models.database import upgrade
from models.market import PressureWindowRow
from models.operations import CoverageRow, GapRow, StreamRunRow
from models.runs import end_run, request_stop
from runtime.supervisor import RunningStream, close_run, read_run, start_stream
from tests.exchange import SYMBOLS, simulated_exchange, stream_environment
from tests.recordings import archived, assert_same_until, served
from tests.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def gateway_port(tmp_path: Path) -> Iterator[int]:
    """Port of a simulated market of some 2,000 records a second, with a minute behind it."""
    with simulated_exchange(tmp_path, rate=2_000) as port:
        yield port


@pytest.fixture
def settings(tmp_path: Path, gateway_port: int, monkeypatch: pytest.MonkeyPatch) -> Settings:
    chosen = stream_environment(
        tmp_path,
        gateway_port,
        IFD_FEED__REPLAY_MINUTES="5",
    )
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    upgrade(chosen["IFD_DATABASE_URL"])
    return load_settings()


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = make_engine(settings.database_url)
    yield engine
    engine.dispose()


def start(engine: Engine, settings: Settings) -> RunningStream:
    now_ns = SystemClock().now_ns()
    return start_stream(
        engine, settings, now_ns=now_ns, session_date=session_date(now_ns), environment={}
    )


def is_live(engine: Engine, stream: RunningStream, *, beyond: int = 0) -> bool:
    run = read_run(engine, stream.run_id)
    return run.caught_up and run.records > beyond


def ingest_of(stream: RunningStream) -> psutil.Process:
    (child,) = psutil.Process(stream.process.pid).children()
    return child


def kill_engine(stream: RunningStream) -> None:
    stream.process.send_signal(signal.SIGKILL)


def kill_ingest(stream: RunningStream) -> None:
    ingest_of(stream).send_signal(signal.SIGKILL)


def kill_both(stream: RunningStream) -> None:
    child = ingest_of(stream)
    child.send_signal(signal.SIGSTOP)  # or it would still hear of the death of its parent
    stream.process.send_signal(signal.SIGKILL)
    child.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_engine, kill_ingest, kill_both])
def test_after_a_kill_the_next_run_goes_on_where_the_archive_ends(
    kill: Callable[[RunningStream], None], engine: Engine, settings: Settings, gateway_port: int
) -> None:
    first = start(engine, settings)
    wait_until(lambda: is_live(engine, first))
    kill(first)
    first.process.wait(20)
    failed = close_run(first, engine, now_ns=SystemClock().now_ns())

    second = start(engine, settings)
    wait_until(lambda: is_live(engine, second, beyond=failed.records))
    request_stop(engine, settings.feed.shard, "enough", now_ns=SystemClock().now_ns())
    second.process.wait(20)

    assert failed.status == "failed"
    assert read_run(engine, second.run_id).status == "drained"
    received = archived(engine)
    until = int(received["ts_event"].max())
    whole = asyncio.run(served(gateway_port, until, symbols=SYMBOLS))
    assert_same_until(received, whole, until)
    assert_windows_of(received, engine, settings)
    with Session(engine) as session:
        gaps = session.exec(select(GapRow)).all()
        stretches = session.exec(select(CoverageRow).order_by(col(CoverageRow.run_id))).all()
        runs = session.exec(select(StreamRunRow)).all()
    assert [(gap.run_id, gap.cause, gap.state) for gap in gaps] == [
        (second.run_id, "crash", "replayed")
    ]
    assert [stretch.run_id for stretch in stretches] == [run.id for run in runs]
    assert stretches[1].start_ns <= stretches[0].end_ns
    assert not stretches[1].is_open


def test_a_run_that_was_ended_by_another_process_writes_nothing_more(
    engine: Engine, settings: Settings, gateway_port: int
) -> None:
    first = start(engine, settings)
    wait_until(lambda: is_live(engine, first))
    now_ns = SystemClock().now_ns()
    end_run(engine, first.run_id, status="failed", now_ns=now_ns, error="believed dead")
    ended = read_run(engine, first.run_id)

    exit_code = first.process.wait(20)
    second = start(engine, settings)
    wait_until(lambda: is_live(engine, second, beyond=ended.records))
    request_stop(engine, settings.feed.shard, "enough", now_ns=SystemClock().now_ns())
    second.process.wait(20)

    assert exit_code == 1
    assert read_run(engine, first.run_id) == ended
    assert "FencedError" in first.log.read_text()
    received = archived(engine)
    until = int(received["ts_event"].max())
    assert_same_until(received, asyncio.run(served(gateway_port, until, symbols=SYMBOLS)), until)
    assert_windows_of(received, engine, settings)


def assert_windows_of(received: MboArray, engine: Engine, settings: Settings) -> None:
    """The stored windows are those of one engine that saw the archive from end to end."""
    files = sorted(settings.archive.directory.glob("*/*/*.dbn.zst"))
    definitions = [one for path in files for one in read_definitions(path)]
    pipeline = Pipeline(settings.engine_params())
    pipeline.define(definitions)
    windows = [*pipeline.update(received).windows, *pipeline.finish().windows]
    expected = {(one.instrument_id, one.window_start, one.window_end): one for one in windows}
    with Session(engine) as session:
        rows = session.exec(select(PressureWindowRow)).all()
    found = {(row.instrument_id, row.window_start, row.window_end): row for row in rows}
    assert set(found) == set(expected)
    for key, window in expected.items():
        for field in dataclasses.fields(window):
            assert getattr(found[key], field.name) == getattr(window, field.name), (key, field)
