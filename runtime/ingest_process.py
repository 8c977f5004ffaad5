"""The stream's hold on the process that reads the socket: start it, take from it, end it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from ifd.errors import IngestLostError
from ifd.gateway import RingMemory, RingReader
from ifd.source import Item
from ifd.units import NANOS_PER_MILLISECOND
from runtime.children import tie_to_parent
from runtime.ingest import KEY_VARIABLE, IngestOrder

log = structlog.get_logger("stream")

COMMAND: Final = (sys.executable, "-m", "runtime.ingest")
END_SECONDS: Final = 10.0
"""The ring is drained and the archive closed when it is waited for: it only has to exit."""


class IngestProcess:
    """The child and the ring between it and us.

    Parameters
    ----------
    order : IngestOrder
        Its `descriptors` are filled in here.
    queue_events : int
        Events the ring holds at most.
    """

    def __init__(
        self,
        order: IngestOrder,
        *,
        key: str,
        queue_events: int,
        environment: Mapping[str, str] | None = None,
        log_file: Path | None = None,
    ) -> None:
        self.memory = RingMemory(queue_events)
        self._reader = RingReader(self.memory)
        self._stopping = False
        descriptors = tuple(self.memory.descriptors)
        given = {**os.environ, **(environment or {}), KEY_VARIABLE: key}
        with contextlib.ExitStack() as files:
            output = None if log_file is None else files.enter_context(log_file.open("ab"))
            self._process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=given,
                pass_fds=descriptors,
                start_new_session=True,
                preexec_fn=tie_to_parent,
            )
        self.memory.leave_writing_to_other()
        assert self._process.stdin is not None
        filled = dataclasses.replace(order, descriptors=descriptors)
        with contextlib.suppress(BrokenPipeError), self._process.stdin as wire:
            wire.write(filled.to_json().encode() + b"\n")

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def get(self, max_records: int) -> list[Item]:
        """Return what the child brought, as `RingReader.get`; empty once it has ended well.

        Raises
        ------
        IngestLostError
            If it ended without a word.
        """
        try:
            return await self._reader.get(max_records)
        except IngestLostError:
            if self._stopping and self._process.wait() == -signal.SIGTERM:
                return []  # asked to stop before it had begun to listen
            log.warning("ingest is gone", pid=self.pid, exit_code=self._process.poll())
            raise

    def metrics(self) -> dict[str, int]:
        """Return what a health sample says of the queue, by name."""
        memory = self.memory
        return {
            "queue_depth": self._reader.depth + memory["spill_depth"],
            "queue_high_water": memory["high_water"],
            "queue_pauses": memory["pauses"],
            "queue_waited_ms": memory["waited_ns"] // NANOS_PER_MILLISECOND,
            "spilled": memory["spilled"],
            "spill_depth": memory["spill_depth"],
            "spill_high_water_bytes": memory["spill_high_water_bytes"],
        }

    def stop(self) -> None:
        """Ask it to close the connection; what it has brought can still be taken."""
        self._stopping = True
        if self._process.poll() is None:
            self._process.terminate()

    def end(self) -> None:
        """See that it is gone, and let go of the ring."""
        self.stop()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("ingest does not end: killed", pid=self.pid)
            self._process.kill()
            self._process.wait()
        self._reader.close()
        self.memory.close()
