"""Baselines are stored as a whole and read as they were."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, func, select

from ifd.baseline import BaselineStat
from ifd.baseline.statistics import QUANTILE_POINTS
from ifd.clock import ManualClock
from ifd.params import DetectionParams, EngineParams, WindowParams
from models.baselines import load_baselines, read_stats, store_baselines
from models.market import BaselineRow

PARAMS = EngineParams()
CLOCK = ManualClock(1_791_300_000_000_000_000)


def stat(key: str = "NQZ6 C25000", bucket: int = 19, *, median: float = 4.5) -> BaselineStat:
    return BaselineStat(
        key=key,
        metric="signed_volume",
        bucket=bucket,
        as_of="2026-10-05",
        sessions=20,
        samples=600,
        median=median,
        mad=1.4826,
        quantiles=tuple(0.1 * step for step in range(QUANTILE_POINTS)),
    )


def stored(engine: Engine, params: EngineParams = PARAMS) -> list[BaselineStat]:
    with Session(engine) as session:
        return list(read_stats(session, params))


def test_what_is_stored_is_read_back_to_the_last_bit(engine: Engine) -> None:
    stats = [stat(bucket=bucket) for bucket in range(3)]

    assert store_baselines(engine, PARAMS, stats, clock=CLOCK) == 3

    assert stored(engine) == stats


def test_a_rebuild_replaces_every_row_of_its_parameters_and_no_other(engine: Engine) -> None:
    slow = EngineParams(windows=WindowParams(length_ns=300_000_000_000))
    store_baselines(engine, slow, [stat("all")], clock=CLOCK)
    store_baselines(engine, PARAMS, [stat("gone"), stat("NQZ6 C25000")], clock=CLOCK)

    store_baselines(engine, PARAMS, [stat("NQZ6 C25000", median=9.0)], clock=CLOCK)

    assert stored(engine) == [stat("NQZ6 C25000", median=9.0)]
    assert stored(engine, slow) == [stat("all")]


def test_a_rebuild_that_breaks_off_leaves_what_was_there(engine: Engine) -> None:
    store_baselines(engine, PARAMS, [stat()], clock=CLOCK)

    def breaking() -> Iterator[BaselineStat]:
        yield stat("new")
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="went away"):
        store_baselines(engine, PARAMS, breaking(), clock=CLOCK)

    assert stored(engine) == [stat()]


def test_more_rows_than_fit_a_statement_are_all_stored(engine: Engine) -> None:
    stats = (stat(f"NQZ6 C{number}") for number in range(4_500))

    assert store_baselines(engine, PARAMS, stats, clock=CLOCK) == 4_500

    with Session(engine) as session:
        found = session.exec(select(func.count()).select_from(BaselineRow)).one()
        newest = session.exec(select(func.max(col(BaselineRow.computed_ns)))).one()
    assert (found, newest) == (4_500, CLOCK.now_ns())


def test_a_profile_with_other_thresholds_finds_the_same_baselines(engine: Engine) -> None:
    store_baselines(engine, PARAMS, [stat()], clock=CLOCK)
    strict = dataclasses.replace(
        PARAMS, profile="conservative", detection=DetectionParams(min_confidence=0.9)
    )

    baselines = load_baselines(engine, strict)

    assert baselines is not None
    assert (len(baselines), baselines.as_of) == (1, "2026-10-05")


def test_where_nothing_is_stored_there_are_no_baselines(engine: Engine) -> None:
    assert load_baselines(engine, PARAMS) is None
