"""Records in memory as a source, as fast as they are read.

The readers drive it: whoever has read to its end is given the next block, and that block is then
the present for everybody. So a client that joins later has missed what others were sent, one that
was cut off finds the missing records in a replay, and nothing passes while nobody is connected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import databento_dbn as dbn
import numpy as np

from ifd.errors import UnsupportedDataError
from ifd.records import MBO_DTYPE, MboArray
from simulator.live.sources import RecordSource
from simulator.live.symbology import Symbology

_BLOCK: Final = 16_384
"""Records given at a time: some 900 KiB, so that sending takes far longer than asking."""


class ArraySource(RecordSource):
    """MBO records of an array, with their own timestamps.

    Parameters
    ----------
    records : ndarray of MBO_DTYPE
        In the order they are sent; never copied, so it may not change.
    definitions : sequence of InstrumentDefMsg
        Instruments under all their names.
    names : mapping of str to int, optional
        Raw symbols of instruments without a definition; those with neither are called by their
        number.

    Raises
    ------
    UnsupportedDataError
        If the array is of another layout.
    """

    def __init__(
        self,
        records: MboArray,
        *,
        definitions: Sequence[dbn.InstrumentDefMsg] = (),
        names: Mapping[str, int] | None = None,
        dataset: str = "GLBX.MDP3",
    ) -> None:
        if records.dtype != MBO_DTYPE:
            raise UnsupportedDataError("an array to serve has the layout of MBO records")
        super().__init__(dataset, _HeldRecords(records))
        self.definitions = definitions
        numbers = {str(ident): ident for ident in np.unique(records["instrument_id"]).tolist()}
        self.symbology = Symbology(definitions, numbers | dict(names or {}))
        self._records = records
        self.finished = not len(records)
        self.ready.set()

    async def run(self) -> None:
        """Do nothing: the readers drive it."""

    async def first_at(self, start_ns: int) -> int:
        """Return the first place with `start_ns` or later, and let all before it be past."""
        late = self._records["ts_event"] >= np.uint64(start_ns)
        place = int(late.argmax()) if late.any() else len(late)
        self._pass_to(place)
        return place

    def ask_for_more(self) -> None:
        """Give the next block."""
        self._pass_to(self._end + _BLOCK)

    def _pass_to(self, place: int) -> None:
        end = min(place, len(self._records))
        if end > self._end:
            self.finished = end == len(self._records)
            self.publish(end)


class _HeldRecords:
    """An array as a store."""

    def __init__(self, records: MboArray) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def read(self, start: int, stop: int) -> MboArray:
        return self._records[start:stop]

    def close(self) -> None:
        self._records = self._records[:0]
