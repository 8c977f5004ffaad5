"""The historical API of the local exchange over HTTPS, in a thread beside the test."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import databento
import pytest

from ifd.clock import SystemClock
from simulator.historical import HistoricalOptions, HistoricalServer, Limits, Terms
from simulator.live import DEFAULT_KEY
from simulator.market import MarketParams
from simulator.session_files import SessionPlan, write_sessions

Serve = Callable[..., AbstractContextManager[HistoricalServer]]


@pytest.fixture(scope="session")
def served_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two simulated sessions of forty minutes from 13:30 UTC: 85,000 orders, definitions."""
    directory = tmp_path_factory.mktemp("served") / "days"
    params = MarketParams(records_per_second=20.0, episode_seconds=60.0)
    write_sessions(directory, SessionPlan(days=2, seed=5, minutes=40, params=params))
    return directory


@pytest.fixture(scope="session")
def serve(served_days: Path, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Start an API; keywords change its options."""

    @contextlib.contextmanager
    def start(**options: Any) -> Iterator[HistoricalServer]:
        facts: dict[str, Any] = {
            "serve": [served_days],
            "keys": [DEFAULT_KEY],
            "ca_file": tmp_path_factory.mktemp("ca") / "ca.pem",
            "limits": Limits(metadata=10_000, timeseries=10_000, symbology=10_000),
            "slow_seconds": 0.05,
        }
        server = HistoricalServer(HistoricalOptions(**(facts | options)), SystemClock())
        ready, stop = threading.Event(), threading.Event()

        async def run() -> None:
            async with server:
                ready.set()
                await asyncio.to_thread(stop.wait)

        thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        thread.start()
        try:
            assert ready.wait(20), "the API did not start"
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("REQUESTS_CA_BUNDLE", str(server.ca_file))
                yield server
        finally:
            stop.set()
            thread.join(20)

    return start


@pytest.fixture(scope="session")
def _shared(serve: Serve) -> Iterator[HistoricalServer]:
    terms = Terms(conditions={dt.date(2026, 10, 6): "degraded"})
    with serve(terms=terms) as server:
        yield server


@pytest.fixture
def api(_shared: HistoricalServer) -> Iterator[HistoricalServer]:
    """An API with the default terms and no fault; Tuesday, 2026-10-06, is degraded."""
    _shared.door.faults.clear()
    _shared.door.exchanges.clear()
    yield _shared
    _shared.door.faults.clear()


@pytest.fixture
def client(api: HistoricalServer) -> databento.Historical:
    """The vendor's client, unmodified."""
    return databento.Historical(DEFAULT_KEY, gateway=api.address)
