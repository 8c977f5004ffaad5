"""The dashboard as people run it: a process of its own, real sockets, rows written by another."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from ifd.clock import SystemClock
from ifd.units import NANOS_PER_SECOND, PRICE_SCALE
from models.base import make_engine, transaction, upsert
from models.market import BarRow
from models.operations import HealthSampleRow, StreamRunRow
from models.signals import SignalRow

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "correct-horse-battery"


class Process:
    """One dashboard process."""

    def __init__(self, url: str, ready: Path, *arguments: str, **environment: str) -> None:
        self._ready = ready
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dashboard", "--database", url, "--port", "0"),
                *("--ready-file", str(ready)),
                *arguments,
            ],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def port(self) -> int:
        """Wait until it listens."""
        deadline = time.monotonic() + 30
        while not self._ready.exists():
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return int(json.loads(self._ready.read_text())["port"])

    def end(self) -> tuple[int, str]:
        """Wait for its end; return exit code and standard error."""
        _, error = self.process.communicate(timeout=30)
        return self.process.returncode, error

    def stop(self) -> tuple[int, str]:
        """Ask it to end as a supervisor would."""
        self.process.send_signal(signal.SIGTERM)
        return self.end()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    running: list[Process] = []

    def start(url: str, *arguments: str, **environment: str) -> Process:
        ready = tmp_path / f"ready-{len(running)}.json"
        running.append(Process(url, ready, *arguments, **environment))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


def receive(page: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next message of a type, skipping others."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        message: dict[str, Any] = json.loads(page.recv(timeout=20))
        if message["type"] == kind:
            return message
    pytest.fail(f"no {kind} came")


def read_to_the_end(page: ClientConnection) -> None:
    """Read until the server has closed the connection; times out when it has not."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            page.recv(timeout=20)


def visit(port: int, path: str = "/ws", **options: Any) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{port}{path}", compression=None, proxy=None, max_size=None, **options
    )


def test_rows_of_another_process_arrive_at_the_page(
    migrated_url: str, launch: Callable[..., Process], make_signal: Callable[..., Any]
) -> None:
    port = launch(migrated_url).port()
    engine = make_engine(migrated_url)
    now_ns = SystemClock().now_ns()

    with visit(port) as page:
        hello, snap = receive(page, "hello"), receive(page, "snap")
        with transaction(engine) as session:
            session.add(
                StreamRunRow(
                    shard="nq",
                    source="simulated",
                    profile="default",
                    params_fingerprint="feedfacecafebeef",
                    session_date="2025-11-24",
                    status="streaming",
                    started_ns=now_ns,
                    heartbeat_ns=now_ns,
                )
            )
            session.add(HealthSampleRow(ts_ns=now_ns, component="stream", metrics={"records": 5}))
        run, health = receive(page, "run"), receive(page, "health")
        bar = {
            "instrument_id": 1,
            "interval_ns": 300 * NANOS_PER_SECOND,
            "start_ns": now_ns // (300 * NANOS_PER_SECOND) * 300 * NANOS_PER_SECOND,
            "raw_symbol": "NQZ5",
            "session_date": "2025-11-24",
            "open": 17_000 * PRICE_SCALE,
            "high": 17_001 * PRICE_SCALE,
            "low": 16_999 * PRICE_SCALE,
            "close": 17_000 * PRICE_SCALE,
            "volume": 1,
            "trades": 1,
            "closed": False,
            "updated_ns": now_ns,
        }
        with transaction(engine) as session:
            upsert(session, BarRow, [bar])
        first_bars = receive(page, "snap")
        with transaction(engine) as session:
            upsert(session, BarRow, [bar | {"volume": 2, "updated_ns": now_ns + 1}])
        moved = receive(page, "bar")
        with transaction(engine) as session:
            session.add(
                SignalRow.from_signal(make_signal(), source="simulated", committed_ns=now_ns)
            )
        fresh = receive(page, "signal")

    assert hello["source"] is None
    assert snap["signals"] == snap["bars"] == []
    assert run["run"]["source"] == "simulated"
    assert health["health"]["metrics"] == {"records": 5}
    assert len(first_bars["bars"]) == 1
    assert moved["bar"]["volume"] == 2
    assert fresh["signal"]["why"][1] == "swept <4> levels"
    assert httpx.get(f"http://127.0.0.1:{port}/healthz").json() == {"status": "ok"}
    engine.dispose()


def test_a_sleeping_page_is_cut_off_while_another_misses_nothing(
    sqlite_url: str, launch: Callable[..., Process], make_signal: Callable[..., Any]
) -> None:
    """Enough signals to fill every buffer on the way to a page that never reads."""
    from models.database import upgrade

    many = 8_000
    upgrade(sqlite_url)
    engine = make_engine(sqlite_url)
    port = launch(sqlite_url).port()

    with visit(port, max_queue=2, ping_interval=None) as asleep, visit(port) as awake:
        receive(awake, "snap")
        for start in range(0, many, 500):
            with transaction(engine) as session:
                session.add_all(
                    SignalRow.from_signal(
                        make_signal(signal_id=f"{number:016x}"), source="replay", committed_ns=1
                    )
                    for number in range(start, start + 500)
                )
            seen = [receive(awake, "signal")["signal"]["signal_id"] for _ in range(500)]
            assert seen == [f"{number:016x}" for number in range(start, start + 500)]
        overflows = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        read_to_the_end(asleep)

    assert "ifd_dashboard_overflows_total 1.0" in overflows
    engine.dispose()


def test_sigterm_is_a_normal_end(sqlite_url: str, launch: Callable[..., Process]) -> None:
    from models.database import upgrade

    upgrade(sqlite_url)
    process = launch(sqlite_url)
    with visit(process.port()) as page:
        receive(page, "snap")

        code, error = process.stop()

        read_to_the_end(page)
    assert (code, error) == (0, "")


def test_a_port_in_use_is_said_in_one_sentence(
    sqlite_url: str, launch: Callable[..., Process]
) -> None:
    from models.database import upgrade

    upgrade(sqlite_url)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        code, error = launch(sqlite_url, "--port", str(port)).end()

    assert code == 1
    assert re.fullmatch(rf"error: port {port} is in use, and the dashboard needs it: .*\n", error)


def test_a_database_that_is_not_there_is_said_in_one_sentence(
    sqlite_url: str, launch: Callable[..., Process]
) -> None:
    code, error = launch(sqlite_url).end()

    assert code == 1
    assert error.startswith("error: there is no database")
    assert error.count("\n") == 1


def test_an_open_address_is_refused_without_a_token(
    sqlite_url: str, launch: Callable[..., Process]
) -> None:
    code, error = launch(sqlite_url, "--host", "0.0.0.0").end()

    assert code == 2
    assert "IFD_DASHBOARD_TOKEN" in error


def test_an_open_address_with_a_token_serves_those_who_have_it(
    sqlite_url: str, launch: Callable[..., Process]
) -> None:
    from models.database import upgrade

    upgrade(sqlite_url)
    process = launch(sqlite_url, "--host", "0.0.0.0", IFD_DASHBOARD_TOKEN=TOKEN)
    port = process.port()
    bearer = {"Authorization": f"Bearer {TOKEN}"}

    assert httpx.get(f"http://127.0.0.1:{port}/api/status").status_code == 401
    assert httpx.get(f"http://127.0.0.1:{port}/api/status", headers=bearer).status_code == 200
    with visit(port, additional_headers=bearer) as page:
        assert receive(page, "hello")
    _, error = process.stop()
    assert TOKEN not in error
