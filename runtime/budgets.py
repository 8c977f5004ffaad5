"""The caps of the settings, in whole micro-dollars, rounded down."""

from __future__ import annotations

from typing import Literal

from config.settings import BudgetSettings
from ifd.gateway.historical.quote import MICRO
from models.budget import Caps

Kind = Literal["backfill", "streaming"]


def caps_of(budget: BudgetSettings, kind: Kind) -> Caps:
    """Return what a kind of spending may commit."""
    daily, monthly = (
        (budget.backfill_daily, budget.backfill_monthly)
        if kind == "backfill"
        else (budget.streaming_daily, budget.streaming_monthly)
    )
    return Caps(int(daily * MICRO), int(monthly * MICRO))
