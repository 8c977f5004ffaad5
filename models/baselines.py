"""Baselines in the database: written as a whole, read as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.baseline import Baselines, BaselineStat
from ifd.clock import Clock
from ifd.params import EngineParams
from models.base import transaction
from models.market import BaselineRow

_ROWS_A_STATEMENT: Final = 2_000


def store_baselines(
    engine: Engine, params: EngineParams, stats: Iterable[BaselineStat], *, clock: Clock
) -> int:
    """Replace the baselines of these parameters in one transaction; return the number of rows.

    Whoever reads meanwhile sees all of the old ones or all of the new ones.
    """
    fingerprint = params.baseline_fingerprint()
    rows = (_row(stat, fingerprint, clock.now_ns()) for stat in stats)
    written = 0
    with transaction(engine) as session:
        session.execute(
            sa.delete(BaselineRow).where(col(BaselineRow.params_fingerprint) == fingerprint)
        )
        for some in _batches(rows):
            session.execute(sa.insert(BaselineRow), some)
            written += len(some)
    return written


def load_baselines(engine: Engine, params: EngineParams) -> Baselines | None:
    """Return the baselines of these parameters, or None when there are none."""
    with Session(engine) as session:
        stats = list(read_stats(session, params))
    return Baselines(stats, params.baseline) if stats else None


def read_stats(
    session: Session, params: EngineParams, *, key: str | None = None
) -> Iterator[BaselineStat]:
    """Yield the statistics of these parameters, of one key or of all, by time of day."""
    query = select(BaselineRow).where(
        BaselineRow.params_fingerprint == params.baseline_fingerprint()
    )
    if key is not None:
        query = query.where(BaselineRow.key == key)
    query = query.order_by(col(BaselineRow.key), col(BaselineRow.metric), col(BaselineRow.bucket))
    for row in session.exec(query):
        yield BaselineStat(
            key=row.key,
            metric=row.metric,
            bucket=row.bucket,
            as_of=row.as_of,
            sessions=row.sessions,
            samples=row.samples,
            median=row.median,
            mad=row.mad,
            quantiles=tuple(row.quantiles),
        )


def _row(stat: BaselineStat, fingerprint: str, now_ns: int) -> dict[str, Any]:
    # Any: one value of each column's type.
    return {
        "key": stat.key,
        "metric": stat.metric,
        "bucket": stat.bucket,
        "params_fingerprint": fingerprint,
        "as_of": stat.as_of,
        "sessions": stat.sessions,
        "samples": stat.samples,
        "median": stat.median,
        "mad": stat.mad,
        "quantiles": list(stat.quantiles),
        "computed_ns": now_ns,
    }


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while some := list(islice(rows, _ROWS_A_STATEMENT)):
        yield some
