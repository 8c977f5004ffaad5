"""Fan-out: one numbered stream of messages, one bounded queue for each connected page.

Lives on the event loop; nothing here waits or reads the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dashboard.protocol import ClientQueue, Journal, Kind, Message, encode
from ifd.clock import Clock

JOURNAL_MESSAGES: Final = 4_096
CLIENT_MESSAGES: Final = 1_024


class Hub:
    """Numbers messages, remembers the latest and hands them to every client."""

    def __init__(
        self,
        clock: Clock,
        *,
        journal_messages: int = JOURNAL_MESSAGES,
        client_messages: int = CLIENT_MESSAGES,
    ) -> None:
        self._clock = clock
        self._journal = Journal(capacity=journal_messages, first_seq=clock.now_ns() // 1_000)
        self._client_messages = client_messages
        self._clients: set[ClientQueue] = set()

    @property
    def last_seq(self) -> int:
        """Number of the newest message."""
        return self._journal.last_seq

    @property
    def clients(self) -> int:
        """How many pages are connected."""
        return len(self._clients)

    def join(self) -> ClientQueue:
        """Return a queue that receives everything published from now on."""
        queue = ClientQueue(capacity=self._client_messages)
        self._clients.add(queue)
        return queue

    def leave(self, queue: ClientQueue) -> None:
        """Stop filling `queue`."""
        self._clients.discard(queue)

    def publish(self, kind: Kind, body: Mapping[str, Any], *, key: str | None = None) -> None:
        """Send a message to every client.

        Parameters
        ----------
        key : str, optional
            Names the thing this is a state of: for a client that has not read the former state
            yet, the new one takes its place. None: never replaced, never dropped.
        """
        message = self._number(kind, body, key)
        self._journal.add(message)
        for queue in self._clients:
            queue.put(message)

    def restart(self, body: Mapping[str, Any]) -> None:
        """Give every client a new snapshot, also those that come back later."""
        message = self._number(Kind.SNAP, body, Kind.SNAP)
        self._journal.begin_again(message.seq)
        for queue in self._clients:
            queue.put(message)

    def missed(self, since: int) -> list[Message] | None:
        """Return what a client that saw `since` has missed, None when it needs a snapshot."""
        return self._journal.since(since)

    def encode_now(self, kind: Kind, body: Mapping[str, Any]) -> str:
        """Return a message to one client, which carries the newest number and takes none."""
        return self.encode_at(kind, body, self.last_seq)

    def encode_at(self, kind: Kind, body: Mapping[str, Any], seq: int) -> str:
        """Return a message to one client that stands for everything up to `seq`."""
        return encode(kind, body, seq=seq, ts=self._clock.now_ns())

    def _number(self, kind: Kind, body: Mapping[str, Any], key: str | None) -> Message:
        seq = self.last_seq + 1
        return Message(seq, key, encode(kind, body, seq=seq, ts=self._clock.now_ns()))
