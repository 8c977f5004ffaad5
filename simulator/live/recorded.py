"""Recorded DBN files as a source, at their own pace, faster, or as fast as clients read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import databento_dbn as dbn
import numpy as np
import structlog

from ifd.clock import Clock
from ifd.errors import ConfigurationError, UnsupportedDataError
from ifd.records import MboArray
from ifd.replay import read_chunks, read_metadata
from ifd.units import NANOS_PER_MINUTE
from simulator.live.sources import RecordSource
from simulator.live.spool import Spool
from simulator.live.symbology import Symbology

log = structlog.get_logger(__name__)

_TICK_SECONDS: Final = 0.01
_BLOCK: Final = 8_192
_LONGEST_SILENCE_NS: Final = 15 * NANOS_PER_MINUTE
"""Longer pauses in files (a night) are not waited for."""


class FileSource(RecordSource):
    """Recorded DBN files, with their own timestamps.

    Parameters
    ----------
    paths : sequence of Path
        Files, or directories whose `.dbn` and `.dbn.zst` files are taken in order of name. MBO
        records and definitions are served.
    speed : float
        1 is the pace of `ts_recv`, 10 ten times as fast; 0 is as fast as each client reads.

    Raises
    ------
    ConfigurationError, UnsupportedDataError, CorruptFileError
        If there is nothing to serve, or a file is not what it should be.
    """

    def __init__(self, paths: Sequence[Path], *, speed: float, clock: Clock) -> None:
        self._files = _dbn_files(paths)
        headers = [(path, read_metadata(path)) for path in self._files]
        datasets = {metadata.dataset for _, metadata in headers}
        if len(datasets) != 1:
            raise UnsupportedDataError(
                f"the files to serve are of {len(datasets)} datasets ({', '.join(datasets)}): "
                "serve those of one"
            )
        self.spool = Spool()
        super().__init__(datasets.pop(), self.spool)
        self._speed = speed
        self._clock = clock
        self._names = {
            symbol: int(interval["symbol"])
            for _, metadata in headers
            for symbol, intervals in metadata.mappings.items()
            for interval in intervals
            if str(interval["symbol"]).isdecimal()
        }
        self._running = asyncio.Event()

    def present(self) -> int:
        """Return the beginning for a recording that is not paced: nothing of it is past."""
        return self._end if self._speed else 0

    async def snapshot(self, place: int, instrument_ids: Iterable[int], ns: int) -> MboArray:
        """Return the orders that rest at `place`, made when the recording had come so far."""
        near = self.spool.read(max(place - 1, 0), max(place, 1))
        if len(near):  # behind the record before it, or with the very first
            ns = int(near["ts_recv"][0]) + (place > 0)
        return await super().snapshot(place, instrument_ids, ns)

    def begin(self) -> None:
        """Let a paced recording run."""
        self._running.set()

    def change_speed(self, speed: float) -> None:
        """Let a paced recording go on faster or slower from now on.

        Raises
        ------
        ConfigurationError
            If it is not paced, or the speed is not above 0.
        """
        if not self._speed or speed <= 0:
            raise ConfigurationError("a recording that is paced takes a speed above 0, no other")
        self._speed = speed

    async def run(self) -> None:
        """Load the files, then let time pass at the speed that was asked for."""
        await self._load()
        if not self._speed:
            self.publish(len(self.spool))
        self.ready.set()
        if self._speed:
            await self._running.wait()
            await self._pace()
        self.finished = True
        self.publish(self._end)

    async def _load(self) -> None:
        definitions = []
        for path in self._files:
            for chunk in read_chunks(path):
                if isinstance(chunk, np.ndarray):
                    self.spool.append(chunk)
                elif isinstance(chunk, dbn.InstrumentDefMsg):
                    definitions.append(chunk)
                await asyncio.sleep(0)
        self.definitions = definitions
        self.symbology = Symbology(definitions, self._names)
        log.info("files loaded", records=len(self.spool), instruments=len(self.symbology))

    async def _pace(self) -> None:
        last_ns = self._clock.now_ns()
        market_ns = int(self._next_block()["ts_recv"][0]) if len(self.spool) else 0
        while self._end < len(self.spool):
            now_ns = self._clock.now_ns()
            market_ns += int((now_ns - last_ns) * self._speed)
            last_ns = now_ns
            due = self._due(market_ns)
            if due > self._end:
                self.publish(due)
            elif due < len(self.spool):
                following = int(self._next_block()["ts_recv"][0])
                if following - market_ns > _LONGEST_SILENCE_NS:
                    market_ns = following
            await asyncio.sleep(_TICK_SECONDS)

    def _due(self, market_ns: int) -> int:
        due = self._end
        while True:
            block = self.spool.read(due, due + _BLOCK)
            late = np.flatnonzero(block["ts_recv"] > np.uint64(market_ns))
            if len(late):
                return due + int(late[0])
            due += len(block)
            if len(block) < _BLOCK:
                return due

    def _next_block(self) -> MboArray:
        return self.spool.read(self._end, self._end + 1)


def _dbn_files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [*path.glob("*.dbn"), *path.glob("*.dbn.zst")]
            files += sorted(inside, key=lambda found: found.name)
        else:
            files.append(path)
    if not files:
        named = ", ".join(str(path) for path in paths)
        raise ConfigurationError(f"there is no DBN file to serve in {named}")
    return files
