"""Results of checks, as they are read and forgotten; the severities a check may have."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from models.base import transaction
from models.quality import QualityResultRow

CRITICAL: Final = "critical"
WARNING: Final = "warning"
INFO: Final = "info"


def forget_results(engine: Engine, *, before_ns: int) -> int:
    """Delete results that are older than `before_ns`; return how many there were."""
    with transaction(engine) as session:
        done = session.connection().execute(
            sa.delete(QualityResultRow).where(col(QualityResultRow.checked_ns) < before_ns)
        )
    return done.rowcount


def results_of(
    session: Session, shard: str, session_date: str | None = None
) -> list[QualityResultRow]:
    """Return the newest results of every suite of a session, the newest session unless named."""
    newest = (
        select(
            QualityResultRow.session_date,
            QualityResultRow.suite,
            sa.func.max(QualityResultRow.checked_ns).label("checked_ns"),
        )
        .where(QualityResultRow.shard == shard)
        .group_by(col(QualityResultRow.session_date), col(QualityResultRow.suite))
    )
    if session_date is None:
        session_date = session.exec(
            select(sa.func.max(QualityResultRow.session_date)).where(
                QualityResultRow.shard == shard
            )
        ).one()
    last = newest.where(QualityResultRow.session_date == session_date).subquery()
    return list(
        session.exec(
            select(QualityResultRow)
            .join(
                last,
                sa.and_(
                    col(QualityResultRow.suite) == last.c.suite,
                    col(QualityResultRow.checked_ns) == last.c.checked_ns,
                ),
            )
            .where(QualityResultRow.shard == shard, QualityResultRow.session_date == session_date)
            .order_by(col(QualityResultRow.id))
        )
    )


def is_failed_critical(result: QualityResultRow) -> bool:
    """Return True for a check that closes the gate."""
    return not result.success and result.severity == CRITICAL
