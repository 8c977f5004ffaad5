"""Which fault strikes next and which connection it strikes: the state behind a plan of faults.

Each connection burns a fuse of its own: the market records it has been sent since the fault at the
head of the plan became that. Whichever is burnt first is struck, and the next fault moves up.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from ifd.records import MboArray
from simulator.live.faults import Fault, FaultName, FaultPlan

NO_FAULT: Final = 1 << 62
"""More records than anybody is ever sent."""


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that has struck, and how many market records the connection had been sent by then.

    `session_id` is 0 where the fault was asked for everybody at once (`refuse`).
    """

    fault: Fault
    session_id: int
    records: int


@dataclass(frozen=True, slots=True)
class Hole:
    """Places of the source, `start` up to `stop`, that are sent to nobody any more."""

    start: int
    stop: int


class Saboteur:
    """Keeps the plan, what stands until it is lifted, and what has been done so far."""

    def __init__(self, plan: FaultPlan) -> None:
        self.struck: list[Struck] = []
        self.holes: list[Hole] = []
        self.left_out: list[MboArray] = []
        """The records of each hole."""
        self.turn = 0
        """Grows whenever another fault comes to the head of the plan."""
        self._waiting: deque[Fault] = deque()
        self._standing: set[FaultName] = set()
        self._overlap = 0
        for fault in plan.faults:
            self.add(fault)

    @property
    def next_fault(self) -> Fault | None:
        """The fault at the head of the plan."""
        return self._waiting[0] if self._waiting else None

    def add(self, fault: Fault) -> None:
        """Put a fault at the end of the plan; one that stands begins now."""
        if fault.standing:
            self._standing.add(fault.name)
            return
        connections = int(fault.value or 1) if fault.at_connection else 1
        if not self._waiting:
            self.turn += 1
        self._waiting.extend([fault] * connections)

    def lift(self, name: FaultName) -> None:
        """End a standing fault, and take what waits of its name out of the plan."""
        self._standing.discard(name)
        self._waiting = deque(fault for fault in self._waiting if fault.name != name)
        self.turn += 1

    def spoils_connection(self, name: FaultName, session_id: int) -> bool:
        """Return whether this connection gets the fault of connecting `name`."""
        fault = self.next_fault
        if fault is not None and fault.at_connection and fault.name == name:
            self.note(self.take_next(), session_id, 0)
            return True
        return name in self._standing

    def leave_out(self, start: int, stop: int) -> None:
        """Make a hole of these places, or the last hole longer where they continue it."""
        if self.holes and self.holes[-1].stop == start:
            start = self.holes.pop().start
        self.holes.append(Hole(start, stop))

    def whole_until(self, place: int) -> tuple[int, bool]:
        """Return where the hole that `place` lies in ends and True, else where the next begins."""
        for hole in self.holes:
            if hole.start <= place < hole.stop:
                return hole.stop, True
        ahead = [hole.start for hole in self.holes if hole.start > place]
        return min(ahead, default=NO_FAULT), False

    def note(self, fault: Fault, session_id: int, records: int) -> None:
        """Remember that a fault has struck."""
        self.struck.append(Struck(fault, session_id, records))

    def overlap_next_replay(self, records: int) -> None:
        """Let the next replay begin earlier than it is asked for."""
        self._overlap = records

    def take_overlap(self) -> int:
        """Return how many records earlier a replay shall begin; the one after it does not."""
        overlap, self._overlap = self._overlap, 0
        return overlap

    def take_next(self) -> Fault:
        """Take the fault at the head of the plan out of it."""
        self.turn += 1
        return self._waiting.popleft()


class Fuse:
    """Counts one connection's market records towards the fault at the head of the plan."""

    def __init__(self, saboteur: Saboteur) -> None:
        self.records = 0
        self._saboteur = saboteur
        self._turn = saboteur.turn
        self._begun = 0

    @property
    def left(self) -> int:
        """How many records may be sent before the next fault."""
        self._look()
        fault = self._saboteur.next_fault
        if fault is None or fault.at_connection:
            return NO_FAULT
        return max((fault.after or 0) - (self.records - self._begun), 0)

    def burn(self, records: int) -> None:
        """Count records that have been sent."""
        self._look()
        self.records += records

    def take(self) -> Fault | None:
        """Return the fault that strikes now, if one does."""
        return self._saboteur.take_next() if self.left == 0 else None

    def _look(self) -> None:
        if self._turn != self._saboteur.turn:
            self._turn, self._begun = self._saboteur.turn, self.records
