"""What the world sees: a signal is a fact that never changes once emitted."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from typing import Any


class Side(enum.StrEnum):
    """What the institution does in this instrument."""

    BUY = "BUY"
    SELL = "SELL"


class Tier(enum.StrEnum):
    """How sure a signal is, in words."""

    EXTREME = "EXTREME"
    VERY_HIGH = "VERY_HIGH"
    HIGH = "HIGH"
    MODERATE = "MODERATE"


class Action(enum.StrEnum):
    """What the signal suggests."""

    STRONG_BUY = "STRONG_BUY"
    BUY = "BUY"
    STRONG_SELL = "STRONG_SELL"
    SELL = "SELL"
    MONITOR = "MONITOR"


@dataclasses.dataclass(frozen=True, slots=True)
class Signal:
    """One flow judged institutional in one instrument.

    Times are integer nanoseconds UTC, `strike` is in points, `volume` in lots; probabilities and
    ranks are 0..1. `baseline_zscore` and `percentile_rank` are None where no baseline exists.
    """

    signal_id: str
    ts_event: int
    ts_recv: int
    session_date: str
    instrument_id: int
    raw_symbol: str
    underlying: str
    expiration: str
    strike: float
    right: str
    side: Side
    pattern: str
    confidence: float
    tier: Tier
    action: Action
    pressure_ratio: float
    baseline_zscore: float | None
    percentile_rank: float | None
    market_making_probability: float
    coordination: float
    volume: int
    price: int
    underlying_price: int | None
    window_start: int
    window_end: int
    risk_score: float
    position_size_multiplier: float
    why: tuple[str, ...]
    factors: dict[str, float]
    profile: str
    model_version: str
    params_fingerprint: str
    group_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the signal as the JSON object of the design's contract, `why` as a list."""
        body = dataclasses.asdict(self)
        body["why"] = list(self.why)
        for name in ("side", "tier", "action"):
            body[name] = body[name].value
        return body


def signal_id(
    *, params_fingerprint: str, session_date: str, instrument_id: int, side: Side, ts_event: int
) -> str:
    """Return the same id for the same flow, parameters and event: 16 hex digits."""
    text = f"{params_fingerprint}|{session_date}|{instrument_id}|{side}|{ts_event}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
