"""Robust statistics of one measure: median, scaled MAD, a grid of quantiles, and a rank in it.

Most windows of most options hold no trade. They are samples all the same, of the value the measure
has when nothing happens, and are given as a count instead of being listed.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

QUANTILE_POINTS: Final = 21
"""0, 5, … 100 %."""
MAD_TO_DEVIATION: Final = 1.4826
"""The standard deviation of a normal distribution in units of its MAD."""


@dataclasses.dataclass(frozen=True, slots=True)
class BaselineStat:
    """What one measure of one instrument, or of its peers, usually is at a time of day.

    Attributes
    ----------
    key : str
        Raw symbol, `peers:…` or `all`.
    metric : str
        One of `ifd.pressure.METRICS`.
    bucket : int
        Time of day in New York, in steps of the profile's bucket length.
    as_of : str
        Date of the newest session in it: it speaks for sessions after that one only.
    sessions, samples : int
        Sessions and windows it was made of, those without trades included.
    median, mad : float
        `mad` is scaled to a standard deviation.
    quantiles : tuple of float
        `QUANTILE_POINTS` values, 0 to 100 %.
    """

    key: str
    metric: str
    bucket: int
    as_of: str
    sessions: int
    samples: int
    median: float
    mad: float
    quantiles: tuple[float, ...]


class Summary(NamedTuple):
    """Median, scaled MAD and quantile grid."""

    median: float
    mad: float
    quantiles: tuple[float, ...]


def summarise(values: npt.NDArray[np.float64], *, quiet_value: float, quiet_count: int) -> Summary:
    """Return the statistics of `values` and of `quiet_count` more samples of `quiet_value`.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Samples that were seen, in any order; `n + quiet_count` must be at least 1.

    Examples
    --------
    >>> summarise(np.array([10.0]), quiet_value=0.0, quiet_count=3).median
    0.0
    """
    grid = np.linspace(0.0, 1.0, QUANTILE_POINTS)
    quantiles = _quantiles(np.sort(values), quiet_value, quiet_count, grid)
    median = float(quantiles[QUANTILE_POINTS // 2])
    deviations = np.sort(np.abs(values - median))
    half = np.array([0.5])
    mad = float(_quantiles(deviations, abs(quiet_value - median), quiet_count, half)[0])
    return Summary(median, MAD_TO_DEVIATION * mad, tuple(quantiles.tolist()))


def _quantiles(
    ascending: npt.NDArray[np.float64],
    quiet_value: float,
    quiet_count: int,
    shares: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return linearly interpolated quantiles as if the quiet samples stood in their place."""
    before = int(np.searchsorted(ascending, quiet_value))
    padded = np.append(ascending, quiet_value)  # so that an empty array can be indexed
    position = shares * (len(ascending) + quiet_count - 1)
    low = np.floor(position).astype(np.int64)
    high = np.ceil(position).astype(np.int64)

    def sample(index: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        shifted = np.where(index < before, index, np.maximum(index - quiet_count, 0))
        quiet = (index >= before) & (index < before + quiet_count)
        return np.where(quiet, quiet_value, padded[shifted])

    below = sample(low)
    return below + (sample(high) - below) * (position - low)


def percentile_rank(value: float, quantiles: Sequence[float]) -> float:
    """Return the share of past windows that were weaker than `value`; ties count half.

    Parameters
    ----------
    quantiles : sequence of float
        An ascending grid in equal steps from 0 to 100 %.

    Examples
    --------
    >>> percentile_rank(5.0, [0.0, 0.0, 0.0, 10.0, 20.0])  # halfway from 50 to 75 %
    0.625
    >>> percentile_rank(0.0, [0.0, 0.0, 0.0, 10.0, 20.0])  # half of the zeros are weaker
    0.25
    """
    first = bisect.bisect_left(quantiles, value)
    after = bisect.bisect_right(quantiles, value)
    last = len(quantiles) - 1
    if first == after:
        if first == 0:
            return 0.0
        if first > last:
            return 1.0
        low, high = quantiles[first - 1], quantiles[first]
        return (first - 1 + (value - low) / (high - low)) / last
    return (first + after - 1) / 2 / last
