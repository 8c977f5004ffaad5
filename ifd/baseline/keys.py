"""Under which names a baseline is kept: the time of day, the strike itself, its peers, all.

Peers are options of the same right, about as far from the money in standard deviations, and with
about as long to live: what a thin strike usually trades is better told by them than by itself.
"""

from __future__ import annotations

import bisect
import datetime as dt
from functools import lru_cache
from typing import Final

from ifd.pressure import standard_moneyness
from ifd.sessions import MARKET_ZONE
from ifd.symbols import Instrument
from ifd.units import NANOS_PER_SECOND

ALL_OPTIONS: Final = "all"

_NANOS_PER_HOUR: Final = 3_600 * NANOS_PER_SECOND
_NANOS_PER_DAY: Final = 24 * _NANOS_PER_HOUR
_MONEYNESS_EDGES: Final = (-1.5, -0.5, 0.5, 1.5)
_MONEYNESS_NAMES: Final = ("deep-itm", "itm", "atm", "otm", "far-otm")
_LIFE_EDGES_DAYS: Final = (1.0, 7.0, 35.0)
_LIFE_NAMES: Final = ("0d", "1-7d", "8-35d", "36d+")


def time_bucket(ts: int, bucket_ns: int) -> int:
    """Return which step of the New York day a moment lies in.

    Examples
    --------
    >>> time_bucket(1_795_729_500_000_000_000, 30 * 60 * 1_000_000_000)  # 16:45 in New York
    33
    """
    hour, rest = divmod(ts, _NANOS_PER_HOUR)
    return (_new_york_hour(hour) * _NANOS_PER_HOUR + rest) // bucket_ns


@lru_cache(maxsize=4_096)
def _new_york_hour(hour: int) -> int:
    return dt.datetime.fromtimestamp(hour * 3_600, tz=MARKET_ZONE).hour


def bucket_label(bucket: int, bucket_ns: int) -> str:
    """Return the New York time a bucket begins at, as `09:30`."""
    minutes = bucket * bucket_ns // (60 * NANOS_PER_SECOND)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def peer_key(instrument: Instrument, underlying_price: int, ts: int) -> str:
    """Return the name of an option's peers, e.g. `peers:C:otm:1-7d`."""
    moneyness = standard_moneyness(instrument, underlying_price, ts)
    out_of_money = moneyness if instrument.right == "C" else -moneyness
    days = (instrument.expiration_ns - ts) / _NANOS_PER_DAY
    distance = _MONEYNESS_NAMES[bisect.bisect(_MONEYNESS_EDGES, out_of_money)]
    life = _LIFE_NAMES[bisect.bisect(_LIFE_EDGES_DAYS, days)]
    return f"peers:{instrument.right}:{distance}:{life}"
