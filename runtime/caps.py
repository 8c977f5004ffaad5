"""The caps of the settings, in whole micro-dollars, rounded down."""

from __future__ import annotations

from typing import Final, Literal

from config.settings import BudgetSettings
from ifd.units import MICRO_DOLLARS
from models.caps import Caps

Kind = Literal["streaming", "backfill", "history", "definitions"]
KINDS: Final[tuple[Kind, ...]] = ("streaming", "backfill", "history", "definitions")


def caps_of(budget: BudgetSettings, kind: Kind) -> Caps:
    """Return what a kind of spending may commit."""
    dollars = {
        "streaming": (budget.streaming_daily, budget.streaming_monthly),
        "backfill": (budget.backfill_daily, budget.backfill_monthly),
        "history": (budget.history_daily, budget.history_monthly),
        "definitions": (budget.definitions_daily, budget.definitions_monthly),
    }
    daily, monthly = dollars[kind]
    return Caps(int(daily * MICRO_DOLLARS), int(monthly * MICRO_DOLLARS))
