"""What every request passes: key, rate limit, planned fault; and the count of what was sent.

Databento bills the bytes it has sent, whole answer or not, so the door counts them where they leave
for the socket.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import uuid
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ifd.clock import Clock
from simulator.historical.endpoints import PATH
from simulator.historical.faults import Faults
from simulator.historical.limits import Limits, RateMeter
from simulator.historical.problems import (
    ApiProblem,
    authentication_failed,
    not_authenticated,
    too_many_requests,
    unlicensed,
)

log = structlog.get_logger(__name__)

EXCHANGES_KEPT: Final = 10_000
RETRY_AFTER_SECONDS: Final = 1


@dataclass(slots=True)
class Exchange:
    """One request and what has become of it so far: `status` is 0 while nothing was answered."""

    request_id: str
    method: str
    status: int = 0
    bytes_sent: int = 0


class Door:
    """Lets requests through to the endpoints, or not, or badly.

    Parameters
    ----------
    app : ASGI application
        The endpoints.
    keys : collection of str
        API keys that are let in.
    clock : Clock
        What rate limits are measured by.
    slow_seconds : float
        What the fault `slow` waits before the answer, and again before each piece of it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Collection[str],
        clock: Clock,
        limits: Limits = Limits(),
        slow_seconds: float = 1.0,
    ) -> None:
        self.faults = Faults()
        self.exchanges: deque[Exchange] = deque(maxlen=EXCHANGES_KEPT)
        self._app = app
        self._keys = [key.encode() for key in keys]
        self._meter = RateMeter(limits, clock)
        self._slow_seconds = slow_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method = scope["path"].removeprefix(PATH)
        exchange = Exchange(uuid.uuid4().hex, method)
        self.exchanges.append(exchange)
        try:
            await self._admit(method, scope, receive, _Outlet(send, exchange))
        except _CutError:
            log.info("connection broken on purpose", method=method, bytes=exchange.bytes_sent)

    async def _admit(self, method: str, scope: Scope, receive: Receive, outlet: _Outlet) -> None:
        try:
            key = self._require_key(Request(scope))
            if not self._meter.admits(key, method.partition(".")[0]):
                raise too_many_requests(RETRY_AFTER_SECONDS)
            fault = self.faults.take(method)
            refusal = _refusal(fault) if fault is not None else None
        except ApiProblem as problem:
            fault, refusal = None, problem.response()
        if refusal is not None:
            await refusal(scope, receive, outlet)
        elif fault == "timeout":
            await _until_gone(receive)
        else:
            outlet.cut = fault == "truncated-body"
            outlet.pause_seconds = self._slow_seconds if fault == "slow" else 0.0
            await self._app(scope, receive, outlet)

    def _require_key(self, request: Request) -> str:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise not_authenticated()
        try:
            name, _, password = base64.b64decode(credentials, validate=True).partition(b":")
        except binascii.Error:
            raise not_authenticated() from None
        known = any(hmac.compare_digest(name, key) for key in self._keys)
        if not known or password:
            raise authentication_failed()
        return name.decode()


class _CutError(Exception):
    """The connection shall break here."""


class _Outlet:
    """Sends on to the socket: with a request id, counted, and with the planned fault."""

    def __init__(self, send: Send, exchange: Exchange) -> None:
        self.cut = False
        self.pause_seconds = 0.0
        self._send = send
        self._exchange = exchange

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._exchange.status = message["status"]
            message["headers"] = [
                *message["headers"],
                (b"request-id", self._exchange.request_id.encode()),
            ]
            if self.cut:  # a length would tell the client at once that something is missing
                message["headers"] = [h for h in message["headers"] if h[0] != b"content-length"]
            await self._send(message)
            return
        if self.pause_seconds:
            await asyncio.sleep(self.pause_seconds)
        body: bytes = message.get("body", b"")
        if self.cut:
            body = body[: len(body) // 2]
            message = {**message, "body": body, "more_body": True}
        self._exchange.bytes_sent += len(body)  # first: whoever has the bytes can rely on it
        await self._send(message)
        if self.cut and body:
            raise _CutError


def _refusal(fault: str) -> Response | None:
    if fault == "403":
        return unlicensed("the time of this fault").response()
    if fault == "422":
        message = "Nothing of this range is available."
        return ApiProblem(422, message, case="unavailable_range").response()
    if fault == "429":
        return too_many_requests(RETRY_AFTER_SECONDS).response()
    if fault == "500":
        return ApiProblem(500, "Internal Server Error").response()
    if fault == "504":  # comes from the load balancer in front, which speaks HTML
        return HTMLResponse("<html><h1>504 Gateway Time-out</h1></html>", status_code=504)
    return None


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
