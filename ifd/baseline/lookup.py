"""Baselines at hand while the market runs: a dictionary, no query per event.

A strike's own history is shrunk towards its peers', the less sessions it has the more. What is too
thin says nothing at all, and nothing made from a session speaks for that session or an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ifd.baseline.keys import ALL_OPTIONS, peer_key, time_bucket
from ifd.baseline.statistics import BaselineStat
from ifd.params import BaselineParams
from ifd.sessions import session_date
from ifd.symbols import Instrument

SHRINK_SESSIONS: Final = 5
"""Sessions of its own at which a strike is believed as much as its peers."""


class Baselines:
    """Look-up of baselines by instrument, metric and moment."""

    def __init__(self, stats: Iterable[BaselineStat], params: BaselineParams) -> None:
        self._params = params
        self._stats = {
            (stat.key, stat.metric, stat.bucket): stat
            for stat in stats
            if stat.sessions >= params.min_sessions
        }
        self._shrunk: dict[tuple[str, str, str, int], BaselineStat] = {}

    def __len__(self) -> int:
        return len(self._stats)

    @property
    def as_of(self) -> str | None:
        """Date of the newest session in them, None when there are none."""
        return max((stat.as_of for stat in self._stats.values()), default=None)

    def lookup(
        self, instrument: Instrument, metric: str, ts: int, *, underlying_price: int | None = None
    ) -> BaselineStat | None:
        """Return what `metric` usually is for an option at a moment, or None.

        The strike itself speaks first, shrunk towards its peers; else its peers; else all options.

        Parameters
        ----------
        metric : str
            One of `ifd.pressure.METRICS`.
        ts : int
            Event time, ns UTC; a baseline that holds its session, or a later one, is not shown.
        underlying_price : int, optional
            In 1e-9; without it the peers are all options.
        """
        bucket = time_bucket(ts, self._params.bucket_ns)
        peers_name = (
            ALL_OPTIONS if underlying_price is None else peer_key(instrument, underlying_price, ts)
        )
        own = self._stats.get((instrument.raw_symbol, metric, bucket))
        peers = self._stats.get((peers_name, metric, bucket)) or self._stats.get(
            (ALL_OPTIONS, metric, bucket)
        )
        if own is not None and peers is not None:
            name = (own.key, peers.key, metric, bucket)
            found = self._shrunk.get(name)
            if found is None:
                found = self._shrunk[name] = _shrink(own, peers)
        else:
            found = own or peers
        if found is None or found.as_of >= session_date(ts):
            return None
        return found


def _shrink(own: BaselineStat, peers: BaselineStat) -> BaselineStat:
    """Return `own` drawn towards `peers`, quantile by quantile."""
    weight = own.sessions / (own.sessions + SHRINK_SESSIONS)

    def mix(mine: float, theirs: float) -> float:
        return weight * mine + (1 - weight) * theirs

    return BaselineStat(
        key=own.key,
        metric=own.metric,
        bucket=own.bucket,
        as_of=max(own.as_of, peers.as_of),
        sessions=own.sessions,
        samples=own.samples,
        median=mix(own.median, peers.median),
        mad=mix(own.mad, peers.mad),
        quantiles=tuple(map(mix, own.quantiles, peers.quantiles)),
    )
