"""One connected page, from its handshake to its end.

Two tasks share the socket: one sends what the hub queues, one hears the page's pings and its
measured lags. Whichever ends first, or a full queue, ends the connection.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final

import orjson
import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from dashboard.follower import RETRY_SECONDS, Follower
from dashboard.hub import Hub
from dashboard.metrics import Metrics
from dashboard.protocol import CLOSE_TRY_AGAIN_LATER, ClientQueue, Kind, Message
from dashboard.queries import Json

CLOSE_SECONDS: Final = 2.0
LAGS_AT_ONCE: Final = 200
_PONG: Final = "pong"


class Client:
    """Serves one WebSocket.

    Parameters
    ----------
    greeting : callable
        Returns the body of `hello`.
    """

    def __init__(
        self,
        socket: WebSocket,
        *,
        hub: Hub,
        follower: Follower,
        metrics: Metrics,
        greeting: Callable[[], Json],
    ) -> None:
        self._socket = socket
        self._hub = hub
        self._follower = follower
        self._metrics = metrics
        self._greeting = greeting

    async def serve(self, since: int | None) -> None:
        """Accept, bring the page up to date, then send what happens until either side ends it."""
        await self._socket.accept()
        # One step of the event loop: a message is either missed or queued, never both or neither.
        queue = self._hub.join()
        missed = None if since is None else self._hub.missed(since)
        seq = self._hub.last_seq
        self._metrics.clients.set(self._hub.clients)
        tasks = {
            asyncio.create_task(self._send(queue, missed, seq)),
            asyncio.create_task(self._hear(queue)),
            asyncio.create_task(queue.overflowed.wait()),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                _raise_unexpected(task)
            if queue.overflowed.is_set():
                await self._cut_off()
        finally:
            self._hub.leave(queue)
            self._metrics.clients.set(self._hub.clients)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, queue: ClientQueue, missed: list[Message] | None, seq: int) -> None:
        await self._socket.send_text(self._hub.encode_now(Kind.HELLO, self._greeting()))
        if missed is None:
            self._metrics.connections.labels("snapshot").inc()
            await self._send_snapshot(seq)
        else:
            self._metrics.connections.labels("resumed").inc()
            await self._send_all(missed)
        while True:
            await self._send_all(await queue.get())

    async def _send_all(self, messages: list[Message]) -> None:
        for message in messages:
            await self._socket.send_text(message.text)

    async def _send_snapshot(self, seq: int) -> None:
        while True:
            try:
                body = await run_in_threadpool(self._follower.snapshot)
            except sa.exc.DBAPIError:  # the follower tells the page and the log
                await asyncio.sleep(RETRY_SECONDS)
            else:
                text = await run_in_threadpool(self._hub.encode_at, Kind.SNAP, body, seq)
                await self._socket.send_text(text)
                return

    async def _hear(self, queue: ClientQueue) -> None:
        while True:
            body = _parse(await self._socket.receive_text())
            if body.get("type") == "ping":
                text = self._hub.encode_now(Kind.PONG, {"echo": body.get("echo")})
                queue.put(Message(self._hub.last_seq, _PONG, text))
            elif body.get("type") == "lag":
                for lag_ms in _lags(body.get("paint_ms")):
                    self._metrics.paint_lag.observe(lag_ms / 1_000)

    async def _cut_off(self) -> None:
        self._metrics.overflows.inc()
        try:
            # Its TCP buffers may be full for ever; the transport is dropped when we return.
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close(CLOSE_TRY_AGAIN_LATER, "reading too slowly")
        except TimeoutError:
            pass


def _raise_unexpected(task: asyncio.Task[Any]) -> None:
    # Any: the three tasks return different things, none of which is wanted.
    error = task.exception()
    if error is not None and not isinstance(error, WebSocketDisconnect | OSError):
        raise error


def _parse(text: str) -> Json:
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _lags(given: Any) -> list[float]:
    # Any: a page may send what it likes.
    if not isinstance(given, list):
        return []
    numbers = [lag for lag in given[:LAGS_AT_ONCE] if type(lag) in (int, float)]
    return [lag for lag in numbers if math.isfinite(lag) and lag >= 0]
