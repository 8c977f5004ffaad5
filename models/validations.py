"""Results of a validation go into their table, and what they mean for the gate, together.

One transaction stores the results, puts batches into quarantine or releases them, and owes the one
notice that tells of it. A batch that an operator released stays released while nothing else fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from ifd.errors import InputError
from models.base import transaction
from models.gates import closed_gates, held_counts
from models.notices import queue_notice
from models.quality import QualityResultRow, QuarantineRow
from models.quality_results import CRITICAL
from models.signals import NoticeRow

_ROWS_A_STATEMENT: Final = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """What a validation did to the gate: batches newly in quarantine, and those released."""

    quarantined: tuple[QuarantineRow, ...]
    released: tuple[QuarantineRow, ...]
    is_held: bool


def store_validation(
    engine: Engine,
    results: Sequence[QualityResultRow],
    *,
    now_ns: int,
    channel: str | None,
    link: str | None = None,
    replaces: str | None = None,
) -> Judged:
    """Store the results of one validation of one session, and close or open its gate.

    Parameters
    ----------
    results : sequence of QualityResultRow
        All of one shard, session and `validation_id`; at least one.
    channel : str, optional
        Where notices are owed; None while Slack is not set up.
    link : str, optional
        Page that the notice leads to.
    replaces : str, optional
        Suite for which these checks speak from now on: what it put into quarantine is released.
    """
    try:
        return _store_once(engine, results, now_ns, channel, link, replaces)
    except sa.exc.IntegrityError:
        # Another validation put the same batch there between our look and our insert: look again.
        return _store_once(engine, results, now_ns, channel, link, replaces)


def release_session(
    engine: Engine,
    shard: str,
    session_date: str,
    *,
    reason: str,
    now_ns: int,
    channel: str | None,
) -> tuple[QuarantineRow, ...]:
    """Release every batch of a session because an operator says so; return which.

    Raises
    ------
    InputError
        If none of its batches lies in quarantine.
    """
    with transaction(engine) as session:
        rows = session.exec(_active(shard, session_date)).all()
        if not rows:
            raise InputError(f"nothing of shard {shard}, {session_date} lies in quarantine")
        for row in rows:
            _mark_released(row, f"operator: {reason}", now_ns)
            row.by_operator = True
            session.add(row)
        session.flush()
        judged = Judged((), tuple(rows), is_held=False)
        notice = _notice_of(session, shard, session_date, judged, now_ns, None)
        assert notice is not None
        queue_notice(session, notice, channel)
    return judged.released


def _store_once(
    engine: Engine,
    results: Sequence[QualityResultRow],
    now_ns: int,
    channel: str | None,
    link: str | None,
    replaces: str | None,
) -> Judged:
    shard, date, validation_id = _identity(results)
    by = f"validation {validation_id}"
    new: list[QuarantineRow] = []
    released: list[QuarantineRow] = []
    with transaction(engine) as session:
        _insert(session, results)
        for (suite, batch), failed in _failed_critical(results).items():
            if failed:
                new += _put(session, results[0], suite, batch, failed, now_ns)
            else:
                found_well = _active(shard, date).where(
                    QuarantineRow.suite == suite, QuarantineRow.batch == batch
                )
                released += _release(session, found_well, by, now_ns)
        if replaces is not None:
            spoken_for = _active(shard, date).where(QuarantineRow.suite == replaces)
            released += _release(session, spoken_for, by, now_ns)
        session.flush()
        judged = Judged(tuple(new), tuple(released), _is_closed(session, shard, date))
        notice = _notice_of(session, shard, date, judged, now_ns, link)
        if notice is not None:
            queue_notice(session, notice, channel)
    return judged


def _identity(results: Sequence[QualityResultRow]) -> tuple[str, str, str]:
    ((shard, date, validation_id),) = {
        (one.shard, one.session_date, one.validation_id) for one in results
    }
    return shard, date, validation_id


def _insert(session: Session, results: Sequence[QualityResultRow]) -> None:
    rows = [one.model_dump(exclude={"id"}) for one in results]
    for first in range(0, len(rows), _ROWS_A_STATEMENT):
        session.execute(sa.insert(QualityResultRow), rows[first : first + _ROWS_A_STATEMENT])


def _failed_critical(
    results: Iterable[QualityResultRow],
) -> dict[tuple[str, str], list[str]]:
    """Return, for each batch of which a critical check was made, those that failed."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in results:
        if one.severity == CRITICAL:
            failed = found.setdefault((one.suite, one.batch), [])
            if not one.success and one.check_name not in failed:
                failed.append(one.check_name)
    return found


