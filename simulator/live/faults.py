"""The faults a gateway can be told to have, by name, and plans of them.

A fault is written `NAME`, or `NAME:VALUE`, or `NAME:VALUE:AFTER`. With an AFTER it waits in the
plan and strikes one connection, at exactly that many market records after the fault before it (or
after the connection began); without one it strikes every session at once. The faults of connecting
hold for so many connections, or without a number until they are lifted.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

import databento_dbn as dbn

from ifd.errors import ConfigurationError


class FaultName(StrEnum):
    """Every fault there is."""

    CUT = "cut"
    CLOSE = "close"
    HANG = "hang"
    GARBAGE = "garbage"
    TRUNCATE = "truncate"
    SLOW = "slow"
    DUPLICATE = "duplicate"
    ERROR = "error"
    SKIP = "skip"
    REFUSE = "refuse"
    HANG_AT_CONNECT = "hang-at-connect"
    AUTH_FAIL = "auth-fail"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class FaultKind:
    """How a fault is written and what it does; `usual` is its VALUE when none is given."""

    does: str
    value: str | None = None
    usual: float | None = None
    at_connection: bool = False

    def written(self, name: str) -> str:
        """Return the form of the fault, as `slow[:RATE[:AFTER]]`."""
        if self.at_connection:
            return f"{name}[:{self.value}]"
        if self.value is None:
            return f"{name}[:AFTER]"
        if self.usual is None:
            return f"{name}:{self.value}[:AFTER]"
        return f"{name}[:{self.value}[:AFTER]]"


KINDS: Final[dict[FaultName, FaultKind]] = {
    FaultName.CUT: FaultKind("ends the connection with RST; what is on its way is lost"),
    FaultName.CLOSE: FaultKind("ends the connection with FIN and no word"),
    FaultName.HANG: FaultKind("sends nothing more, not even heartbeats, and keeps the socket"),
    FaultName.GARBAGE: FaultKind("sends bytes that are no records, then goes on"),
    FaultName.TRUNCATE: FaultKind("ends with FIN in the middle of a record"),
    FaultName.SLOW: FaultKind("sends no more than so many records a second", "RATE", 1_000),
    FaultName.DUPLICATE: FaultKind(
        "cuts; the next replay begins so many records earlier than asked", "RECORDS", 1_000
    ),
    FaultName.ERROR: FaultKind("sends an error record; then FIN where the code is fatal", "CODE"),
    FaultName.SKIP: FaultKind("never sends so many records, and says so: a hole", "RECORDS", 1_000),
    FaultName.REFUSE: FaultKind(
        "cuts every session and does not listen for so long", "SECONDS", 5.0
    ),
    FaultName.HANG_AT_CONNECT: FaultKind(
        "accepts and never says a byte", "CONNECTIONS", at_connection=True
    ),
    FaultName.AUTH_FAIL: FaultKind("refuses every key", "CONNECTIONS", at_connection=True),
    FaultName.VERSION: FaultKind(
        "announces a newer version of DBN", "CONNECTIONS", at_connection=True
    ),
}
QUICK: Final = ("cut", "close", "garbage", "truncate", "duplicate", "error:6", "refuse:0.2")
"""What a client can recover from without waiting for silence; what random plans are made of."""
_ERROR_CODES: Final = {
    name: int(code)
    for code in dbn.ErrorCode.variants()
    for name in (str(code), str(code).replace("_", "-"), str(int(code)))
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    `value` is what its kind says: seconds, records, a rate, an error code, a number of connections
    (None: every one until lifted). `after` is how many market records are sent first; None: none,
    and on every session.
    """

    name: FaultName
    value: float | None = None
    after: int | None = None

    @property
    def at_connection(self) -> bool:
        """True for the faults of connecting."""
        return KINDS[self.name].at_connection

    @property
    def standing(self) -> bool:
        """True when it holds until it is lifted."""
        return self.at_connection and self.value is None

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Return the fault that `text` says.

        Raises
        ------
        ConfigurationError
            If there is no such fault, or its parameters are not what it takes.
        """
        word, *parameters = text.strip().split(":")
        name = fault_name(word)
        kind = KINDS[name]
        try:
            return _fault_of(name, kind, parameters)
        except ValueError:
            raise ConfigurationError(
                f"{text!r} is not how a fault is written: {kind.written(name)}"
            ) from None


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Faults that strike one after the other, each once its `after` is reached.

    A connection that a fault has ended is followed by the client's next one, which goes on with
    the plan; when it is used up, nothing fails any more.
    """

    faults: tuple[Fault, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> FaultPlan:
        """Return the plan of faults as they are written; one without AFTER strikes before any."""
        return cls(tuple(Fault.parse(text) for text in texts))

    @classmethod
    def random(
        cls, seed: int, *, records: int, count: int, choices: Sequence[str] = QUICK
    ) -> FaultPlan:
        """Return `count` faults at random points of `records` market records.

        All of them strike before so many records have been sent, those sent again counted too.

        Parameters
        ----------
        seed : int
            The same seed gives the same plan.
        choices : sequence of str
            What may strike, written without AFTER.
        """
        chance = random.Random(seed)  # noqa: S311 - a test's dice
        points = [0, *sorted(chance.sample(range(1, records), count))]
        faults = []
        for before, point in pairwise(points):
            fault = Fault.parse(chance.choice(choices))
            faults.append(Fault(fault.name, fault.value, point - before))
        return cls(tuple(faults))


def fault_name(word: str) -> FaultName:
    """Return the fault of that name.

    Raises
    ------
    ConfigurationError
        If there is none; the text lists those there are.
    """
    try:
        return FaultName(word)
    except ValueError:
        raise ConfigurationError(
            f"there is no fault {word!r}; choose one of {', '.join(FaultName)}"
        ) from None


def describe_faults() -> list[tuple[str, str]]:
    """Return, for each fault, how it is written and what it does."""
    return [(kind.written(name), kind.does) for name, kind in KINDS.items()]


def _fault_of(name: FaultName, kind: FaultKind, parameters: list[str]) -> Fault:
    value = kind.usual
    if kind.value is not None and parameters:
        value = _value_of(kind.value, parameters.pop(0))
    elif kind.value == "CODE":
        raise ValueError
    after = None
    if parameters and not kind.at_connection:
        after = _count_of(parameters.pop(0), least=0)
    if parameters:
        raise ValueError
    return Fault(name, value, after)


def _value_of(meaning: str, text: str) -> float:
    if meaning == "CODE":
        if text.lower() not in _ERROR_CODES:
            raise ValueError
        return _ERROR_CODES[text.lower()]
    if meaning != "SECONDS":
        return _count_of(text, least=1)
    if not 0.0 <= (seconds := float(text)) < 86_400.0:
        raise ValueError
    return seconds


def _count_of(text: str, *, least: int) -> int:
    # int() would also take a sign, blanks and underscores.
    if not (text.isascii() and text.isdecimal()) or int(text) < least:
        raise ValueError
    return int(text)
