"""History from the provider: quoted first, paid within a purse, in slices that are kept for good.

`request` says what is wanted and how it is cut, `quote` what it costs, `purse` who may spend;
`client` speaks to the provider (pacing, retries, errors), `download` gets one slice, `verify` looks
at what came, `source` is what the rest of the project calls.
"""

from __future__ import annotations

from ifd.gateway.historical.client import Patience
from ifd.gateway.historical.purse import CappedPurse, Purse
from ifd.gateway.historical.quote import Quote
from ifd.gateway.historical.request import HistoricalRequest
from ifd.gateway.historical.source import DayCondition, Fetched, HistoricalSource, Progress

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
