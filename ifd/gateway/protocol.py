"""The provider's protocol class, taking records in bulk.

Greeting, challenge, subscription and session start are the library's own, untouched. From the
session's first byte on the kernel writes into our buffer and the splitter makes arrays of it;
through the library's path every record would be a Python object (some thirty times slower). Only
public names of `DatabentoLiveProtocol` and of asyncio's buffered protocol are overridden or used.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import databento_dbn as dbn
from databento.live.protocol import DatabentoLiveProtocol

from ifd.errors import CorruptStreamError, FeedInterruptedError, IfdError
from ifd.records import HEADER_PREFIX_SIZE, Chunk, RecordSplitter, decode_header, header_size

BUFFER_SIZE: Final = 2**20
"""One read at most; larger is no faster on loopback."""
MAX_LIVE_HEADER_SIZE: Final = 16 * 2**20
MIN_READ_SIZE: Final = 1_024
"""More than the largest record (255 words), so that a read always makes progress."""


class BulkProtocol(DatabentoLiveProtocol):
    """One connection: gives chunks to `receive`, reads no more than `room_bytes` allows.

    Parameters
    ----------
    receive : callable
        Takes the chunks of one read, in wire order; their arrays are views of the receive buffer,
        overwritten by the next read. An IfdError from it ends the connection and becomes `failure`.
    room_bytes : callable
        Returns how many bytes may be read now.
    """

    def __init__(
        self,
        *,
        key: str,
        dataset: str,
        heartbeat_seconds: int,
        receive: Callable[[list[Chunk]], None],
        room_bytes: Callable[[], int],
    ) -> None:
        # At DEBUG the library would log the answer to the challenge.
        logging.getLogger("databento.live.protocol").setLevel(logging.INFO)
        super().__init__(key, dataset, heartbeat_interval_s=heartbeat_seconds)
        self.failure: IfdError | None = None
        self.metadata: dbn.Metadata | None = None
        self.bytes_read = 0
        self._receive = receive
        self._room_bytes = room_bytes
        self._loop = asyncio.get_running_loop()
        self._read_at = self._loop.time()
        self._buffer = bytearray(BUFFER_SIZE)
        self._kept = 0
        self._header_size = HEADER_PREFIX_SIZE
        self._splitter: RecordSplitter | None = None
        self._bulk = False

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last byte, or since the connection was made."""
        return self._loop.time() - self._read_at

    @property
    def unknown_records(self) -> int:
        """Records of unknown types in this session."""
        return self._splitter.unknown_records if self._splitter is not None else 0

    def touch(self) -> None:
        """Count silence from now: it was we who did not read."""
        self._read_at = self._loop.time()

    def fail(self, error: IfdError) -> None:
        """End the connection at once; the first reason given is the one kept."""
        if self.failure is None:
            self.failure = error
        self.transport.abort()

    def pause_reading(self) -> None:
        """Leave the socket unread."""
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self.touch()
        self.transport.resume_reading()

    def get_buffer(self, sizehint: int) -> bytearray:
        """Override of `BufferedProtocol.get_buffer`: our own buffer once authenticated."""
        self._bulk = self.authenticated.done()
        if not self._bulk:
            return super().get_buffer(sizehint)
        if self._splitter is None:
            # The header exactly, so that the records after it are bounded by the room.
            end = self._header_size
        else:
            end = self._kept + max(MIN_READ_SIZE, self._room_bytes())
        # asyncio takes any writable buffer; the library's signature says bytearray.
        return memoryview(self._buffer)[self._kept : end]  # type: ignore[return-value]

    def buffer_updated(self, nbytes: int) -> None:
        """Override of `BufferedProtocol.buffer_updated`."""
        self.touch()
        self.bytes_read += nbytes
        if self.failure is not None:
            return
        if self._bulk:
            try:
                self._split(self._kept + nbytes)
            except IfdError as error:
                self.fail(error)
            return
        try:
            super().buffer_updated(nbytes)
        except (ValueError, asyncio.InvalidStateError) as error:
            # What the library raises over a greeting or an answer that it cannot parse.
            self.fail(FeedInterruptedError("corrupt", f"not the gateway's protocol: {error}"))

    def _split(self, filled: int) -> None:
        if self._splitter is None:
            self._kept = filled
            self._read_header()
            return
        chunks, used = self._splitter.split(memoryview(self._buffer)[:filled])
        if chunks:
            self._receive(chunks)  # before the rest moves over them: they are views
        self._kept = filled - used
        self._buffer[: self._kept] = self._buffer[used:filled]
        if self._splitter.damage is not None:
            raise FeedInterruptedError("corrupt", str(self._splitter.damage))

    def _read_header(self) -> None:
        begun = self._buffer[: self._kept]
        try:
            self._header_size = header_size(begun, max_size=MAX_LIVE_HEADER_SIZE)
            if self._kept < self._header_size:
                # A new one: asyncio still holds a view of the old, which forbids to lengthen it.
                self._buffer = begun.ljust(max(self._header_size, BUFFER_SIZE), b"\0")
                return
            self.metadata = decode_header(begun)
        except CorruptStreamError as error:
            raise FeedInterruptedError("corrupt", str(error)) from error
        self._kept = 0
        self._splitter = RecordSplitter(version=self.metadata.version, ts_out=self.metadata.ts_out)
