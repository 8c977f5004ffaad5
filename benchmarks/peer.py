"""The order book of nautilus_trader, in an environment of its own, on the same records as ours."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

from ifd.errors import EnvironmentProblemError
from ifd.records import ASK, BID, F_LAST, MboArray
from ifd.tape import Market

ROOT: Final = Path(__file__).resolve().parent.parent
ENVIRONMENT: Final = ROOT / ".venv-benchmark"
REQUIREMENTS: Final = ROOT / "requirements" / "benchmark.txt"
_ROUNDS: Final = 30


class Comparison(NamedTuple):
    """Million deltas a second, and the share of ends of event where every level is the same."""

    own_rate: float
    peer_rate: float
    agreement: float


def deepest_file() -> Path | None:
    """Return the recorded file with a snapshot and live events of a deep book, if there is one."""
    data = Path(os.environ.get("IFD_TEST_DATA", ROOT.parent / "shared" / "data"))
    return next(data.glob("glbx/esm4_20240508/orderbooks_mbo_*.dbn.zst"), None)


def compare_with_nautilus(records: MboArray) -> Comparison:
    """Give both books the same records of one instrument.

    Raises
    ------
    EnvironmentProblemError
        If the other environment cannot be made or fails.
    """
    python = _peer_python()
    with tempfile.NamedTemporaryFile(suffix=".mbo") as file:
        file.write(records.tobytes())
        file.flush()
        script = str(ROOT / "benchmarks" / "nautilus.py")
        found = json.loads(_run([str(python), script, file.name, str(_ROUNDS)]))
    own = _levels_at_ends_of_events(records)
    same = sum(one == other for one, other in zip(own, found["levels"], strict=True))
    return Comparison(
        own_rate=found["deltas"] / _best_seconds(records) / 1e6,
        peer_rate=found["deltas"] / found["seconds"] / 1e6,
        agreement=same / len(own),
    )


def _best_seconds(records: MboArray) -> float:
    seconds = []
    for _ in range(_ROUNDS):
        market = Market()
        begun = time.perf_counter()
        market.update(records)
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def _levels_at_ends_of_events(records: MboArray) -> list[str]:
    market = Market()
    digests = []
    for position, flags in enumerate(records["flags"].tolist()):
        market.update(records[position : position + 1])
        if flags & F_LAST:
            (book,) = market.instruments()
            levels = [level[:2] for side in (BID, ASK) for level in book.levels(side)]
            digests.append(hashlib.sha256(json.dumps(levels).encode()).hexdigest()[:16])
    return digests


def _peer_python() -> Path:
    """Return the interpreter of the other environment, making it when it is not there."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(ENVIRONMENT)])
        _run([str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)])
    return python


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise EnvironmentProblemError(f"{command[0]} is needed here: {error}") from error
    except subprocess.CalledProcessError as error:
        raise EnvironmentProblemError(f"{' '.join(command)} failed: {error.stderr}") from error
    return done.stdout
