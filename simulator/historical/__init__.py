"""The historical API of the local exchange: Databento's own client reaches it over HTTPS.

`library` holds the records of DBN files, `symbols` who is meant, `query` what is asked,
`endpoints` what is answered; `door` stands before all of it: keys, limits, faults, and the count
of what was sent. `server` is the process with its own certificate authority.
"""

from simulator.historical.door import Door, Exchange
from simulator.historical.faults import FAULTS, Faults, parse_fault
from simulator.historical.library import Library
from simulator.historical.limits import Limits
from simulator.historical.prices import DEFAULT_UNIT_PRICES
from simulator.historical.server import HistoricalOptions, HistoricalServer
from simulator.historical.terms import Terms

__all__ = [
    "DEFAULT_UNIT_PRICES",
    "FAULTS",
    "Door",
    "Exchange",
    "Faults",
    "HistoricalOptions",
    "HistoricalServer",
    "Library",
    "Limits",
    "Terms",
    "parse_fault",
]
