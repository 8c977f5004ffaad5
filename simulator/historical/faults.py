"""Faults on demand: what the API shall do wrong, to which requests, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ifd.errors import ConfigurationError

FAULTS: Final = ("403", "422", "429", "500", "504", "timeout", "truncated-body", "slow")
"""Refusals by status; `timeout` never answers; `truncated-body` breaks the connection in the middle
of the body; `slow` answers late and in pieces."""
EVERY: Final = ""


@dataclass(slots=True)
class _Planned:
    name: str
    target: str
    left: int | None


class Faults:
    """The faults in force, oldest first; each request meets at most one."""

    def __init__(self) -> None:
        self._planned: list[_Planned] = []

    def plan(self, name: str, target: str = EVERY, *, count: int | None = None) -> None:
        """Let the next `count` requests (all of them: None) of a target meet a fault.

        Parameters
        ----------
        name : str
            One of `FAULTS`.
        target : str
            A kind (`metadata`), a method (`metadata.get_cost`), or every request.

        Raises
        ------
        ConfigurationError
            If there is no such fault, or `count` is below 1.
        """
        if name not in FAULTS:
            raise ConfigurationError(
                f"there is no fault {name!r}; choose one of {', '.join(FAULTS)}"
            )
        if count is not None and count < 1:
            raise ConfigurationError(f"a fault happens at least once, not {count} times")
        self._planned.append(_Planned(name, target, count))

    def clear(self) -> None:
        """Let everything go well again."""
        self._planned.clear()

    def take(self, method: str) -> str | None:
        """Return the fault that this request meets, and count it."""
        kind = method.partition(".")[0]
        for planned in self._planned:
            if planned.target in (EVERY, kind, method):
                if planned.left is not None:
                    planned.left -= 1
                    if planned.left == 0:
                        self._planned.remove(planned)
                return planned.name
        return None


def parse_fault(text: str) -> tuple[str, str, int | None]:
    """Return name, target and count of `[TARGET/]NAME[:COUNT]`, as the command line writes it.

    >>> parse_fault("metadata.get_cost/429:3")
    ('429', 'metadata.get_cost', 3)

    Raises
    ------
    ConfigurationError
        If the count is no number.
    """
    head, _, count = text.partition(":")
    target, _, name = head.rpartition("/")
    if count and not count.isdecimal():
        raise ConfigurationError(f"{text!r} is no fault: write [TARGET/]NAME[:COUNT]")
    return name, target, int(count) if count else None
