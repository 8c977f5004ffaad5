"""A market whose every price is written by hand, and its archive as a stream would leave it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import numpy as np
import zstandard
from sqlalchemy.engine import Engine

from ifd.records import F_LAST, MBO_DTYPE, RTYPE_MBO, MboArray
from ifd.symbols import instrument_from_definition
from ifd.units import PRICE_SCALE
from models.base import transaction
from models.market import InstrumentRow
from models.operations import ArchiveFileRow, CoverageRow
from simulator.market import definition_messages, list_chain


class Script:
    """MBO records of the future and the first option of a date's chain, whatever is written."""

    def __init__(self, date: dt.date) -> None:
        self.date = date
        self.future, self.option = list_chain(date).contracts[:2]
        self._rows: list[tuple[Any, ...]] = []
        self._statuses: list[dbn.StatusMsg] = []

    def quote(
        self, instrument_id: int, ts: int, mid: float, *, half: float = 0.25, sides: str = "BA"
    ) -> None:
        """Clear a book, and rest one order a side, `half` away from `mid`."""
        self._rows.append((instrument_id, ts, "R", "N", 0, 0, 0, 0))
        for number, side in enumerate(sides, start=1):
            price = round((mid - half if side == "B" else mid + half) * PRICE_SCALE)
            flags = F_LAST if number == len(sides) else 0
            self._rows.append((instrument_id, ts, "A", side, number, price, 1, flags))

    def status(self, instrument_id: int, ts: int, action: dbn.StatusAction) -> None:
        """Let the exchange say that an instrument stops, or trades again."""
        self._statuses.append(dbn.StatusMsg(1, instrument_id, ts, ts, action))

    def records(self) -> MboArray:
        """Return what was written, in order of time."""
        records = np.zeros(len(self._rows), MBO_DTYPE)
        records["length"], records["rtype"] = MBO_DTYPE.itemsize // 4, RTYPE_MBO
        for record, row in zip(records, sorted(self._rows, key=lambda row: row[1]), strict=True):
            ident, ts, action, side, order, price, size, flags = row
            record["instrument_id"], record["ts_event"], record["ts_recv"] = ident, ts, ts + 1
            record["action"], record["side"], record["order_id"] = ord(action), ord(side), order
            record["price"], record["size"], record["flags"] = price, size, flags
        return records

    def archive(self, engine: Engine, path: Path, *received: tuple[int, int]) -> None:
        """Write one segment with its definitions, and the rows that a stream writes beside it."""
        date = self.date.isoformat()
        records = self.records()
        header = dbn.Metadata(
            dataset="GLBX.MDP3",
            start=int(records["ts_recv"][0]),
            stype_in=None,
            stype_out=dbn.SType.INSTRUMENT_ID,
            schema=None,
        ).encode()
        definitions = definition_messages(list_chain(self.date), self.date)
        body = b"".join(bytes(each) for each in (*definitions, *self._statuses))
        path.write_bytes(zstandard.compress(header + body + records.tobytes()))
        future = instrument_from_definition(definitions[0])
        with transaction(engine) as session:
            session.add(InstrumentRow(**dataclasses.asdict(future)))
            session.add(
                ArchiveFileRow(
                    path=str(path), shard="nq", session_date=date, created_ns=1, closed_ns=2
                )
            )
            for number, (start_ns, end_ns) in enumerate(received, start=1):
                session.add(
                    CoverageRow(
                        number=number,
                        shard="nq",
                        session_date=date,
                        dbn_schema="mbo",
                        start_ns=start_ns,
                        end_ns=end_ns,
                        records=0,
                    )
                )
