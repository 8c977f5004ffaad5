"""A database with tables, and stand-ins for the stream process: small scripts that behave badly."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from config.settings import Settings, load_settings
from models.base import make_engine
from models.database import upgrade

STAND_IN = """
# Plain sqlite3: a stand-in must start at once.
import argparse, os, signal, sqlite3, sys, time

parser = argparse.ArgumentParser()
parser.add_argument("--run-id", type=int)
parser.add_argument("--profile")
run_id = parser.parse_args().run_id
path = os.environ["IFD_DATABASE_URL"].removeprefix("sqlite:///")
database = sqlite3.connect(path, timeout=10, isolation_level=None)
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append("SIGTERM"))

def look():
    database.execute(
        "update stream_run set pid = ?, status = 'streaming', records = records + 1,"
        " heartbeat_ns = ? where id = ?",
        (os.getpid(), time.time_ns(), run_id),
    )
    query = "select stop_requested_ns from stream_run where id = ?"
    if database.execute(query, (run_id,)).fetchone()[0] is not None:
        stop.append("flag")

def drained():
    database.execute(
        "update stream_run set status = 'drained', active_shard = null, ended_ns = ? where id = ?",
        (time.time_ns(), run_id),
    )

{body}
"""

WELL_BEHAVED = """
while not stop:
    look()
    time.sleep(0.05)
drained()
"""
DEAF = """
while True:
    look()
    stop.clear()
    time.sleep(0.05)
"""
OBEYS_SIGTERM_ONLY = """
while "SIGTERM" not in stop:
    look()
    time.sleep(0.05)
drained()
"""
BREAKS = """
look()
print("no room left on the disk")
sys.exit(3)
"""

Command = tuple[str, ...]


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("IFD_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("IFD_LOG_DIRECTORY", str(tmp_path / "log"))
    upgrade(sqlite_url)
    return load_settings()


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = make_engine(settings.database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[[str], Command]:
    """Write a stand-in with the given body and return its command."""

    def write(name: str) -> Command:
        bodies = {
            "well behaved": WELL_BEHAVED,
            "deaf": DEAF,
            "obeys SIGTERM only": OBEYS_SIGTERM_ONLY,
            "breaks": BREAKS,
        }
        script = tmp_path / "stand_in.py"
        script.write_text(textwrap.dedent(STAND_IN).format(body=bodies[name]), encoding="utf-8")
        return (sys.executable, str(script))

    return write
