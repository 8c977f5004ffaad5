"""What a stream has archived, held against what its gateway gives to somebody never cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.clock import SystemClock
from ifd.gateway import Subscription, Timing
from ifd.records import MboArray
from ifd.replay import read_mbo
from models.operations import ArchiveFileRow
from simulator.live import DEFAULT_KEY
from tests.feeds import ReadableFeed


def archived(engine: Engine) -> MboArray:
    """Everything in the archive, in the order of its files."""
    with Session(engine) as session:
        rows = session.exec(
            select(ArchiveFileRow).order_by(
                col(ArchiveFileRow.run_id), col(ArchiveFileRow.created_ns)
            )
        ).all()
    assert all(row.closed_ns is not None for row in rows)
    return np.concatenate(list(read_mbo(Path(row.path) for row in rows)))


async def served(
    port: int, until: int, *, symbols: Sequence[str], key: str = DEFAULT_KEY
) -> MboArray:
    """What the gateway gives somebody who was never cut off, up to an event time."""
    feed = ReadableFeed(
        host="127.0.0.1",
        port=port,
        key=key,
        dataset="GLBX.MDP3",
        subscriptions=[Subscription("mbo", tuple(symbols), start_ns=0)],
        clock=SystemClock(),
        timing=Timing(),
    )
    running = asyncio.create_task(feed.run())
    arrays: list[MboArray] = []
    while arrivals := await feed.get(1 << 16):
        arrays += [one.chunk for one in arrivals if isinstance(one.chunk, np.ndarray)]
        if arrays and int(arrays[-1]["ts_event"].max()) > until + 2 * 10**9:
            feed.stop()
    await running
    return np.concatenate(arrays)


def assert_same_until(received: MboArray, whole: MboArray, until: int) -> None:
    """The same records up to the last second, in which the gateway may have had more to send."""
    calm = until - 10**9
    for records in (received, whole):
        assert int(records["ts_event"].max()) > calm
    mine, theirs = (by_instrument(one[one["ts_event"] <= calm]) for one in (received, whole))
    assert len(mine) == len(theirs)
    assert np.array_equal(mine, theirs)


def by_instrument(records: MboArray) -> MboArray:
    return records[np.argsort(records["instrument_id"], kind="stable")]
