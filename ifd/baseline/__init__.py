"""What a window's pressure usually is: robust statistics of past sessions by time of day."""

from ifd.baseline.builder import BaselineBuilder
from ifd.baseline.lookup import Baselines
from ifd.baseline.statistics import BaselineStat, percentile_rank

__all__ = ["BaselineBuilder", "BaselineStat", "Baselines", "percentile_rank"]
