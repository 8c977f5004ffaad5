"""One connection, step by step: connect, authenticate, watch until it ends, say why, leave."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any, Final

from ifd.errors import FeedInterruptedError
from ifd.gateway.protocol import BulkProtocol
from ifd.gateway.ring import RingWriter

LEAVE_SECONDS: Final = 1.0
"""For the FIN to go out behind what is still to be sent."""


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """How long the feed waits for what; the defaults are the provider's advice."""

    connect_seconds: float = 10.0
    authenticate_seconds: float = 30.0
    silence_margin_seconds: float = 10.0
    """A gateway silent for a heartbeat interval and this much more is taken for dead."""
    first_wait_seconds: float = 1.0


async def connect(
    make_protocol: Callable[[], BulkProtocol], host: str, port: int, *, seconds: float
) -> BulkProtocol:
    """Return the protocol of a new connection.

    Raises
    ------
    FeedInterruptedError
        If nobody answered.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            _, protocol = await loop.create_connection(make_protocol, host, port)
    except TimeoutError:
        raise FeedInterruptedError("timeout", "the connection was not accepted") from None
    except OSError as error:
        raise FeedInterruptedError("unreachable", str(error)) from error
    return protocol


async def authenticate(protocol: BulkProtocol, *, seconds: float) -> str | None:
    """Wait for the gateway's answer to the key: None when it was accepted, else its reason.

    Raises
    ------
    FeedInterruptedError
        If the connection ended first, or no answer came.
    """
    # Any: one of the futures has a session id, the other nothing.
    answers: set[asyncio.Future[Any]] = {protocol.authenticated, protocol.disconnected}
    await asyncio.wait(answers, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if protocol.authenticated.done():
        error = protocol.authenticated.exception()
        return None if error is None else str(error)
    if protocol.disconnected.done():
        raise end_of(protocol, said=None)
    raise FeedInterruptedError("timeout", "the gateway did not answer the key")


async def watch(protocol: BulkProtocol, queue: RingWriter, *, silence_seconds: float) -> None:
    """Wait for the end of the connection; make one when it has been silent too long."""
    while not protocol.disconnected.done():
        if queue.paused:
            protocol.touch()  # the silence is ours
        left = silence_seconds - protocol.idle_seconds
        if left <= 0:
            detail = f"not a byte for {silence_seconds:g} s"
            protocol.fail(FeedInterruptedError("silence", detail))
        await asyncio.wait({protocol.disconnected}, timeout=max(left, 0.1))


def end_of(protocol: BulkProtocol, *, said: str | None) -> BaseException:
    """Return why the connection ended, as what is to be raised.

    Parameters
    ----------
    said : str or None
        The text of an error record that the gateway sent before it closed.
    """
    if protocol.failure is not None:
        return protocol.failure
    error = protocol.disconnected.exception()
    if error is None and said is not None:
        return FeedInterruptedError("error", said)
    if error is None:
        return FeedInterruptedError("closed", "the gateway closed the connection")
    if isinstance(error, OSError):
        return FeedInterruptedError("reset", str(error))
    return error


async def leave(protocol: BulkProtocol) -> None:
    """Close the connection, if it is not closed, and wait until it is gone."""
    protocol.transport.close()
    await asyncio.wait({protocol.disconnected}, timeout=LEAVE_SECONDS)
    protocol.transport.abort()
    for future in (protocol.authenticated, protocol.disconnected):
        if future.done():
            future.exception()  # taken: asyncio would log an exception that nobody asked for
