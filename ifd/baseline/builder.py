"""Baselines from the closed windows of past sessions.

Windows are kept as columns of machine numbers, 40 bytes each. An option without a window was not
idle but silent: for each window of the market (any instrument had one) in which it was listed, a
quiet sample is counted, so that a percentile is a share of all windows and not of the loud ones.
Windows in which nothing at all was recorded, of a file that covers an hour, count nowhere.

Which peers an option has is settled once per session and time of day, by the underlying's first mid
in it.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ifd.baseline.keys import ALL_OPTIONS, peer_key, time_bucket
from ifd.baseline.statistics import BaselineStat, summarise
from ifd.params import BaselineParams
from ifd.pressure import METRICS, PRESSURE_RATIO, measure
from ifd.symbols import DatedInstruments, Instrument
from ifd.windows import PressureWindow

_QUIET: Final = tuple(1.0 if metric == PRESSURE_RATIO else 0.0 for metric in METRICS)


class _Block(NamedTuple):
    """A time of day of one session."""

    session: str
    bucket: int


class _Span:
    """How much was watched under one key at one time of day."""

    __slots__ = ("sessions", "windows")

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.windows = 0


_Spans = defaultdict[tuple[str, int], _Span]


class BaselineBuilder:
    """Takes in closed windows of whole sessions, in any order, and gives their statistics."""

    def __init__(self, params: BaselineParams, instruments: DatedInstruments) -> None:
        self._params = params
        self._instruments = instruments
        self._market_windows: defaultdict[_Block, set[int]] = defaultdict(set)
        # The first mid of each future in a block: when, and how much.
        self._mids: defaultdict[_Block, dict[str, tuple[int, int]]] = defaultdict(dict)
        self._seen: defaultdict[str, set[int]] = defaultdict(set)
        # One row per window of an option that was not quiet.
        self._blocks: dict[_Block, int] = {}
        self._names: dict[str, int] = {}
        self._block_column = array("i")
        self._name_column = array("i")
        self._value_columns = tuple(array("d") for _ in METRICS)

    def add(self, window: PressureWindow) -> None:
        """Take in a closed window; futures say where the money is, options are what is measured."""
        instrument = self._instruments.get(window.instrument_id, window.session_date)
        if instrument is None:
            return
        bucket = time_bucket(window.window_start, self._params.bucket_ns)
        block = _Block(window.session_date, bucket)
        self._market_windows[block].add(window.window_start)
        if instrument.is_future:
            self._note_mid(block, window)
        if not instrument.is_option:
            return
        self._seen[window.session_date].add(instrument.instrument_id)
        values = measure(window)
        if values == _QUIET:
            return
        self._block_column.append(self._blocks.setdefault(block, len(self._blocks)))
        self._name_column.append(self._names.setdefault(instrument.raw_symbol, len(self._names)))
        for column, value in zip(self._value_columns, values, strict=True):
            column.append(value)

    @property
    def sessions(self) -> list[str]:
        """Dates of the sessions that count: the newest ones, as many as the profile says."""
        dates = {block.session for block in self._market_windows}
        return sorted(dates)[-self._params.sessions :]

    def build(self) -> list[BaselineStat]:
        """Return the statistics of every key, metric and time of day; none without a session."""
        sessions = self.sessions
        if not sessions:
            return []
        peers, spans = self._listings(set(sessions))
        stats = []
        for key, bucket, rows in self._groups(peers, set(sessions)):
            span = spans[key, bucket]
            quiet_count = max(0, span.windows - len(rows))
            for metric, column, quiet in zip(METRICS, self._value_columns, _QUIET, strict=True):
                values = np.frombuffer(column, dtype=np.float64)[rows]
                summary = summarise(values, quiet_value=quiet, quiet_count=quiet_count)
                stats.append(
                    BaselineStat(
                        key=key,
                        metric=metric,
                        bucket=bucket,
                        as_of=sessions[-1],
                        sessions=len(span.sessions),
                        samples=quiet_count + len(rows),
                        median=summary.median,
                        mad=summary.mad,
                        quantiles=summary.quantiles,
                    )
                )
        return stats

    def _note_mid(self, block: _Block, window: PressureWindow) -> None:
        mids = self._mids[block]
        first = mids.get(window.raw_symbol)
        if window.mid_close is not None and (first is None or window.window_start < first[0]):
            mids[window.raw_symbol] = (window.window_start, window.mid_close)

    def _listings(self, sessions: set[str]) -> tuple[dict[tuple[int, int], str], _Spans]:
        """Walk through time: who was listed in each block, among which peers, for how long."""
        peers: dict[tuple[int, int], str] = {}
        spans: _Spans = defaultdict(_Span)
        prices: dict[str, int] = {}
        listed = {session: self._listed(session) for session in sessions}
        blocks = [block for block in self._market_windows if block.session in sessions]
        for block in sorted(blocks, key=lambda block: min(self._market_windows[block])):
            starts = self._market_windows[block]
            prices |= {symbol: mid for symbol, (_, mid) in self._mids[block].items()}
            block_index = self._blocks.get(block, -1)
            for instrument in listed[block.session]:
                if instrument.expiration_ns <= min(starts):
                    continue
                keys = [instrument.raw_symbol, ALL_OPTIONS]
                price = prices.get(instrument.underlying)
                if price is not None:
                    keys.append(peer_key(instrument, price, min(starts)))
                    name_index = self._names.get(instrument.raw_symbol, -1)
                    peers[name_index, block_index] = keys[-1]
                for key in keys:
                    span = spans[key, block.bucket]
                    span.windows += len(starts)
                    span.sessions.add(block.session)
        return peers, spans

    def _listed(self, session: str) -> list[Instrument]:
        """Return the options defined by the session's date, and those that were seen in it."""
        seen = self._seen[session]
        return [
            instrument
            for instrument in self._instruments.of_session(session)
            if instrument.is_option
            and (instrument.session_date <= session or instrument.instrument_id in seen)
        ]

    def _groups(
        self, peers: dict[tuple[int, int], str], sessions: set[str]
    ) -> Iterator[tuple[str, int, npt.NDArray[np.int64]]]:
        """Yield each key and bucket with the rows that belong to it."""
        blocks, names = list(self._blocks), list(self._names)
        counted = np.array([block.session in sessions for block in blocks], dtype=np.bool_)
        bucket_of = np.array([block.bucket for block in blocks], dtype=np.int64)
        block = np.frombuffer(self._block_column, dtype=np.intc).astype(np.int64)
        name = np.frombuffer(self._name_column, dtype=np.intc).astype(np.int64)
        rows = np.flatnonzero(counted[block]) if blocks else np.empty(0, dtype=np.int64)
        bucket = bucket_of[block[rows]] if blocks else rows
        yield from _split(names, name[rows], bucket, rows)
        yield from _split([ALL_OPTIONS], np.zeros_like(rows), bucket, rows)
        peer_names = sorted(set(peers.values()))
        peer_of = np.full((len(names), len(blocks)), len(peer_names), dtype=np.int64)
        for (name_index, block_index), key in peers.items():
            if name_index >= 0 and block_index >= 0:
                peer_of[name_index, block_index] = peer_names.index(key)
        if blocks:
            has_peers = peer_of[name[rows], block[rows]] < len(peer_names)
            rows, bucket = rows[has_peers], bucket[has_peers]
            yield from _split(peer_names, peer_of[name[rows], block[rows]], bucket, rows)


def _split(
    keys: list[str],
    key_index: npt.NDArray[np.int64],
    bucket: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
) -> Iterator[tuple[str, int, npt.NDArray[np.int64]]]:
    """Yield the rows of each (key, bucket) that has any."""
    if not len(rows):
        return
    width = int(bucket.max()) + 1
    code = key_index * width + bucket
    order = np.argsort(code, kind="stable")
    edges = np.flatnonzero(np.diff(code[order])) + 1
    for part in np.split(order, edges):
        group = int(code[part[0]])
        yield keys[group // width], group % width, rows[part]