def _put(
    session: Session,
    result: QualityResultRow,
    suite: str,
    batch: str,
    failed: list[str],
    now_ns: int,
) -> list[QuarantineRow]:
    """Put a batch into quarantine; empty when it lies there, or was released in spite of this."""
    row = session.exec(
        select(QuarantineRow)
        .where(
            QuarantineRow.shard == result.shard,
            QuarantineRow.session_date == result.session_date,
            QuarantineRow.suite == suite,
            QuarantineRow.batch == batch,
        )
        .order_by(col(QuarantineRow.id).desc())
        .limit(1)
    ).first()
    if row is not None and row.active_batch is not None:
        row.checks, row.validation_id = failed, result.validation_id
        session.add(row)
        return []
    if row is not None and row.by_operator and set(failed) <= set(row.checks):
        return []
    put = QuarantineRow(
        active_batch=f"{result.shard} {result.session_date} {suite} {batch}",
        shard=result.shard,
        session_date=result.session_date,
        suite=suite,
        batch=batch,
        checks=failed,
        validation_id=result.validation_id,
        since_ns=now_ns,
    )
    session.add(put)
    return [put]


def _release(
    session: Session, query: SelectOfScalar[QuarantineRow], by: str, now_ns: int
) -> list[QuarantineRow]:
    rows = session.exec(query).all()
    for row in rows:
        _mark_released(row, by, now_ns)
        session.add(row)
    return list(rows)


def _active(shard: str, date: str) -> SelectOfScalar[QuarantineRow]:
    return select(QuarantineRow).where(
        QuarantineRow.shard == shard,
        QuarantineRow.session_date == date,
        col(QuarantineRow.active_batch).is_not(None),
    )


def _mark_released(row: QuarantineRow, by: str, now_ns: int) -> None:
    row.active_batch = None
    row.released_ns = now_ns
    row.released_by = by


def _is_closed(session: Session, shard: str, date: str) -> bool:
    return any((g.shard, g.session_date) == (shard, date) for g in closed_gates(session))


def _notice_of(
    session: Session, shard: str, date: str, judged: Judged, now_ns: int, link: str | None
) -> NoticeRow | None:
    """Return what to tell when batches came into quarantine, or when the last of them left it."""
    if judged.quarantined:
        fact = f"quarantine-{judged.quarantined[0].id}-held"
        title = f"Quality: alerts of {shard} {date} are held"
        text = "; ".join(
            f"{row.suite}, {row.batch}: {', '.join(row.checks)} failed"
            for row in judged.quarantined
        )
        text += (
            ". Signals are still stored and shown; their alerts wait until the checks pass, and "
            "expire when they are too old to act on."
        )
    elif judged.released and not judged.is_held:
        last, counts = judged.released[-1], held_counts(session, shard, date)
        fact = f"quarantine-{last.id}-released"
        title = f"Quality: alerts of {shard} {date} go out again"
        text = (
            f"{last.released_by}. {counts['pending']} that waited are sent now, "
            f"{counts['expired']} had become too old to act on and were given up."
        )
    else:
        return None
    return NoticeRow(notice_key=fact, title=title, text=text, link=link, created_ns=now_ns)
