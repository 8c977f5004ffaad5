"""Follow a child's log file and pick out what people must see, at a bounded rate.

The full log stays in its file. Only warnings and worse go on, because every line sent to Prefect
costs a request and a row in its database.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_SERIOUS: Final = re.compile(
    r'\[(?:warning|error|critical)\s*\]|"level":\s*"(?:warning|error|critical)"'
    r"|\b(?:WARNING|ERROR|CRITICAL)\b|^Traceback |^\w*(?:Error|Exception)\b"
)


class LogTail:
    """Reads what was appended since the last call; a file that is not there yet is empty."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0
        self._partial = b""

    def read_lines(self) -> list[str]:
        """Return the whole lines that are new, without their line ends."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except FileNotFoundError:
            return []
        self._position += len(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        return [line.decode(errors="replace") for line in lines if line.strip()]


def serious(lines: Iterable[str]) -> list[str]:
    """Return the lines that report a warning or worse."""
    return [line for line in lines if _SERIOUS.search(line)]


def last_line(path: Path) -> str | None:
    """Return the last line of a log that says something, or None."""
    lines = LogTail(path).read_lines()
    return lines[-1].strip() if lines else None


class LineBudget:
    """Lets a few lines through each period and counts the rest."""

    def __init__(self, lines_per_period: int) -> None:
        self.lines_per_period = lines_per_period
        self.held_back = 0
        self._left = lines_per_period

    def take(self, lines: list[str]) -> list[str]:
        """Return those of `lines` that still fit into this period."""
        passed = lines[: self._left]
        self._left -= len(passed)
        self.held_back += len(lines) - len(passed)
        return passed

    def renew(self) -> int:
        """Begin a new period; return how many lines the last one held back."""
        held_back, self.held_back = self.held_back, 0
        self._left = self.lines_per_period
        return held_back
