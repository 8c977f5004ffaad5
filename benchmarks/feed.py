"""Socket to columns to the engine's process, beside the provider's client and a bare socket.

Every reader runs in its own process and reads the same records from the same sender over loopback,
authenticated and subscribed by the real protocol.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RECORDS = 20_000_000
CALLBACK_RECORDS = 1_000_000
PAIR_RECORDS = 50_000_000
LATENCY_RECORDS = 5_000_000
LATENCY_RATE = 1_000_000
RUNS = 3


def measure(*, scale: float, progress: Callable[[str], None]) -> dict[str, Any]:
    """Run every reader and return figures and ratios.

    Parameters
    ----------
    scale : float
        Share of the records that are sent; 1 is what the documentation quotes.
    progress : callable
        Hears the name of what is being measured.
    """
    # Any: figures by name.
    found: dict[str, Any] = {}
    readers = {
        "callback": CALLBACK_RECORDS,
        "bare": RECORDS,
        "columns": RECORDS,
        "pair": PAIR_RECORDS,
    }
    for name, usual in readers.items():
        total = max(200_000, int(usual * scale))
        with blaster(total) as port:
            runs = []
            for number in range(RUNS if name != "pair" else 1):
                progress(f"{name}, {total:,} records, run {number + 1}")
                runs.append(_run(name, port, total))
        found[name] = max(runs, key=lambda run: run["records"] / run["seconds"])
        found[name]["records_per_s"] = round(found[name]["records"] / found[name]["seconds"])
        found[name]["lost"] = total - found[name]["records"]
    total = max(500_000, int(LATENCY_RECORDS * scale))
    progress("a bare sleep loop")
    found["control"] = _run("control", 0, 0)
    with blaster(total, rate=LATENCY_RATE) as port:
        progress(f"latency at {LATENCY_RATE:,} records/s")
        found["latency"] = _run("latency", port, total)
    return found | {"ratios": ratios(found)}


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """Return what is claimed: ours over theirs, and over the floor."""
    speed = {name: found[name]["records_per_s"] for name in ("callback", "bare", "columns", "pair")}
    return {
        "columns_over_callback": round(speed["columns"] / speed["callback"], 1),
        "columns_over_bare": round(speed["columns"] / speed["bare"], 3),
        "pair_over_callback": round(speed["pair"] / speed["callback"], 1),
        "pair_over_bare": round(speed["pair"] / speed["bare"], 3),
    }


@contextlib.contextmanager
def blaster(total: int, *, rate: int | None = None) -> Iterator[int]:
    """Run the sender; give its port."""
    with tempfile.TemporaryDirectory() as scratch:
        port_file = Path(scratch) / "port.json"
        command = [sys.executable, "-m", "benchmarks.blaster", str(port_file), str(total)]
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


def _run(name: str, port: int, total: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.feed_readers", name, str(port), str(total)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured
