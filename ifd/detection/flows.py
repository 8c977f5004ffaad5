"""One flow is one signal: what is held, what was told, and which legs belong together.

A flow is judged from its first lots, and the first slice of a large order is a small order. So a
verdict that one would act on (`CERTAIN`) is given at once, and a lesser one is held for `SETTLE_NS`
of event time: the flow grows into what it is, or is contradicted and forgotten.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Final, NamedTuple

from ifd.signals import Side, Signal
from ifd.units import NANOS_PER_SECOND
from ifd.windows import FAR

SETTLE_NS: Final = 2 * NANOS_PER_SECOND
"""How long a lesser verdict may ripen; slices of one order come within about a second."""
CERTAIN: Final = 0.8
"""The confidence that is not held: that of `VERY_HIGH`."""

FlowKey = tuple[int, Side]
"""Instrument id and side."""


class Held(NamedTuple):
    """A verdict that waits, and until when."""

    due: int
    signal: Signal


class FlowGroups:
    """Gives legs of one flow the same id: same underlying, same direction, close in time.

    The id is a hash of the first leg's own id, so a replay gives the same one. A later leg joins as
    long as the newest one is at most a window's length away.
    """

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._newest: dict[tuple[str, bool], tuple[int, str]] = {}

    def join(self, *, underlying: str, upward: bool, ts: int, first_leg: str) -> str:
        """Return the group of a signal, beginning one when none is near.

        Parameters
        ----------
        upward : bool
            True when the leg gains from a rising underlying.
        first_leg : str
            The signal's own id, from which a new group is named.
        """
        last_ts, group_id = self._newest.get((underlying, upward), (None, ""))
        if last_ts is None or ts - last_ts > self._window_ns:
            group_id = hashlib.sha256(f"group|{first_leg}".encode()).hexdigest()[:16]
        self._newest[underlying, upward] = (ts, group_id)
        return group_id


class FlowLedger:
    """Knows of every flow whether it is held, was told of, or is new."""

    def __init__(self, *, cooldown_ns: int, window_ns: int) -> None:
        self._cooldown_ns = cooldown_ns
        self._groups = FlowGroups(window_ns)
        self._held: dict[FlowKey, Held] = {}
        self._silent_until: dict[FlowKey, int] = {}

    @property
    def due(self) -> int:
        """Event time at which `release` has something to give."""
        return min((held.due for held in self._held.values()), default=FAR)

    def is_told(self, key: FlowKey, ts: int) -> bool:
        """Return True while a signal of this flow is still the newest word."""
        return ts < self._silent_until.get(key, 0)

    def offer(self, signal: Signal) -> Signal | None:
        """Return the signal if it is sure, else hold it; the newest verdict on a window counts."""
        key = (signal.instrument_id, signal.side)
        held = self._held.get(key)
        if signal.confidence >= CERTAIN:
            self._held.pop(key, None)
            return self._tell(signal)
        if held is None:
            self._held[key] = Held(signal.ts_event + SETTLE_NS, signal)
        elif (
            held.signal.window_start == signal.window_start
            or held.signal.confidence < signal.confidence
        ):
            self._held[key] = Held(held.due, signal)
        return None

    def retract(self, key: FlowKey, *, window_start: int) -> None:
        """Forget a held verdict on this window, if there is one: it no longer holds."""
        held = self._held.get(key)
        if held is not None and held.signal.window_start == window_start:
            del self._held[key]

    def release(self, now: int) -> list[Signal]:
        """Return the held signals that have settled by `now`, in the order they were first held."""
        settled = [key for key, held in self._held.items() if held.due <= now]
        return [self._tell(self._held.pop(key).signal) for key in settled]

    def _tell(self, signal: Signal) -> Signal:
        self._silent_until[signal.instrument_id, signal.side] = signal.ts_event + self._cooldown_ns
        group_id = self._groups.join(
            underlying=signal.underlying,
            upward=(signal.right == "C") == (signal.side is Side.BUY),
            ts=signal.ts_event,
            first_leg=signal.signal_id,
        )
        return dataclasses.replace(signal, group_id=group_id)
