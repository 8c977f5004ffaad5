"""Mids of instruments at given moments, from a replay through the engine's books.

A mid at a moment is what the book said after every event up to and including it, so the moment of
a signal sees what completed the signal. The engine itself is asked as it reaches each moment: there
is no second way to rebuild a book.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

from ifd.book.books import CompiledBook
from ifd.book.state import NOT_KNOWN
from ifd.params import WindowParams
from ifd.records import MboArray
from ifd.symbols import Instrument
from ifd.windows import FAR
from ifd.windows.stage import WindowStage


class Moment(NamedTuple):
    """When, ns UTC event time, and of which instrument a mid is wanted."""

    ts_ns: int
    instrument_id: int


class Mid(NamedTuple):
    """A mid in 1e-9, or why there is none (one of `models.outcomes.MISSING_REASONS`)."""

    price: int | None
    missing: str | None


class MidSampler:
    """Answers moments as the records of a session pass by.

    Parameters
    ----------
    moments : iterable of Moment
        In any order; an equal one is answered once.
    params : WindowParams
        Those of the engine.
    """

    def __init__(self, moments: Iterable[Moment], params: WindowParams) -> None:
        self._due = sorted(set(moments))
        self._place = 0
        self._stage = WindowStage(dataclasses.replace(params, lengths_ns=(params.length_ns,)))
        self.mids: dict[Moment, Mid] = {}

    def define(self, instruments: Iterable[Instrument]) -> None:
        """Take in definitions: only time of what is defined passes."""
        self._stage.define(instruments)

    def update(self, records: MboArray) -> None:
        """Take in records in order of time."""
        stage = self._stage
        stage.wake_at = self._next_ns()
        for event in stage.update(records):
            if isinstance(event, int):
                self._answer(event)
                stage.wake_at = self._next_ns()
        # What closes meanwhile is of no use here.
        stage.take_windows()
        stage.take_bars()
        stage.take_faults()

    def finish(self) -> dict[Moment, Mid]:
        """Answer what lies behind the last record by the books it left; return all answers."""
        self._answer(FAR)
        return self.mids

    def has_seen(self, instrument_id: int) -> bool:
        """Return True when any record was of this instrument."""
        return self._book(instrument_id) is not None

    def _next_ns(self) -> int:
        # The engine stops before it takes in a record of this time or later.
        return self._due[self._place].ts_ns + 1 if self._place < len(self._due) else FAR

    def _answer(self, before_ns: int) -> None:
        while self._place < len(self._due) and self._due[self._place].ts_ns < before_ns:
            moment = self._due[self._place]
            self.mids[moment] = mid_of(self._book(moment.instrument_id))
            self._place += 1

    def _book(self, instrument_id: int) -> CompiledBook | None:
        try:
            return self._stage.book(instrument_id)
        except KeyError:
            return None


def mid_of(book: CompiledBook | None) -> Mid:
    """Return the mid of a book where its last event ended, or why it has none."""
    if book is None or not book.complete:
        return Mid(None, "incomplete")
    if book.mid == NOT_KNOWN:
        return Mid(None, "no-quote")
    bid, ask = book.best_bid(), book.best_ask()
    if bid is not None and ask is not None and bid.price >= ask.price:
        return Mid(None, "crossed")
    return Mid(book.mid, None)
