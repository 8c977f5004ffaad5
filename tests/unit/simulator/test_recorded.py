"""A recording that is served: its pace, and the time that its snapshots bear."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from ifd.clock import ManualClock
from ifd.errors import ConfigurationError
from ifd.replay import read_mbo
from simulator.live import FileSource
from simulator.session_files import SessionPlan, write_sessions

CLOCK = ManualClock(1_900_000_000_000_000_000)


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recorded") / "days"
    write_sessions(directory, SessionPlan(days=1, seed=5, minutes=1))
    return directory


def test_a_snapshot_bears_the_recordings_time(days: Path) -> None:
    (path,) = days.glob("*.mbo.dbn.zst")
    records = np.concatenate(list(read_mbo([path])))
    source = FileSource([days], speed=0, clock=CLOCK)
    ids = np.unique(records["instrument_id"]).tolist()

    async def snapshot(place: int) -> set[int]:
        await source.run()
        taken = await source.snapshot(place, ids, CLOCK.now_ns())
        return set(taken["ts_recv"].tolist())

    assert asyncio.run(snapshot(100)) == {int(records["ts_recv"][99]) + 1}
    source.close()


def test_only_a_paced_recording_takes_another_speed(days: Path) -> None:
    paced, unpaced = (FileSource([days], speed=speed, clock=CLOCK) for speed in (1, 0))

    paced.change_speed(50)
    for source, speed in ((paced, 0), (paced, -1), (unpaced, 5)):
        with pytest.raises(ConfigurationError, match="above 0"):
            source.change_speed(speed)
    paced.close()
    unpaced.close()
