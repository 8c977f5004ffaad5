"""Nightly baselines: what a session costs, what a second process brings, what is found again.

Every session is the same simulated file under another checksum, so that all cost the same. The pool
is warmed up first: it lives for a night, and what it imports is no part of a session.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.measures import Measure
from benchmarks.sessions import make_session
from ifd.clock import SystemClock
from ifd.params import EngineParams
from models.base import make_engine
from models.database import upgrade
from runtime.baselines import merge
from runtime.session_parts import SessionFiles, SessionPart, compute_part

RECORDS: Final = 3_000_000
STRIKES: Final = 75
SESSIONS: Final = 6
WORKERS: Final = min(os.cpu_count() or 1, SESSIONS)
_PARAMS: Final = EngineParams()
_MILLION: Final = 1e6
T = TypeVar("T")


def measure(directory: Path) -> Iterator[Measure]:
    """Yield every measure of the baselines."""
    made = make_session(directory, records=RECORDS, strikes=STRIKES)
    records = len(made.records)
    sessions = [
        SessionFiles(
            f"2026-10-{day:02}",
            (made.mbo_file,),
            (made.definitions_file,),
            {made.mbo_file: f"{day}", made.definitions_file: "definitions"},
        )
        for day in range(1, SESSIONS + 1)
    ]
    compute_part(sessions[0], _PARAMS, _fresh(directory))  # compiles
    kept = _fresh(directory)
    one, parts = _timed(lambda: [_compute(each, kept) for each in sessions])
    yield Measure("sessions on one core", SESSIONS * records / one / _MILLION, "million records/s")
    many = _beside_each_other(sessions, _fresh(directory))
    yield Measure(
        f"on {WORKERS} processes", SESSIONS * records / many / _MILLION, "million records/s"
    )
    yield Measure(f"{WORKERS} processes beside one", one / many, "times")
    known, _ = _timed(lambda: [_compute(each, kept) for each in sessions])
    yield Measure("a session that is known", known / SESSIONS * 1e3, "ms", at_most=100)
    yield _merged(parts, directory)


def _merged(parts: list[SessionPart], directory: Path) -> Measure:
    url = f"sqlite:///{directory / 'baselines.db'}"
    upgrade(url)
    engine = make_engine(url)
    seconds, _ = _timed(lambda: merge(parts, engine, _PARAMS, clock=SystemClock()))
    engine.dispose()
    return Measure("merging, a session", seconds / len(parts), "s")


def _beside_each_other(sessions: list[SessionFiles], directory: Path) -> float:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        warm = [_fresh(directory) for _ in range(WORKERS)]
        list(pool.map(_compute, [sessions[0]] * WORKERS, warm))
        seconds, _ = _timed(lambda: list(pool.map(_compute, sessions, [directory] * SESSIONS)))
    return seconds


def _compute(session: SessionFiles, directory: Path) -> SessionPart:
    return compute_part(session, _PARAMS, directory)


def _fresh(directory: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=directory))


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result
