"""The truth about what was planted, institutional or not: who did what, where, when, how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Side = Literal["BUY", "SELL"]


@dataclass(frozen=True, slots=True)
class Leg:
    """One instrument of an episode, and what is done in it: BUY or SELL."""

    instrument_id: int
    raw_symbol: str
    side: Side


@dataclass(frozen=True, slots=True)
class Episode:
    """The truth about one planted flow.

    Times are `ts_event` of its first and last trade; of a confounder that need not trade, those of
    the first and last thing it does. A confounder without legs is of the whole market.
    """

    episode_id: str
    kind: str
    institutional: bool
    session_date: str
    legs: tuple[Leg, ...]
    start_ns: int
    end_ns: int
    lots: int

    def to_json(self) -> dict[str, Any]:
        """Return the episode as one object of `labels.json`."""
        # Any: strings, numbers and the list of legs.
        return {
            "episode_id": self.episode_id,
            "kind": self.kind,
            "institutional": self.institutional,
            "session_date": self.session_date,
            "legs": [
                {"instrument_id": leg.instrument_id, "raw_symbol": leg.raw_symbol, "side": leg.side}
                for leg in self.legs
            ],
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
            "lots": self.lots,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Episode:
        """Return the episode of one object of `labels.json`."""
        return cls(**{**value, "legs": tuple(Leg(**leg) for leg in value["legs"])})
