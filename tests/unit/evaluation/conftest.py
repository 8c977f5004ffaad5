"""Episodes and alerts as short as they can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from evaluation.matching import Alert
from ifd.units import NANOS_PER_SECOND
from simulator.market.episodes import Episode, Leg


@pytest.fixture
def episode() -> Callable[..., Episode]:
    """Make an episode from `BUY 1`-like legs and seconds."""

    def make(
        *legs: str, start: float = 0.0, end: float = 10.0, lots: int = 300, kind: str = "sweep",
        institutional: bool = True,
    ) -> Episode:  # fmt: skip
        made: list[Any] = [leg.split() for leg in legs]
        return Episode(
            episode_id=f"{kind}-{start}",
            kind=kind,
            institutional=institutional,
            session_date="2026-10-05",
            legs=tuple(Leg(int(number), f"option {number}", side) for side, number in made),
            start_ns=int(start * NANOS_PER_SECOND),
            end_ns=int(end * NANOS_PER_SECOND),
            lots=lots,
        )

    return make


@pytest.fixture
def alert() -> Callable[..., Alert]:
    """Make an alert from a `BUY 1`-like leg, seconds and a score."""

    def make(leg: str, at: float, score: float = 0.9) -> Alert:
        side, number = leg.split()
        return Alert(int(number), side, int(at * NANOS_PER_SECOND), score)

    return make
