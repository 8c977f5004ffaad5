"""Socket to columns to the engine's process, beside the provider's client and a bare socket.

Every reader runs in its own process and reads the same records from the same sender over loopback,
authenticated and subscribed by the real protocol. The best of several runs counts: the sender has a
core to itself only when nothing else runs.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.measures import Measure

CALLBACK_RECORDS: Final = 1_000_000
RECORDS: Final = 20_000_000
PAIR_RECORDS: Final = 50_000_000
LATENCY_RECORDS: Final = 5_000_000
LATENCY_RATE: Final = 1_000_000
ROUNDS: Final = 3
_MILLION: Final = 1e6


def measure(directory: Path) -> Iterator[Measure]:
    """Yield every measure of the feed; the sender says in `directory` where it listens."""
    callback = _fastest("callback", CALLBACK_RECORDS, directory)
    yield Measure("the client's callback", _speed(callback), "million records/s")
    bare = _fastest("bare", RECORDS, directory)
    yield Measure("a bare socket, nothing looked at", _speed(bare), "million records/s")
    columns = _fastest("columns", RECORDS, directory)
    yield Measure("socket to columns", _speed(columns), "million records/s")
    yield Measure("beside the client's callback", _speed(columns) / _speed(callback), "times", 20)
    yield Measure("beside the bare socket", _speed(columns) / _speed(bare), "times", 0.6)
    yield from _pair(directory)
    yield from _latency(directory)


def _pair(directory: Path) -> Iterator[Measure]:
    pair = _fastest("pair", PAIR_RECORDS, directory, rounds=1)
    yield Measure("socket to the engine's process", _speed(pair), "million records/s", 10)
    yield Measure("sent", PAIR_RECORDS, "records", at_least=40_000_000)
    yield Measure("lost", PAIR_RECORDS - pair["records"], "records", at_most=0)
    reader = pair["ingest"]
    yield Measure("reading process, peak", reader["peak_rss_bytes"] / _MILLION, "MB", at_most=220)
    grown = reader["grown_bytes"] / _MILLION
    yield Measure("grown in the second half", grown, "MB", at_most=5)
    yield Measure("pauses of the socket", reader["pauses"], "")


def _latency(directory: Path) -> Iterator[Measure]:
    with blaster(directory, LATENCY_RECORDS, rate=LATENCY_RATE) as port:
        added = _run("latency", port, LATENCY_RECORDS)
    bare = _run("control", 0, 0)
    at = f"at {LATENCY_RATE:,} records/s"
    yield Measure(f"sender to engine {at}, median", added["p50_ms"], "ms")
    yield Measure(f"sender to engine {at}, p99", added["p99_ms"], "ms")
    yield Measure("a bare sleep of 1 ms is late by, p99", bare["p99_ms"], "ms")


def _speed(run: dict[str, Any]) -> float:
    """Return million records a second."""
    return float(run["records"] / run["seconds"] / _MILLION)


def _fastest(name: str, records: int, directory: Path, *, rounds: int = ROUNDS) -> dict[str, Any]:
    # Any: what a reader measured, by name.
    with blaster(directory, records) as port:
        return max((_run(name, port, records) for _ in range(rounds)), key=_speed)


@contextlib.contextmanager
def blaster(directory: Path, records: int, *, rate: int | None = None) -> Iterator[int]:
    """Run the sender; give its port."""
    port_file = directory / "blaster.json"
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.blaster", str(port_file), str(records)]
    sender = subprocess.Popen([*command, *([] if rate is None else [str(rate)])])
    try:
        while not port_file.exists():
            if sender.poll() is not None:
                raise RuntimeError("the sender did not start")
            time.sleep(0.05)
        yield json.loads(port_file.read_text())["port"]
    finally:
        sender.kill()
        sender.wait()


def _run(name: str, port: int, records: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.feed_readers", name, str(port), str(records)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured
