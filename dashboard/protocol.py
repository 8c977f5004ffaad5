"""The WebSocket protocol: what is sent, in which order, and what happens to a slow reader.

A client receives `hello`, then either the messages it missed (`/ws?since=SEQ`) or one `snap`, then
`bar`, `signal`, `health`, `run` and `notice` as they happen. Each message is one JSON object with
`type`, `seq` and `ts` (ns UTC of the server). Two rules hold in every buffer here: a newer state of
the same thing (a bar, the run, the health) replaces the older, and a signal is never replaced or
dropped. A buffer that is full of things it may not drop says so, and its client starts again from
a snapshot.

Numbers of `seq` begin at the microsecond the server started, so they grow over restarts too and
a client that comes back to a restarted server cannot mistake its numbers for the former ones.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import orjson

CLOSE_TRY_AGAIN_LATER: Final = 1013
"""RFC 6455 registry: sent to a client that reads too slowly; it reconnects and resynchronises."""


class Kind(enum.StrEnum):
    """The types of messages from server to client."""

    HELLO = "hello"
    SNAP = "snap"
    BAR = "bar"
    SIGNAL = "signal"
    HEALTH = "health"
    RUN = "run"
    NOTICE = "notice"
    PONG = "pong"


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One encoded message; messages with the same `key` are states of the same thing."""

    seq: int
    key: str | None
    text: str


def encode(kind: Kind, body: Mapping[str, Any], *, seq: int, ts: int) -> str:
    """Return the JSON text of a message.

    Parameters
    ----------
    body : mapping
        What `orjson` can write; may not use the names `type`, `seq` and `ts`.
    ts : int
        The server's clock, ns UTC.
    """
    return orjson.dumps({"type": kind, "seq": seq, "ts": ts, **body}).decode()


class LatestWins:
    """Messages in order of `seq`, at most one for each key."""

    def __init__(self) -> None:
        self._messages: OrderedDict[str | int, Message] = OrderedDict()

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message: Message) -> None:
        """Append `message`, and forget the older state of the same thing."""
        slot = message.seq if message.key is None else message.key
        self._messages.pop(slot, None)
        self._messages[slot] = message

    def pop_oldest(self) -> Message:
        """Remove and return the message with the lowest `seq`."""
        return self._messages.popitem(last=False)[1]

    def after(self, seq: int) -> list[Message]:
        """Return the messages above `seq`, oldest first."""
        newer: list[Message] = []
        for message in reversed(self._messages.values()):
            if message.seq <= seq:
                break
            newer.append(message)
        newer.reverse()
        return newer

    def take_all(self) -> list[Message]:
        """Remove and return everything, oldest first."""
        messages = list(self._messages.values())
        self._messages.clear()
        return messages


class Journal:
    """What was sent lately, for clients that come back after a short break."""

    def __init__(self, *, capacity: int, first_seq: int) -> None:
        self._messages = LatestWins()
        self._capacity = capacity
        self._floor = first_seq
        self.last_seq = first_seq

    def add(self, message: Message) -> None:
        """Remember `message`; the oldest is forgotten when the journal is full."""
        self.last_seq = message.seq
        self._messages.add(message)
        while len(self._messages) > self._capacity:
            self._floor = self._messages.pop_oldest().seq

    def since(self, seq: int) -> list[Message] | None:
        """Return what a client that saw `seq` has missed, or None when only a snapshot will do."""
        if not self._floor <= seq <= self.last_seq:
            return None
        return self._messages.after(seq)

    def begin_again(self, seq: int) -> None:
        """Forget everything: who has not seen `seq`, a snapshot sent to all, starts from one."""
        self._messages.take_all()
        self._floor = self.last_seq = seq


class ClientQueue:
    """What one client has yet to be sent: bounded, so a sleeping browser costs little memory."""

    def __init__(self, *, capacity: int) -> None:
        self._messages = LatestWins()
        self._capacity = capacity
        self._filled = asyncio.Event()
        self.overflowed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> None:
        """Queue `message`; when there is no room, set `overflowed` and take nothing any more."""
        if self.overflowed.is_set():
            return
        self._messages.add(message)
        self._filled.set()
        if len(self._messages) > self._capacity:
            self._messages.take_all()
            self.overflowed.set()

    async def get(self) -> list[Message]:
        """Return everything that waits, oldest first; waits for at least one message."""
        while not len(self._messages):
            self._filled.clear()
            await self._filled.wait()
        return self._messages.take_all()
