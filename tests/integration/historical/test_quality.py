"""The archive against the provider's own counts, asked of the local exchange's historical API."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from config.settings import load_settings
from ifd.clock import SystemClock
from ifd.gateway.historical import HistoricalSource, Patience
from ifd.replay import read_definitions, read_mbo
from ifd.units import NANOS_PER_MINUTE
from runtime.quality.archive import provider_batch
from runtime.quality.batches import Batch
from simulator.historical import HistoricalServer
from simulator.live import DEFAULT_KEY
from tests.integration.historical.test_backfill import DATE, END, OPEN_NS, Day

pytestmark = pytest.mark.integration

STRETCHES = [
    (OPEN_NS, OPEN_NS + 10 * NANOS_PER_MINUTE),
    (OPEN_NS + 15 * NANOS_PER_MINUTE, OPEN_NS + 20 * NANOS_PER_MINUTE),
]


def archived(days: Path) -> np.ndarray:
    times = np.concatenate(list(read_mbo([days / f"{DATE}.mbo.dbn.zst"])))["ts_recv"]
    return np.array([np.count_nonzero((times >= a) & (times < b)) for a, b in STRETCHES])


def asked(days: Path, received: np.ndarray, source: HistoricalSource | None) -> Batch:
    settings = load_settings()
    listed = read_definitions(days / "definitions.dbn.zst")
    parents = sorted({f"{one.asset}.OPT" for one in listed if one.is_option})
    feed = settings.feed.model_copy(update={"parents": parents})
    settings = settings.model_copy(update={"feed": feed})
    return provider_batch(settings, STRETCHES, received, DATE, clock=SystemClock(), source=source)


def source_at(address: str) -> HistoricalSource:
    patience = Patience(free_attempts=1, first_seconds=0.01)
    return HistoricalSource(DEFAULT_KEY, gateway=address, patience=patience)


def test_a_whole_archive_has_what_the_provider_counts(
    api: HistoricalServer, served_days: Path
) -> None:
    batch = asked(served_days, archived(served_days), source_at(api.address))

    assert batch.not_made is None
    assert batch.frame["provider"].tolist() == archived(served_days).tolist()
    assert batch.frame["difference_share"].tolist() == [0.0, 0.0]


def test_what_the_archive_lacks_is_a_share_of_what_the_provider_has(
    api: HistoricalServer, served_days: Path
) -> None:
    batch = asked(served_days, archived(served_days) // 2, source_at(api.address))

    assert batch.frame["difference_share"].round(3).tolist() == [0.5, 0.5]


def test_a_provider_who_does_not_answer_makes_no_check(served_days: Path) -> None:
    batch = asked(served_days, archived(served_days), source_at("127.0.0.1:9"))

    assert batch.not_made is not None
    assert "history is not to be had now" in batch.not_made


def test_without_a_key_nobody_is_asked(served_days: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABENTO_API_KEY", raising=False)

    batch = asked(served_days, archived(served_days), None)

    assert batch.not_made == "no historical source is configured"


def test_a_day_with_a_hole_raises_nothing_critical_before_it_is_filled_nor_after(
    api: HistoricalServer, served_days: Path, tmp_path: Path
) -> None:
    day = Day(tmp_path, served_days)
    day.receive(0, 15)
    day.receive(25, END)

    before = wrong(day, api)
    day.backfill(api.address).run(date=DATE)
    after = wrong(day, api)

    assert before == {"the_session_is_covered"}
    assert after == set()


def wrong(day: Day, api: HistoricalServer) -> set[str]:
    """Return the names of the checks that fail."""
    # Here: collecting the tests must not load the library.
    from tasks.quality.runs import check_session

    source = source_at(api.address)
    checked = check_session(day.settings, day.engine, DATE, clock=day.clock, source=source)
    return {row.check_name for row in checked.results if not row.success and row.severity != "info"}
