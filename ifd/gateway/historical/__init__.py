"""History from the provider: quoted first, paid within a purse, in slices that are kept for good.

`request` says what is wanted and how it is cut, `purse` who may spend, `client` speaks to the
provider (pacing, retries, errors), `source` is what the rest of the project calls.
"""

from __future__ import annotations

from ifd.gateway.historical.client import Patience
from ifd.gateway.historical.purse import CappedPurse, Purse
from ifd.gateway.historical.request import HistoricalRequest
from ifd.gateway.historical.source import DayCondition, Fetched, HistoricalSource, Progress, Quote

__all__ = [
    "CappedPurse",
    "DayCondition",
    "Fetched",
    "HistoricalRequest",
    "HistoricalSource",
    "Patience",
    "Progress",
    "Purse",
    "Quote",
]
