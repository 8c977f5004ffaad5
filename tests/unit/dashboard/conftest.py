"""Rows of a small market for the dashboard: bars of a future, signals, a run."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import orjson
import pytest
import sqlalchemy as sa
import uvicorn
import websockets.exceptions
import websockets.sync.client
from sqlalchemy.engine import Engine
from starlette.types import ASGIApp

from ifd.units import NANOS_PER_SECOND, PRICE_SCALE
from models.base import make_engine, transaction, upsert
from models.market import BarRow
from models.operations import HealthSampleRow, StreamRunRow
from models.signals import SignalRow
from models.validations import store_validation
from tests.checks import failed_check

OPEN_S = 1_763_994_600
"""2025-11-24 09:30 in New York."""


class Market:
    """Writes what the stream would write, through an engine of its own."""

    def __init__(self, engine: Engine, make_signal: Callable[..., Any]) -> None:
        self.engine = engine
        self._make_signal = make_signal
        self._signals = 0

    def signal(self, **changes: Any) -> str:
        """Commit one signal and return its id."""
        self._signals += 1
        given = {"signal_id": f"{self._signals:016x}"} | changes
        row_id = given.pop("id", None)
        row = SignalRow.from_signal(
            self._make_signal(**given),
            source="simulated",
            committed_ns=OPEN_S * NANOS_PER_SECOND,
        )
        row.id = row_id
        with transaction(self.engine) as session:
            session.add(row)
        return row.signal_id

    def bar(self, minute: int = 0, **changes: Any) -> None:
        """Commit one bar: 5 minutes of NQZ5 unless told otherwise."""
        row = {
            "instrument_id": 1,
            "interval_ns": 300 * NANOS_PER_SECOND,
            "start_ns": (OPEN_S + 60 * minute) * NANOS_PER_SECOND,
            "raw_symbol": "NQZ5",
            "session_date": "2025-11-24",
            "open": 17_000 * PRICE_SCALE,
            "high": 17_010 * PRICE_SCALE,
            "low": 16_990 * PRICE_SCALE,
            "close": 17_005 * PRICE_SCALE + PRICE_SCALE // 4,
            "volume": 100,
            "trades": 40,
            "closed": False,
            "updated_ns": (OPEN_S + 60 * minute) * NANOS_PER_SECOND,
        }
        with transaction(self.engine) as session:
            upsert(session, BarRow, [row | changes])

    def run(self, **changes: Any) -> None:
        """Commit a stream run."""
        now_ns = OPEN_S * NANOS_PER_SECOND
        facts: dict[str, Any] = {
            "shard": "nq",
            "source": "simulated",
            "profile": "default",
            "params_fingerprint": "feedfacecafebeef",
            "session_date": "2025-11-24",
            "status": "streaming",
            "started_ns": now_ns,
            "heartbeat_ns": now_ns,
            "records": 1_000,
        }
        with transaction(self.engine) as session:
            session.add(StreamRunRow(**(facts | changes)))

    def health(self, component: str = "stream", **metrics: Any) -> None:
        """Commit a health sample."""
        with transaction(self.engine) as session:
            session.add(
                HealthSampleRow(
                    ts_ns=OPEN_S * NANOS_PER_SECOND, component=component, metrics=metrics
                )
            )

    def quarantine(self) -> None:
        """Commit a failed critical check of the session."""
        store_validation(self.engine, [failed_check()], now_ns=1, channel=None)

    def execute(self, statement: str) -> None:
        """Run one statement of SQL."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement))


@pytest.fixture
def market(migrated_url: str, make_signal: Callable[..., Any]) -> Iterator[Market]:
    """The writer, as another process would be."""
    engine = make_engine(migrated_url)
    yield Market(engine, make_signal)
    engine.dispose()


class Site:
    """A real server on loopback, visited under whatever name."""

    def __init__(self, port: int, name: str) -> None:
        self._port = port
        self._name = name
        self._cookies: dict[str, str] = {}

    def under(self, name: str) -> Site:
        """Return the same server as seen under another `Host`."""
        return Site(self._port, name)

    def get(self, path: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
        """Ask for a page; redirects are not followed, cookies are kept."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=10) as http:
            http.cookies.update(self._cookies)
            answer = http.get(path, headers={"host": self._name} | (headers or {}), **options)
        self._cookies.update(answer.cookies)
        return answer

    @contextlib.contextmanager
    def websocket(self, path: str = "/ws", **headers: str) -> Iterator[Socket]:
        """Connect as a browser would, with the cookies of this visitor."""
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        given = headers | ({"cookie": cookies} if cookies else {})
        with (
            socket.create_connection(("127.0.0.1", self._port)) as raw,
            websockets.sync.client.connect(
                f"ws://{self._name}{path}",
                sock=raw,
                additional_headers=given,
                compression=None,
                proxy=None,
            ) as connection,
        ):
            yield Socket(connection)

    def hears(self, path: str = "/ws", **headers: str) -> bool:
        """Return True when the server accepts a WebSocket and says something."""
        try:
            with self.websocket(path, **headers) as connection:
                return bool(connection.receive())
        except websockets.exceptions.InvalidStatus as refusal:
            if refusal.response.status_code != 403:
                raise
            return False


class Socket:
    """A WebSocket that speaks JSON."""

    def __init__(self, connection: websockets.sync.client.ClientConnection) -> None:
        self._connection = connection

    def receive(self) -> dict[str, Any]:
        """Return the next message."""
        message: dict[str, Any] = orjson.loads(self._connection.recv(timeout=10))
        return message

    def send(self, body: Any) -> None:
        """Send JSON, or a string as it is."""
        text = body if isinstance(body, str) else orjson.dumps(body).decode()
        self._connection.send(text)


@pytest.fixture
def serve() -> Iterator[Callable[[ASGIApp], Site]]:
    """Serve an application on a free port until the end of the test."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: ASGIApp) -> Site:
        bound = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        port = bound.getsockname()[1]
        running.append((server, thread))
        deadline = time.monotonic() + 10
        while not server.started and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.started
        return Site(port, f"127.0.0.1:{port}")

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)
