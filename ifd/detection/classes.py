"""From a confidence to words a desk uses: tier, action, pattern, risk, size of a position."""

from __future__ import annotations

from typing import Final

from ifd.signals import Action, Side, Tier

_TIERS: Final = ((0.9, Tier.EXTREME), (0.8, Tier.VERY_HIGH), (0.7, Tier.HIGH))
_MULTIPLIERS: Final = {
    Tier.EXTREME: 3.0,
    Tier.VERY_HIGH: 2.0,
    Tier.HIGH: 1.5,
    Tier.MODERATE: 1.0,
}
_STRONG: Final = {Side.BUY: Action.STRONG_BUY, Side.SELL: Action.STRONG_SELL}
_PLAIN: Final = {Side.BUY: Action.BUY, Side.SELL: Action.SELL}

SWEEP_LEVELS: Final = 2
BLOCK_SHARE: Final = 0.6
"""Share of a flow's lots in one print that makes it a block."""


def tier_of(confidence: float) -> Tier:
    """Return the tier of a confidence that reached the profile's minimum."""
    return next((tier for least, tier in _TIERS if confidence >= least), Tier.MODERATE)


def action_of(tier: Tier, side: Side) -> Action:
    """Return what the signal suggests: to do in this instrument what the institution does."""
    if tier is Tier.EXTREME:
        return _STRONG[side]
    return Action.MONITOR if tier is Tier.MODERATE else _PLAIN[side]


def position_size_multiplier(tier: Tier, *, most: float) -> float:
    """Return the multiplier of the tier, capped by the profile."""
    return min(_MULTIPLIERS[tier], most)


def risk_score(confidence: float, market_making_probability: float) -> float:
    """Return the chance to be wrong: half of the makers' probability comes off the confidence."""
    return 1.0 - confidence * (1.0 - 0.5 * market_making_probability)


def pattern_of(*, side: Side, sweep_levels: int, largest_print: int, volume: int) -> str:
    """Return `sweep`, `block`, `accumulation` or `distribution`."""
    if sweep_levels >= SWEEP_LEVELS:
        return "sweep"
    if largest_print >= BLOCK_SHARE * volume:
        return "block"
    return "accumulation" if side is Side.BUY else "distribution"
