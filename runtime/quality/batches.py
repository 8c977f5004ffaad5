"""A batch: one small table of measures, which one suite of checks looks at.

A session holds up to a billion records. What is checked is never the records themselves but their
measures, a row a file or instrument, so that a check costs the same on every day.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import pandas as pd

ORDERS: Final = "orders"
ARCHIVE: Final = "archive"
INSTRUMENTS: Final = "instruments"
WINDOWS: Final = "windows"
FLOW: Final = "flow"
BARS: Final = "bars"
BASELINES: Final = "baselines"
SIGNALS: Final = "signals"
COVERAGE: Final = "coverage"
PROVIDER: Final = "provider"
STREAM: Final = "stream"
RAW_SUITES: Final = (ORDERS, ARCHIVE, INSTRUMENTS)
"""Those of what was received; what is learnt from a session rests on these alone."""


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """What one suite looks at.

    `name` is the same each time the same thing is looked at, for that is what lies in quarantine.
    `not_made` says why there is nothing to look at; then `frame` is empty and nothing is judged.
    """

    suite: str
    name: str
    frame: pd.DataFrame
    not_made: str | None = None
