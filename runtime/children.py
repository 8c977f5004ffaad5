"""Child processes of `ifd up`: start, wait until ready, notice a death, stop in order.

Each child writes to its own log under `var/log`, dies with its parent (on Linux by
PR_SET_PDEATHSIG, so that a killed `ifd up` leaves nothing behind), and lives in its own process
session, so that Ctrl-C reaches the parent alone and the parent decides the order of stopping.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from ifd.errors import EnvironmentProblemError, PortInUseError

PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None)
"""Loaded before any fork: a child of a threaded process must not load libraries."""
RESTART_WAIT_SECONDS: Final = 2.0
MAX_RESTARTS: Final = 5


def tie_to_parent() -> None:
    """Ask the kernel to send SIGTERM when the parent dies; runs in the child, before exec.

    Python's SIGINT handling is restored as well: a shell that starts us in the background leaves
    it ignored, and ignored signals are inherited.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """What to run: `ready_file` is written by the program once it serves, as a JSON object."""

    name: str
    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    ready_file: Path | None = None
    keep_running: bool = True


class Child:
    """One running program, started again a few times when it dies unasked."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.restarts = 0
        self._dead_since: float | None = None
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        program = self.program
        program.log.parent.mkdir(parents=True, exist_ok=True)
        if program.ready_file is not None:
            program.ready_file.unlink(missing_ok=True)
        with program.log.open("ab") as log:
            return _spawn(program, log)

    @property
    def pid(self) -> int:
        """Process id of the newest start."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code, or None while it runs."""
        return self._process.poll()

    def wait_ready(self, *, timeout_seconds: float) -> dict[str, Any]:
        """Wait for the ready file and return what it says.

        Raises
        ------
        EnvironmentProblemError
            If the program ended or was not ready in time; its last words are quoted.
        """
        assert self.program.ready_file is not None
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if self.program.ready_file.exists():
                ready: dict[str, Any] = json.loads(self.program.ready_file.read_text())
                return ready
            if self.exit_code is not None:
                raise EnvironmentProblemError(f"the {self.program.name} ended: {self.last_words()}")
            time.sleep(0.05)
        raise EnvironmentProblemError(
            f"the {self.program.name} was not ready within {timeout_seconds:.0f} s; "
            f"see {self.program.log}"
        )

    def keep_alive(self) -> str | None:
        """Start the program again when it died unasked; return what to tell the user, or None.

        Raises
        ------
        EnvironmentProblemError
            If it keeps dying.
        """
        if self.exit_code is None or not self.program.keep_running:
            return None
        if self._dead_since is None:
            self._dead_since = time.monotonic()
            if self.restarts >= MAX_RESTARTS:
                raise EnvironmentProblemError(
                    f"the {self.program.name} died {self.restarts + 1} times: {self.last_words()}"
                )
            return f"the {self.program.name} died (exit {self.exit_code}): {self.last_words()}"
        if time.monotonic() - self._dead_since < RESTART_WAIT_SECONDS * 2**self.restarts:
            return None
        self._dead_since = None
        self.restarts += 1
        self._process = self._start()
        return f"the {self.program.name} was started again"

    def stop(self, *, timeout_seconds: float = 10.0) -> None:
        """Send SIGTERM, wait, then kill; nothing happens when it has ended."""
        if self.exit_code is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def last_words(self) -> str:
        """Return the last line of its log that says something."""
        try:
            text = self.program.log.read_text(errors="replace")
        except OSError as error:
            return f"its log cannot be read ({error})"
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else f"no word in {self.program.log}"


def _spawn(program: Program, log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(program.arguments),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **program.environment},
        start_new_session=True,
        preexec_fn=tie_to_parent,
    )


def free_port() -> int:
    """Return a port of this machine that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_free_port(port: int, purpose: str, option: str) -> None:
    """Return when nothing listens on `port` of this machine.

    Raises
    ------
    PortInUseError
        Naming the port, what needs it, and the option that moves it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortInUseError(port, purpose, option) from error
