"""The way out to one client: plain text first, then binary, compressed and stamped as it asked."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from typing import Final

import zstandard

from ifd.clock import Clock
from ifd.records import NEWEST_VERSION, MboArray
from simulator.live import messages

SLOW_READER_SECONDS: Final = 1.0
_WRITE_BUFFER: Final = 1 << 20
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Outlet:
    """Writes to one connection, and waits while the client does not read.

    Parameters
    ----------
    slow_reader_seconds : float
        How long to wait before the client is warned, and warned again, that it is behind.
    """

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        clock: Clock,
        *,
        slow_reader_seconds: float = SLOW_READER_SECONDS,
    ) -> None:
        self.records_sent = 0
        self._writer = writer
        self._clock = clock
        self._slow_reader_seconds = slow_reader_seconds
        self._ts_out = False
        self._compressor: zstandard.ZstdCompressionObj | None = None
        self._header_sent = False
        self._last_sent = time.monotonic()
        writer.transport.set_write_buffer_limits(high=_WRITE_BUFFER)

    @property
    def silent_seconds(self) -> float:
        """Seconds since something was sent."""
        return time.monotonic() - self._last_sent

    def set_format(self, *, ts_out: bool, compressed: bool) -> None:
        """Say how the binary half shall look."""
        self._ts_out = ts_out
        self._compressor = zstandard.ZstdCompressor(level=1).compressobj() if compressed else None

    async def text(self, line: bytes) -> None:
        """Send lines of the text half."""
        self._writer.write(line)
        await self._writer.drain()

    async def header(self, dataset: str, *, version: int = NEWEST_VERSION) -> None:
        """Begin the binary half, once."""
        if not self._header_sent:
            self._header_sent = True
            header = messages.session_header(dataset, self._clock.now_ns(), ts_out=self._ts_out)
            await self._binary(messages.as_version(header, version))

    async def records(self, records: list[bytes]) -> None:
        """Send single records of any type."""
        await self._binary(self._stamped(records))

    async def mbo(self, records: MboArray) -> None:
        """Send MBO records."""
        self.records_sent += len(records)
        if self._ts_out:
            await self._binary(messages.mbo_with_ts_out(records, self._clock.now_ns()))
        else:
            await self._binary(records.tobytes())

    async def octets(self, octets: bytes) -> None:
        """Send bytes as they are, records or not."""
        await self._binary(octets)

    async def finish(self) -> None:
        """Say that nothing follows, with FIN, and leave the other direction open.

        Raises
        ------
        ConnectionError
            If the client has left.
        """
        if self._compressor is not None:
            self._writer.write(self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH))
        await self._writer.drain()
        try:
            self._writer.write_eof()
        except OSError as error:
            # ENOTCONN is no ConnectionError.
            raise ConnectionAbortedError("the client left before the end") from error

    def close(self) -> None:
        """End politely: what is buffered is sent, then FIN."""
        self._writer.close()

    def cut(self) -> None:
        """End as a broken line does: RST, what is buffered is lost."""
        connection = self._writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            # The client may have closed it already.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._writer.transport.abort()

    async def closed(self) -> None:
        """Wait until the connection has gone."""
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _binary(self, octets: bytes) -> None:
        self._write(octets)
        while True:
            try:
                async with asyncio.timeout(self._slow_reader_seconds):
                    await self._writer.drain()
            except TimeoutError:
                warning = messages.slow_reader_warning(self._clock.now_ns())
                self._write(self._stamped([warning]))
            else:
                return

    def _stamped(self, records: list[bytes]) -> bytes:
        if self._ts_out:
            ns = self._clock.now_ns()
            records = [messages.with_ts_out(record, ns) for record in records]
        self.records_sent += len(records)
        return b"".join(records)

    def _write(self, octets: bytes) -> None:
        self._last_sent = time.monotonic()
        if self._compressor is not None:
            octets = self._compressor.compress(octets)
            octets += self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        self._writer.write(octets)
