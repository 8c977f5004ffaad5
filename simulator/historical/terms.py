"""The terms history is given out on: prices, what is licensed, and which days are poor."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from simulator.historical.prices import DEFAULT_UNIT_PRICES

CONDITIONS: Final = ("available", "degraded", "pending", "missing")


@dataclass(frozen=True, slots=True)
class Terms:
    """What does not come from the files.

    Parameters
    ----------
    unit_prices : mapping of str to float
        US dollars a GiB, by schema.
    conditions : mapping of date to str
        Days that are not simply available (or missing, where no file holds them).
    available_until_ns : int or None
        Where the history ends; None: with the last UTC day that a file holds.
    licensed_until_ns : int or None
        Records from here on take a live license, which this account has not.
    """

    unit_prices: Mapping[str, float] = field(default_factory=lambda: DEFAULT_UNIT_PRICES)
    conditions: Mapping[dt.date, str] = field(default_factory=dict)
    available_until_ns: int | None = None
    licensed_until_ns: int | None = None
