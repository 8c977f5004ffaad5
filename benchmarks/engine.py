"""Books, windows and the whole replay: speed against the plain engine and another book, memory.

Times are CPU seconds of one process, so that neighbours on the machine disturb little.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.measures import Measure
from benchmarks.peer import compare_with_nautilus, deepest_file
from benchmarks.sessions import BenchSession, make_session
from ifd.params import WindowParams
from ifd.records import MboArray
from ifd.reference.stage import ReferenceStage
from ifd.replay import read_mbo
from ifd.tape import Market
from ifd.windows.stage import WindowStage

SESSION_RECORDS: Final = 2_000_000
STRIKES: Final = 125
"""Of four expiries, call and put: a thousand options."""
_PLAIN_RECORDS: Final = 100_000
_BATCH: Final = 65_536
_ROUNDS: Final = 3


def measure(directory: Path) -> Iterator[Measure]:
    """Yield every measure of the engine; files are made in `directory`."""
    session = make_session(directory, records=SESSION_RECORDS, strikes=STRIKES)
    yield Measure("simulated session", len(session.records), "records")
    yield Measure("its instruments", len(session.instruments), "", at_least=1_000)
    yield from _speeds(session)
    yield from _whole_replay(session, directory)
    yield from _memory()
    yield from _start(directory)
    yield from _other_book(session)


def _speeds(session: BenchSession) -> Iterator[Measure]:
    records = session.records
    books = _rate(records, lambda: _pass_books(records))
    windows = _rate(records, lambda: _pass_windows(session, records))
    judged = _rate(records, lambda: _pass_judged(session))
    first = records[:_PLAIN_RECORDS]
    plain = _rate(first, lambda: _pass_plain(session, first), rounds=1)
    compiled = _rate(first, lambda: _pass_windows(session, first))
    yield Measure("books", books, "million records/s")
    yield Measure("books and windows", windows, "million records/s", at_least=3.0)
    yield Measure("books, windows, events handed over", judged, "million records/s")
    yield Measure("plain Python, books and windows", plain, "million records/s")
    yield Measure("compiled over plain", compiled / plain, "x", at_least=10.0)


def _rate(records: MboArray, run: Callable[[], None], *, rounds: int = _ROUNDS) -> float:
    seconds = []
    for _ in range(rounds):
        begun = time.process_time()
        run()
        seconds.append(time.process_time() - begun)
    return len(records) / min(seconds) / 1e6


def _batches(records: MboArray) -> Iterator[MboArray]:
    for first in range(0, len(records), _BATCH):
        yield records[first : first + _BATCH]


def _pass_books(records: MboArray) -> None:
    market = Market()
    for batch in _batches(records):
        market.update(batch)


def _pass_windows(session: BenchSession, records: MboArray) -> None:
    stage = WindowStage(WindowParams())
    stage.define(session.instruments)
    for batch in _batches(records):
        stage.pass_over(batch)
        stage.take_windows()
        stage.take_bars()


def _pass_judged(session: BenchSession) -> None:
    stage = WindowStage(WindowParams())
    stage.define(session.instruments)
    for batch in _batches(session.records):
        for _ in stage.update(batch):
            pass
        stage.take_windows()
        stage.take_bars()


def _pass_plain(session: BenchSession, records: MboArray) -> None:
    stage = ReferenceStage(WindowParams())
    stage.define(session.instruments)
    stage.pass_over(records)


def _whole_replay(session: BenchSession, directory: Path) -> Iterator[Measure]:
    """Run the command itself: file, decoding, books, windows, detection, signals.

    It tells wall time, so the best of a few runs counts.
    """
    command = [
        *(sys.executable, "-m", "cli.main", "replay", str(session.mbo_file), "--json"),
        *("--definitions", str(session.definitions_file)),
        *("--signals", str(directory / "signals.jsonl")),
        *("--database", f"sqlite:///{directory / 'none.db'}"),
    ]
    rates = [_json_of(command)["records_per_second"] / 1e6 for _ in range(_ROUNDS)]
    yield Measure("ifd replay as a whole", max(rates), "million records/s", at_least=1.0)


def _memory() -> Iterator[Measure]:
    found = _json_of([sys.executable, "-m", "benchmarks.memory"])
    replays = found["megabytes"]
    yield Measure("instruments held", found["instruments"], "", at_least=5_000)
    yield Measure("orders held", found["orders"], "", at_least=500_000)
    yield Measure("memory of the process", max(replays), "MB", at_most=350.0)
    yield Measure("growth, second to tenth replay", replays[-1] - replays[1], "MB", at_most=5.0)
    yield Measure("longest of 2,048 records", found["longest_ms"], "ms", at_most=100.0)


def _start(directory: Path) -> Iterator[Measure]:
    """Start the stage in new processes: first without, then with what numba kept on disk."""
    with tempfile.TemporaryDirectory(dir=directory) as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        for name in ("first start, compiling", "later start, from disk"):
            found = _json_of([sys.executable, "-m", "benchmarks.start"], environment)
            yield Measure(name, found["seconds"], "s")


def _other_book(session: BenchSession) -> Iterator[Measure]:
    path = deepest_file()
    if path is None:
        # No recorded exchange data here: the future of the simulated session.
        future = next(one for one in session.instruments if one.is_future)
        records = session.records[session.records["instrument_id"] == future.instrument_id]
    else:
        records = np.concatenate(list(read_mbo([path])))
    found = compare_with_nautilus(records)
    yield Measure("book of nautilus_trader", found.peer_rate, "million deltas/s")
    yield Measure("book, the same deltas", found.own_rate, "million deltas/s")
    yield Measure("over nautilus_trader", found.own_rate / found.peer_rate, "x", at_least=2.0)
    yield Measure("ends of event where all levels agree", found.agreement, "share", at_least=1.0)


def _json_of(command: list[str], environment: dict[str, str] | None = None) -> dict[str, Any]:
    # Any: whatever the program printed.
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed
