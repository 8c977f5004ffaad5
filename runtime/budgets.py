"""The purses of the settings, under their caps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from sqlalchemy.engine import Engine

from config.settings import Settings
from ifd.clock import Clock, SystemClock
from ifd.gateway.historical import HistoricalRequest
from models.budget import DatabasePurse
from runtime.caps import caps_of

Bought = Literal["backfill", "history", "definitions"]


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
