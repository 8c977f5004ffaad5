"""A simulated session as the platform would have stored it, and what can be wrong with it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import numpy as np
from sqlalchemy.engine import Engine

from config.settings import Settings, load_settings
from ifd.clock import ManualClock
from ifd.pipeline import Pipeline
from ifd.records import MboArray
from ifd.symbols import instrument_from_definition
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND, ns_from_datetime
from models.base import make_engine, transaction
from models.coverage import write_coverage
from models.database import upgrade
from models.operations import CoverageRow, StreamRunRow
from simulator.market import Market, MarketParams, definition_messages, list_chain
from sinks.archive import ArchiveWriter
from sinks.catalogue import Catalogue
from sinks.tables import TableWriter

DATE = "2026-10-05"
OPEN_NS = ns_from_datetime(dt.datetime(2026, 10, 5, 13, 30, tzinfo=dt.UTC))
MINUTES = 8
END_NS = OPEN_NS + MINUTES * NANOS_PER_MINUTE

Definitions = list[dbn.InstrumentDefMsg]
Plant = Callable[[MboArray, Definitions], tuple[MboArray, Definitions]]
"""Takes a clean day and returns one with a fault in its records or definitions."""


def clean_records() -> tuple[MboArray, Definitions]:
    """Return the orders and definitions of eight minutes from the open."""
    day = dt.date(2026, 10, 5)
    chain = list_chain(day)
    params = MarketParams(records_per_second=120.0, episode_seconds=60.0)
    market = Market(7, OPEN_NS, chain, params, end_ns=END_NS)
    return market.advance(END_NS), definition_messages(chain, day)


class QualityDay:
    """One shard on Monday, 2026-10-05: database, archive, and a run that received these records."""

    def __init__(self, directory: Path, records: MboArray, definitions: Definitions) -> None:
        base = load_settings()
        instruments = [instrument_from_definition(one) for one in definitions]
        roots = sorted({one.asset for one in instruments if one.is_option})
        self.settings: Settings = base.model_copy(
            update={
                "database_url": f"sqlite:///{directory / 'ifd.db'}",
                "feed": base.feed.model_copy(update={"parents": [f"{root}.OPT" for root in roots]}),
                "archive": base.archive.model_copy(update={"directory": directory / "archive"}),
                "quality": base.quality.model_copy(update={"docs_directory": directory / "docs"}),
            }
        )
        upgrade(self.settings.database_url)
        self.engine: Engine = make_engine(self.settings.database_url)
        self.clock = ManualClock(END_NS + NANOS_PER_SECOND)
        self.run_id = self._run(len(records))
        self._receive(records, definitions)

    def execute(self, statement: str) -> int:
        """Run one statement of SQL; return how many rows it changed."""
        with self.engine.begin() as connection:
            return connection.exec_driver_sql(statement).rowcount

    def _receive(self, records: MboArray, definitions: Definitions) -> None:
        params = self.settings.engine_params()
        catalogue = Catalogue(self.engine)
        archive = ArchiveWriter(
            self.settings.archive.directory,
            run_id=self.run_id,
            shard="nq",
            clock=self.clock,
            on_segment=catalogue.note,
        )
        writer = TableWriter(
            self.engine,
            run_id=self.run_id,
            source="live",
            params_fingerprint=params.fingerprint(),
            alert_channel="#flow",
            alert_min_confidence=0.6,
            clock=self.clock,
        )
        pipeline = Pipeline(params)
        instruments = [instrument_from_definition(one) for one in definitions]
        pipeline.define(instruments)
        writer.define(instruments)
        for definition in definitions:
            archive.append(definition)
        for some in np.array_split(records, 50):
            archive.append(some)
            writer.write(pipeline.update(some), received_ns=None)
        writer.write(pipeline.finish(), received_ns=None)
        writer.flush()
        archive.close()
        catalogue.finish()

    def _run(self, records: int) -> int:
        with transaction(self.engine) as session:
            run = StreamRunRow(
                shard="nq",
                active_shard="nq",
                source="live",
                profile="default",
                params_fingerprint="f",
                session_date=DATE,
                status="streaming",
                started_ns=OPEN_NS,
                heartbeat_ns=END_NS,
                records=records,
                caught_up=True,
            )
            session.add(run)
            session.flush()
            assert run.id is not None
            stretch: dict[str, Any] = {
                "run_id": run.id,
                "number": 1,
                "shard": "nq",
                "session_date": DATE,
                "dbn_schema": "mbo",
                "start_ns": OPEN_NS,
                "end_ns": self.clock.now_ns(),
                "records": records,
            }
            write_coverage(session, [CoverageRow(**stretch)])
            return run.id
