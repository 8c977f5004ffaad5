"""The caps of the settings, in whole micro-dollars, rounded down, and the purses under them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from sqlalchemy.engine import Engine

from config.settings import BudgetSettings, Settings
from ifd.clock import Clock, SystemClock
from ifd.gateway.historical import HistoricalRequest
from ifd.gateway.historical.quote import MICRO
from models.budget import DatabasePurse
from models.caps import Caps

Bought = Literal["backfill", "history", "definitions"]
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
    return Caps(int(daily * MICRO), int(monthly * MICRO))


def purse_of(
    settings: Settings,
    engine: Engine,
    kind: Bought,
    *,
    requests: Iterable[HistoricalRequest],
    clock: Clock | None = None,
    at_most_micro_dollars: int | None = None,
) -> DatabasePurse:
    """Return the purse that every request for history is paid from, whoever asks.

    Parameters
    ----------
    at_most_micro_dollars : int, optional
        What this purse alone may spend, below the caps of its kind.
    """
    return DatabasePurse(
        engine,
        kind=kind,
        caps=caps_of(settings.budget, kind),
        clock=clock or SystemClock(),
        requests=requests,
        at_most_micro_dollars=at_most_micro_dollars,
        channel=settings.alert_channel,
    )
