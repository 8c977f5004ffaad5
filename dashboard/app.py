"""The web application: page, HTTP API, metrics and the WebSocket, over one read-only follower."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import orjson
import sqlalchemy as sa
import structlog
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.engine import Engine
from sqlmodel import Session
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from dashboard import queries
from dashboard.client import Client
from dashboard.follower import DATABASE_AWAY, Follower
from dashboard.hub import CLIENT_MESSAGES, Hub
from dashboard.metrics import Metrics
from dashboard.security import Gate
from ifd.clock import Clock

log = structlog.get_logger("dashboard")

STATIC: Final = Path(__file__).resolve().parent / "static"
LARGEST_LIMIT: Final = 5_000
_RUN_NUMBERS: Final = ("records", "windows", "signals", "gaps", "queue_high_water")


class Dashboard:
    """Everything the routes share.

    Parameters
    ----------
    prefect_url : str, optional
        Where the Prefect UI is, for the link in the header.
    on_failure : callable, optional
        Told when the follower ended by an error that is no database outage.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        prefect_url: str | None = None,
        client_messages: int = CLIENT_MESSAGES,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._prefect_url = prefect_url
        self._on_failure = on_failure
        self.hub = Hub(clock, client_messages=client_messages)
        self.metrics = Metrics(self._stream_numbers)
        self.follower = Follower(engine, self.hub, self.metrics, clock)

    def app(self, *, token: str | None = None) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/favicon.ico", self._favicon),
                Route("/healthz", self._healthz),
                Route("/metrics", self._metrics),
                Route("/api/status", self._status),
                Route("/api/signals", self._signals),
                Route("/api/signals/{signal_id}", self._signal),
                Route("/api/bars", self._bars),
                WebSocketRoute("/ws", self._websocket),
                Mount("/static", _RevalidatedFiles(directory=STATIC)),
            ],
            middleware=[Middleware(Gate, token=token)],
            exception_handlers={
                HTTPException: _problem,
                sa.exc.DBAPIError: _database_away,
            },
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        # Before anybody can connect: a signal is either in a snapshot or followed, never neither.
        await self.follower.look()
        following = asyncio.create_task(self.follower.run())
        following.add_done_callback(self._follower_ended)
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    def _follower_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("follower ended", exc_info=error)
            if self._on_failure is not None:
                self._on_failure(error)

    def _stream_numbers(self) -> queries.Json:
        run, health = self.follower.run_row or {}, self.follower.health_row or {}
        return {
            **{f"run_{name}": run[name] for name in _RUN_NUMBERS if name in run},
            **health.get("metrics", {}),
        }

    def _greeting(self) -> queries.Json:
        run = self.follower.run_row or {}
        return {
            "server_time": self._clock.now_ns(),
            "session": run.get("session_date"),
            "profile": run.get("profile"),
            "source": run.get("source"),
            "last_seq": self.hub.last_seq,
            "prefect_url": self._prefect_page(run.get("flow_run_id")),
            "notice": self.follower.notice,
        }

    def _prefect_page(self, flow_run_id: str | None) -> str | None:
        """Return where the link to Prefect leads: to the run that streams, when it is Prefect's."""
        if self._prefect_url is None or flow_run_id is None:
            return self._prefect_url
        return f"{self._prefect_url.rstrip('/')}/runs/flow-run/{flow_run_id}"

    async def _websocket(self, socket: WebSocket) -> None:
        given = socket.query_params.get("since", "")
        client = Client(
            socket,
            hub=self.hub,
            follower=self.follower,
            metrics=self.metrics,
            greeting=self._greeting,
        )
        await client.serve(int(given) if given.isdecimal() and len(given) < 19 else None)

    async def _page(self, _request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    async def _favicon(self, _request: Request) -> Response:
        return FileResponse(STATIC / "favicon.svg", media_type="image/svg+xml")

    async def _healthz(self, _request: Request) -> Response:
        well = not self.follower.is_stalled
        return _json({"status": "ok" if well else "stalled"}, 200 if well else 503)

    async def _metrics(self, _request: Request) -> Response:
        self.metrics.last_seq.set(self.hub.last_seq)
        self.metrics.look_age.set(self.follower.age_seconds)
        return Response(self.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def _status(self, _request: Request) -> Response:
        return _json(
            {
                **self._greeting(),
                "run": self.follower.run_row,
                "health": self.follower.health_row,
                "clients": self.hub.clients,
                "follower_age_seconds": round(self.follower.age_seconds, 3),
            }
        )

    async def _signals(self, request: Request) -> Response:
        limit = _whole_number(request, "limit", default=100, most=LARGEST_LIMIT)
        least = _share(request, "min_confidence")
        before = _whole_number(request, "before", default=0, most=2**63 - 1)

        def read() -> list[queries.Json]:
            with Session(self._engine) as session:
                return queries.recent_signals(
                    session, limit=limit, min_confidence=least, before=before or None
                )

        return _json({"signals": await run_in_threadpool(read)})

    async def _signal(self, request: Request) -> Response:
        signal_id = request.path_params["signal_id"]

        def read() -> queries.Json | None:
            with Session(self._engine) as session:
                return queries.find_signal(session, signal_id)

        found = await run_in_threadpool(read)
        if found is None:
            raise HTTPException(404, f"there is no signal {signal_id!r} in this database")
        return _json(found)

    async def _bars(self, request: Request) -> Response:
        interval_s = _whole_number(request, "interval", default=300, most=86_400)
        limit = _whole_number(request, "limit", default=1_000, most=LARGEST_LIMIT)

        def read() -> queries.Json:
            with Session(self._engine) as session:
                future = queries.lead_future(session)
                bars = queries.recent_bars(session, future, interval_s=interval_s, limit=limit)
            return {
                "raw_symbol": future and future.raw_symbol,
                "interval_s": interval_s,
                "bars": bars,
            }

        return _json(await run_in_threadpool(read))


class _RevalidatedFiles(StaticFiles):
    """Files a browser asks about each time, so that an update is seen at the next load."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        # Any: passed on untouched.
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "no-cache"
        return response


def _json(body: Any, status: int = 200) -> Response:
    # Any: whatever orjson writes.
    return Response(orjson.dumps(body), status, media_type="application/json")


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"error": error.detail}, error.status_code)


async def _database_away(_request: Request, _error: Exception) -> Response:
    return _json({"error": DATABASE_AWAY}, 503)


def _whole_number(request: Request, name: str, *, default: int, most: int) -> int:
    given = request.query_params.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdecimal() and len(given) < 20 and 1 <= int(given) <= most):
        raise HTTPException(
            400, f"{name} must be a whole number from 1 to {most}, it was {given!r}"
        )
    return int(given)


def _share(request: Request, name: str) -> float:
    given = request.query_params.get(name, "0")
    try:
        share = float(given)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise HTTPException(400, f"{name} must be a number from 0 to 1, it was {given!r}")
    return share
