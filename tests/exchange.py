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


def stream_environment(directory: Path, port: int, **more: str) -> dict[str, str]:
    """Return the settings of a stream of this market that keeps its files in `directory`."""
    return {
        "DATABENTO_API_KEY": DEFAULT_KEY,
        "IFD_DATABASE_URL": f"sqlite:///{directory / 'ifd.db'}",
        "IFD_LOG_DIRECTORY": str(directory / "log"),
        "IFD_ARCHIVE__DIRECTORY": str(directory / "archive"),
        "IFD_ARCHIVE__FLUSH_SECONDS": "0.2",
        "IFD_FEED__HOST": "127.0.0.1",
        "IFD_FEED__PORT": str(port),
        "IFD_FEED__SIMULATED": "true",
        "IFD_FEED__PARENTS": json.dumps([SYMBOLS[0]]),
        "IFD_FEED__FUTURES": json.dumps([SYMBOLS[1]]),
        **more,
    }
