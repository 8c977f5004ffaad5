"""The caps of the settings, in whole micro-dollars, rounded down."""

from __future__ import annotations

from config.settings import BudgetSettings
from ifd.gateway.historical.quote import MICRO
from models.budget import Caps


def backfill_caps(budget: BudgetSettings) -> Caps:
    """Return what the filling of holes may commit."""
    return Caps(int(budget.backfill_daily * MICRO), int(budget.backfill_monthly * MICRO))
