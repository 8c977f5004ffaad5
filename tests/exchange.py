"""The local exchange as a process of its own, with a simulated market."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from simulator.live import DEFAULT_KEY

SYMBOLS: Final = ("NQ.OPT", "NQ.FUT")
READY_SECONDS: Final = 120.0


@contextmanager
def simulated_exchange(directory: Path, *, rate: int, port: int = 0) -> Iterator[int]:
    """Give the port of a market of `rate` records a second with a minute behind it, and end it."""
    ready = directory / "gateway.json"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "simulator", "--port", str(port), "--key", DEFAULT_KEY),
            *("--rate", str(rate), "--history-minutes", "1", "--seed", "5"),
            *("--ready-file", str(ready)),
        ],
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + READY_SECONDS
    while not ready.exists():
        assert process.poll() is None, "the exchange has ended"
        assert time.monotonic() < deadline, "the exchange was not ready"
        time.sleep(0.02)
    try:
        yield int(json.loads(ready.read_text())["port"])
    finally:
        process.terminate()
        process.wait()
