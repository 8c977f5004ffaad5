"""The simple detectors that ours must beat, on the same closed windows.

None of them knows the chain, the makers or the time of day. Each gives a score for every window
that holds anything of note; the threshold is chosen on validation seeds. The re-statement of the
older engine is in `evaluation.older_engine`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from evaluation.matching import Alert
from ifd.windows import PressureWindow

FEWEST_LOTS: Final = 10
"""Windows with fewer lots are not even looked at."""
_REMEMBERED: Final = 60
"""Windows behind the rolling z-score, silent ones included: an hour."""


def volume_spike(windows: Iterable[PressureWindow]) -> Iterator[Alert]:
    """Score a window by its volume alone: whatever is large is an institution."""
    for window in windows:
        volume = window.buy_volume + window.sell_volume
        signed = window.buy_volume - window.sell_volume
        if volume >= FEWEST_LOTS and signed:
            yield _alert(window, signed, float(volume))


def rolling_zscore(windows: Iterable[PressureWindow]) -> Iterator[Alert]:
    """Score a window by its signed volume against the hour before it, in standard deviations."""
    history: dict[int, deque[tuple[int, int]]] = {}
    for window in windows:
        signed = window.buy_volume - window.sell_volume
        past = history.setdefault(window.instrument_id, deque())
        length = window.window_end - window.window_start
        while past and past[0][0] < window.window_start - _REMEMBERED * length:
            past.popleft()
        if abs(signed) >= FEWEST_LOTS:
            yield _alert(window, signed, abs(_zscore(signed, [lots for _, lots in past])))
        if signed:
            past.append((window.window_start, signed))


def flow_imbalance(windows: Iterable[PressureWindow]) -> Iterator[Alert]:
    """Score a window by the order-flow imbalance at the touch (Cont, Kukanov, Stoikov 2014)."""
    for window in windows:
        if abs(window.order_flow_imbalance) >= FEWEST_LOTS:
            size = float(abs(window.order_flow_imbalance))
            yield _alert(window, window.order_flow_imbalance, size)


def _zscore(signed: int, past: list[int]) -> float:
    # Windows in which nothing was traded are zeros: they count, but need not be kept.
    mean = sum(past) / _REMEMBERED
    variance = sum(lots * lots for lots in past) / _REMEMBERED - mean * mean
    return (signed - mean) / max(math.sqrt(max(variance, 0.0)), 1.0)


def _alert(window: PressureWindow, signed: int, score: float) -> Alert:
    # A window can only be judged when it has closed.
    side = "BUY" if signed > 0 else "SELL"
    return Alert(window.instrument_id, side, window.window_end, score)


PEERS: Final[dict[str, Callable[[Iterable[PressureWindow]], Iterator[Alert]]]] = {
    "volume spike": volume_spike,
    "rolling z-score": rolling_zscore,
    "order-flow imbalance": flow_imbalance,
}
