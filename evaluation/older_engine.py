"""The older engine's scoring (IFD v3 as it ran), restated from its formulas as a peer.

Its faults are kept, for they are what is compared with: the ratio is infinite where nobody sold,
the current window enters its own baseline before it is judged, a strike's day is its last window,
selling is never an anomaly by size, coordination and vol-crush are constants, and the confidence
cannot exceed 0.71. Two things it left open are settled here: an infinite ratio is stored as
`INFINITE`, and the measurement confidence is 1.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import statistics
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Final

from evaluation.matching import Alert
from ifd.symbols import DatedInstruments, Instrument
from ifd.units import NANOS_PER_MINUTE
from ifd.windows import PressureWindow

WINDOW_NS: Final = 5 * NANOS_PER_MINUTE
INFINITE: Final = 1_000.0
"""What a ratio without sells is stored as; every formula caps far below."""
_FEWEST_DAYS: Final = 5
_MOST_DAYS: Final = 20
_UNKNOWN: Final = (1.5, 0.5, {50: 1.5, 75: 2.0, 90: 3.0, 95: 4.0, 99: 6.0}, 0.0)
"""Mean, standard deviation, percentiles and quality where fewer than five days are known."""
_PERCENTS: Final = (10, 25, 50, 75, 90, 95, 99)
_COORDINATION: Final = 0.6
_VOL_CRUSH: Final = 0.1


@dataclasses.dataclass(slots=True)
class Pressure:
    """Five minutes of one option; sizes without a side are dropped."""

    instrument: Instrument
    start: int
    session_date: str
    asked: int = 0
    bid: int = 0

    @property
    def volume(self) -> int:
        """Lots with a side."""
        return self.asked + self.bid

    @property
    def ratio(self) -> float:
        """Bought over sold lots."""
        if not self.volume:
            return 1.0
        return self.asked / self.bid if self.bid else INFINITE

    @property
    def side(self) -> str:
        """BUY above 60 % bought, SELL below 40 %, else NEUTRAL."""
        share = self.asked / self.volume if self.volume else 0.5
        return "BUY" if share > 0.6 else "SELL" if share < 0.4 else "NEUTRAL"


class OlderEngine:
    """Takes in the closed windows of sessions in order, and gives an alert for each five minutes.

    What it learns from one session it keeps for the next, as its table did.
    """

    def __init__(self, instruments: DatedInstruments) -> None:
        self._instruments = instruments
        self._open: dict[int, Pressure] = {}
        self._days: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._ratios: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=3))
        self._strike: defaultdict[tuple[str, float | None, int], deque[Pressure]] = defaultdict(
            lambda: deque(maxlen=10)
        )

    def update(self, windows: Iterable[PressureWindow]) -> Iterator[Alert]:
        """Yield an alert for every five minutes of an option that has a side."""
        for window in windows:
            start = window.window_start - window.window_start % WINDOW_NS
            yield from self._close(before=start)
            instrument = self._instruments.get(window.instrument_id, window.session_date)
            if instrument is None or not instrument.is_option:
                continue
            if not window.buy_volume + window.sell_volume:
                continue
            pressure = self._open.get(window.instrument_id)
            if pressure is None:
                pressure = Pressure(instrument, start, window.session_date)
                self._open[window.instrument_id] = pressure
            pressure.asked += window.buy_volume
            pressure.bid += window.sell_volume
        yield from self._close(before=2**63)

    def _close(self, *, before: int) -> Iterator[Alert]:
        for key in [key for key, each in self._open.items() if each.start < before]:
            pressure = self._open.pop(key)
            confidence = self._judge(pressure)
            if pressure.side != "NEUTRAL":
                yield Alert(key, pressure.side, pressure.start + WINDOW_NS, confidence)

    def _judge(self, pressure: Pressure) -> float:
        name = pressure.instrument.raw_symbol
        self._days[name][pressure.session_date] = pressure.ratio
        ratios = self._ratios[name]
        ratios.append(pressure.ratio)
        place = (
            pressure.instrument.asset,
            pressure.instrument.strike,
            pressure.instrument.expiration_ns,
        )
        self._strike[place].append(pressure)
        maker = maker_score(self._strike[place])
        baseline = baseline_confidence(self._days[name], pressure)
        return confidence_of(raw_confidence(pressure, list(ratios)), baseline, maker)


def raw_confidence(pressure: Pressure, ratios: list[float]) -> float:
    """Return the older engine's confidence from pressure alone; `ratios` are the last three."""
    significance = (
        0.5 * min(pressure.ratio / 10.0, 1.0) + 0.3 * min(pressure.volume / 1000.0, 1.0) + 0.2
    )
    if len(ratios) < 2:
        trend = persistence = 0.5
    else:
        trend = min(abs(ratios[-1] - ratios[0]) / (len(ratios) - 1), 1.0)
        persistence = sum(ratio >= 2.0 for ratio in ratios) / len(ratios)
    dominant = max(pressure.asked, pressure.bid) / pressure.volume
    concentration = max(0.0, 2.0 * (dominant - 0.5))
    return 0.4 * significance + 0.3 * trend + 0.2 * concentration + 0.1 * persistence


def baseline_confidence(days: dict[str, float], pressure: Pressure) -> float:
    """Return what the older engine's baseline adds: 0.5 without an anomaly."""
    newest = sorted(days)[-_MOST_DAYS:]
    mean, deviation, percentiles, quality = _statistics([days[day] for day in newest], newest[-1])
    zscore = (pressure.ratio - mean) / deviation if deviation else 0.0
    rank = next((p for p, value in percentiles.items() if pressure.ratio <= value), 99)
    if abs(zscore) < 2.0 and rank < 95:
        return 0.5
    return (0.5 * min(abs(zscore) / 4.0, 1.0) + 0.5 * rank / 100.0) * quality


def maker_score(windows: Iterable[Pressure]) -> float:
    """Return the older engine's market-maker score of a strike's last ten windows."""
    calls = [each for each in windows if each.instrument.right == "C"]
    puts = [each for each in windows if each.instrument.right == "P"]
    call_lots, put_lots = (sum(each.volume for each in side) for side in (calls, puts))
    if not call_lots + put_lots:
        return 0.0
    balance = 2.0 * min(call_lots, put_lots) / (call_lots + put_lots)
    together = 0.0
    if calls and puts:
        together = 1.0 - min(abs(calls[-1].start - puts[-1].start) / WINDOW_NS, 1.0)
    return 0.7 * (0.7 * balance + 0.3 * together) + 0.3 * _VOL_CRUSH


def confidence_of(raw: float, baseline: float, maker: float) -> float:
    """Return the older engine's final confidence.

    Examples
    --------
    >>> round(confidence_of(1.0, 1.0, 0.0), 3)
    0.712
    """
    confidence = (0.4 * raw + 0.3 * baseline) * (1.0 - 0.2 * maker) + 0.1 * (0.2 * _COORDINATION)
    return min(max(confidence, 0.0), 1.0)


def _statistics(ratios: list[float], today: str) -> tuple[float, float, dict[int, float], float]:
    if len(ratios) < _FEWEST_DAYS:
        return _UNKNOWN
    ordered = sorted(ratios)
    percentiles = {p: ordered[min(len(ordered) * p // 100, len(ordered) - 1)] for p in _PERCENTS}
    # Its quality was by the day of the month, whatever that was meant to say.
    expected = min(_MOST_DAYS, max(dt.date.fromisoformat(today).day - 1, 1))
    quality = min(len(ratios) / expected, 1.0)
    return statistics.fmean(ratios), statistics.pstdev(ratios), percentiles, quality
