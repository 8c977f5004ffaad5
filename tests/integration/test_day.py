"""One command, one market day: the whole path, from the exchange's socket to every screen.

`ifd up` is run as a new user would run it, in an empty directory, with nothing configured: local
exchange → real Databento protocol → engine → database → Slack stand-in, WebSocket, Prefect.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import databento
import httpx
import orjson
import psutil
import pytest
import websockets

from runtime.children import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

READY_SECONDS = 90.0


class Up:
    """One `ifd up`, started in `directory`."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.prefect_port = free_port()
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("IFD_", "SLACK_", "DATABENTO_", "PREFECT_"))
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", "--json", "--port", str(self.port), *options],
            cwd=directory,
            env={**environment, "IFD_PREFECT__PORT": str(self.prefect_port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def database(self) -> Path:
        return self.directory / "var" / "ifd.db"

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        address = f"file:{self.database}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def wait_for(self, condition: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                _, err = self.process.communicate()
                pytest.fail(f"ifd up ended while waiting for {what}:\n{err.decode()}")
            try:
                found = condition()
            except (sqlite3.OperationalError, httpx.HTTPError):  # not there yet
                found = None
            if found:
                return found
            time.sleep(0.1)
        pytest.fail(f"{what} did not happen within {READY_SECONDS:.0f} s")

    def finish(self) -> tuple[int, dict[str, Any], str]:
        out, err = self.process.communicate(timeout=READY_SECONDS)
        return self.process.returncode, orjson.loads(out) if out else {}, err.decode()

    def kill_everything(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.communicate()


@pytest.fixture
def start_up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(*options: str) -> Up:
        started.append(Up(tmp_path, *options))
        return started[-1]

    yield start
    for each in started:
        each.kill_everything()


async def first_signal_on_screen(port: int) -> tuple[list[str], dict[str, Any]]:
    """Return the kinds of messages a browser gets, up to the first one with a signal."""
    kinds: list[str] = []
    async with websockets.connect(f"ws://127.0.0.1:{port}/ws") as screen:
        while True:
            message = orjson.loads(await asyncio.wait_for(screen.recv(), timeout=60))
            kinds.append(message["type"])
            if message["type"] == "snap" and message["signals"]:
                return kinds, message["signals"][-1]
            if message["type"] == "signal":
                return kinds, message["signal"]


def processes_below(directory: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            url = process.environ().get("IFD_DATABASE_URL", "")
            if str(directory) in url or process.cwd() == str(directory):
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def test_one_command_connects_every_station(start_up: Callable[..., Up], tmp_path: Path) -> None:
    up = start_up("--for", "25")

    up.wait_for(lambda: up.query("select 1 from stream_run where records > 0"), "a record")
    kinds, shown = asyncio.run(first_signal_on_screen(up.port))
    api = f"http://127.0.0.1:{up.prefect_port}/api"
    (flow_run_id,) = up.query("select flow_run_id from stream_run")[0]
    flow_run = httpx.get(f"{api}/flow_runs/{flow_run_id}").json()
    code, summary, err = up.finish()

    # The exit code and the summary speak for every station.
    assert (code, summary["ok"], summary["problems"]) == (0, True, []), err
    for station in ("records", "records_archived", "candles", "windows", "signals", "alerts_sent"):
        assert summary[station] > 0, station
    assert summary["source"] == "simulated"
    assert summary["gaps"] == 0

    # The run was visible in Prefect under the name of its shard and day.
    assert flow_run["state"]["type"] == "RUNNING"
    assert flow_run["name"].startswith("stream nq ")

    # The same signal is on the screen, in the table and in the Slack stand-in's log.
    assert kinds[0] == "hello"
    assert up.query(f"select 1 from signal where signal_id = '{shown['signal_id']}'")
    ((alerted,),) = up.query("select signal_id from alert_outbox where state = 'sent' limit 1")
    messages = (up.directory / "var" / "slack.jsonl").read_text().splitlines()
    assert any(alerted in message for message in messages)

    # What was received lies in the archive, readable by Databento's own reader.
    files = up.query("select path, records, closed_ns from archive_file")
    assert sum(records for _, records, _ in files) == summary["records_archived"]
    assert all(closed_ns is not None for _, _, closed_ns in files)
    archived = 0
    for path in sorted((up.directory / "var" / "archive").rglob("*.dbn.zst")):
        archived += sum(1 for _ in databento.DBNStore.from_bytes(path.read_bytes()))
    assert archived == summary["records_archived"]

    # Everything went down with it.
    assert processes_below(tmp_path) == []


def test_without_prefect_ctrl_c_drains(start_up: Callable[..., Up], tmp_path: Path) -> None:
    up = start_up("--no-prefect")
    up.wait_for(lambda: up.query("select 1 from stream_run where records > 0"), "a record")

    up.process.send_signal(signal.SIGINT)
    code, summary, err = up.finish()

    assert (code, summary["status"]) == (0, "drained"), err
    assert up.query("select status, active_shard from stream_run") == [("drained", None)]
    assert processes_below(tmp_path) == []


def test_without_prefect_a_killed_stream_is_started_again(start_up: Callable[..., Up]) -> None:
    up = start_up("--no-prefect", "--for", "40")
    up.wait_for(lambda: up.query("select 1 from stream_run where records > 0"), "a record")

    (pid,) = up.query("select pid from stream_run")[0]
    os.kill(pid, signal.SIGKILL)
    up.wait_for(lambda: up.query("select 1 from stream_run where id = 2 and caught_up"), "another")
    code, summary, err = up.finish()

    assert (code, summary["status"]) == (0, "drained"), err
    assert up.query("select status from stream_run order by id") == [("failed",), ("drained",)]
    assert up.query("select notice_key from notice") == [("run-1-ended",)]
    ((state,),) = up.query("select state from alert_outbox where notice_key = 'run-1-ended'")
    assert state == "sent"


def test_a_killed_ifd_up_leaves_no_process_and_starts_again(
    start_up: Callable[..., Up], tmp_path: Path
) -> None:
    up = start_up("--no-prefect")
    up.wait_for(lambda: up.query("select 1 from stream_run where records > 0"), "a record")

    up.process.kill()
    up.process.communicate()
    deadline = time.monotonic() + 30
    while processes_below(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.2)

    assert processes_below(tmp_path) == []
    assert up.query("select status, active_shard from stream_run") == [("drained", None)]

    code, summary, err = start_up("--no-prefect", "--for", "20").finish()
    assert (code, summary.get("problems")) == (0, []), err


def test_a_port_in_use_is_one_sentence(start_up: Callable[..., Up]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        up = start_up("--no-prefect", "--port", str(taken.getsockname()[1]))
        code, _, err = up.finish()

    assert code == 1
    assert err.strip().splitlines()[-1].startswith("error: port ")
    assert not up.database.exists()


def test_json_and_words_do_not_mix(start_up: Callable[..., Up]) -> None:
    up = start_up("--no-prefect", "--for", "1")

    out, _ = up.process.communicate(timeout=READY_SECONDS)

    assert isinstance(json.loads(out), dict)
