"""A stream that was killed and begun anew: its hole is shown, priced, replayed and reported.

A real gateway process, a real stream, the commands a person would type. The gateway's own account
of the day, sent to somebody who was never cut off, says what the tables must be.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from config.settings import Settings, load_settings
from ifd.clock import SystemClock
from ifd.gateway import Subscription, Timing
from ifd.pipeline import Pipeline
from ifd.records import F_SNAPSHOT, MboArray
from ifd.replay import read_definitions
from ifd.sessions import session_date
from ifd.windows import PressureWindow
from models.base import make_engine, transaction
from models.database import upgrade
from models.market import InstrumentRow, PressureWindowRow
from models.operations import CoverageRow, GapRow
from models.runs import request_stop
from runtime.session_archive import read_session, session_segments
from runtime.supervisor import RunningStream, close_run, read_run, start_stream
from simulator.live import DEFAULT_KEY
from tests.exchange import SYMBOLS, simulated_exchange, stream_environment
from tests.feeds import ReadableFeed
from tests.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

CALM_NS = 10**9


@pytest.fixture
def gateway_port(tmp_path: Path) -> Iterator[int]:
    with simulated_exchange(tmp_path, rate=500) as port:
        yield port


@pytest.fixture
def settings(tmp_path: Path, gateway_port: int, monkeypatch: pytest.MonkeyPatch) -> Settings:
    chosen = stream_environment(
        tmp_path,
        gateway_port,
        IFD_BACKFILL__DIRECTORY=str(tmp_path / "backfill"),
        IFD_BACKFILL__SETTLE_SECONDS="1",
        IFD_SESSION__HOURS="always",
        IFD_WINDOWS__LENGTH_SECONDS="1",  # or none would close in the time of a test
        IFD_FEED__RESUME_MINUTES="0",
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
    stream = start_stream(
        engine, settings, now_ns=now_ns, session_date=session_date(now_ns), environment={}
    )
    wait_until(lambda: is_live(engine, stream))
    return stream


def is_live(engine: Engine, stream: RunningStream) -> bool:
    run = read_run(engine, stream.run_id)
    return run.caught_up and run.records > 1_000


def ifd(*arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments, "--json"],
        capture_output=True,
        check=False,
        env=dict(os.environ),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


async def served(port: int, until_ns: int) -> MboArray:
    """What the gateway gives somebody who was never cut off, up to a time."""
    feed = ReadableFeed(
        host="127.0.0.1",
        port=port,
        key=DEFAULT_KEY,
        dataset="GLBX.MDP3",
        subscriptions=[Subscription("mbo", SYMBOLS, start_ns=0)],
        clock=SystemClock(),
        timing=Timing(),
    )
    running = asyncio.create_task(feed.run())
    arrays: list[MboArray] = []
    while arrivals := await feed.get(1 << 16):
        arrays += [one.chunk for one in arrivals if isinstance(one.chunk, np.ndarray)]
        if arrays and int(arrays[-1]["ts_event"].max()) > until_ns + 2 * CALM_NS:
            feed.stop()
    await running
    return np.concatenate(arrays)


def test_the_hole_of_a_killed_stream_is_shown_priced_filled_and_reported(
    engine: Engine, settings: Settings, gateway_port: int
) -> None:
    first = start(engine, settings)
    first.process.kill()
    first.process.wait(20)
    killed_ns = SystemClock().now_ns()
    close_run(first, engine, now_ns=killed_ns)
    wait_until(lambda: SystemClock().now_ns() > killed_ns + 4 * CALM_NS)
    second = start(engine, settings)
    time_past = read_run(engine, second.run_id).started_ns + 4 * CALM_NS
    wait_until(lambda: SystemClock().now_ns() > time_past)
    request_stop(engine, settings.feed.shard, "enough", now_ns=SystemClock().now_ns())
    second.process.wait(20)
    doubted = doubt_a_book(engine, settings, second)

    (before,) = ifd("gaps")
    planned = ifd("backfill", "--dry-run")
    done = ifd("backfill")
    (after,) = ifd("gaps")
    assert ifd("archive", "verify")["wrong"] == 0

    hole = next(gap for gap in before["gaps"] if gap["cause"] == "crash")
    span = hole["start_ns"], hole["end_ns"]
    assert hole["state"] == "open"
    assert span[1] - span[0] > 3 * CALM_NS
    assert span in [(one["start_ns"], one["end_ns"]) for one in planned]
    assert {(one["method"], one["quoted_micro_dollars"]) for one in planned} == {("replay", None)}
    filled = next(one for one in done if (one["start_ns"], one["end_ns"]) == span)
    assert (filled["state"], filled["method"], filled["spent_micro_dollars"]) == (
        "done",
        "replay",
        0,
    )
    states = {(gap["start_ns"], gap["end_ns"]): gap["state"] for gap in after["gaps"]}
    assert states[span] == "replayed"
    # The gateway sent that book again, and had no more of it than the archive.
    assert next(one for one in done if one["of_doubts"])["method"] == "replay"
    assert [gap["state"] for gap in after["gaps"] if gap["instrument_id"] == doubted] == ["lost"]
    assert_as_uncut(engine, settings, gateway_port, before["session_date"])


def doubt_a_book(engine: Engine, settings: Settings, stream: RunningStream) -> int:
    """Store what the stream stores about a book that it could not follow for half a second."""
    with transaction(engine) as session:
        listed = session.exec(select(InstrumentRow).where(InstrumentRow.right == "C")).first()
        received = session.exec(select(CoverageRow).where(CoverageRow.run_id == stream.run_id))
        start_ns = received.one().start_ns
        assert listed is not None
        session.add(
            GapRow(
                shard=settings.feed.shard,
                session_date=session_date(start_ns),
                instrument_id=listed.instrument_id,
                raw_symbol=listed.raw_symbol,
                start_ns=start_ns + CALM_NS // 4,
                end_ns=start_ns + 3 * CALM_NS // 4,
                cause="flag",
                detail="doubtful",
                state="open",
                detected_ns=start_ns + CALM_NS,
            )
        )
        return listed.instrument_id


def assert_as_uncut(engine: Engine, settings: Settings, port: int, date: str) -> None:
    """Records and windows are those of somebody who was there from the first record on."""
    segments = session_segments(engine, settings.feed.shard, date)
    held = np.concatenate([records.copy() for records in read_session(segments)])
    held = held[held["flags"] & F_SNAPSHOT == 0]
    until_ns = int(held["ts_recv"].max()) - CALM_NS

    whole = asyncio.run(served(port, until_ns))

    mine, theirs = (by_instrument(one[one["ts_recv"] <= until_ns]) for one in (held, whole))
    assert np.array_equal(mine, theirs)
    expected = windows_of(whole, settings, [row.path for row in segments])
    calm = {key_of(one): one for one in expected if one.window_end <= until_ns}
    with Session(engine) as session:
        rows = session.exec(select(PressureWindowRow)).all()
    found = {key_of(row): row for row in rows if row.window_end <= until_ns}
    assert len(calm) > 500
    assert set(found) == set(calm)
    for key, window in calm.items():
        for field in dataclasses.fields(window):
            assert getattr(found[key], field.name) == getattr(window, field.name), (key, field)


def key_of(window: PressureWindow | PressureWindowRow) -> tuple[int, int, int]:
    return window.instrument_id, window.window_start, window.window_end


def windows_of(whole: MboArray, settings: Settings, files: list[str]) -> list[PressureWindow]:
    """What one engine gives that reads everything; open windows are left out."""
    pipeline = Pipeline(settings.engine_params())
    pipeline.define(one for path in files for one in read_definitions(path))
    return [
        window
        for records in np.array_split(whole, 50)
        for window in pipeline.update(records).windows
    ]


def by_instrument(records: MboArray) -> MboArray:
    return records[np.argsort(records["instrument_id"], kind="stable")]
