"""What the checks of data quality found, and which batches lie in quarantine for it."""

from __future__ import annotations

from sqlmodel import Field, Index, SQLModel

from models.base import BigInt, Json, Key


class QualityResultRow(SQLModel, table=True):
    """One named check of one batch.

    `severity` is critical (the batch is quarantined, alerts are held), warning (a flag) or info. A
    check that could not be made has `error` and counts as failed. `validation_id` is common to the
    checks that were made together.
    """

    __tablename__ = "quality_result"
    __table_args__ = (
        Index("ix_quality_result_shard_checked_ns", "shard", "checked_ns"),
        Index("ix_quality_result_validation_id", "validation_id"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=Key)
    validation_id: str = Field(max_length=32)
    checked_ns: int = Field(sa_type=BigInt)
    shard: str = Field(max_length=64)
    session_date: str = Field(max_length=10, index=True)
    suite: str = Field(max_length=32)
    batch: str
    check_name: str = Field(max_length=64)
    severity: str = Field(max_length=16)
    success: bool
    elements: int | None = Field(default=None, sa_type=BigInt)
    unexpected: int | None = Field(default=None, sa_type=BigInt)
    observed: str = ""
    error: str | None = None


class QuarantineRow(SQLModel, table=True):
    """A batch that failed a critical check; while it lies here, alerts of its session are held.

    Only a mark: the batch itself is neither moved nor changed. `active_batch` names the batch while
    it lies here and is NULL afterwards; it is unique, so two runs cannot both put it here.
    `released_by` is the validation that found it well, or what an operator said.
    """

    __tablename__ = "quarantine"
    __table_args__ = (Index("ix_quarantine_shard_session_date", "shard", "session_date"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=Key)
    active_batch: str | None = Field(default=None, unique=True)
    shard: str = Field(max_length=64)
    session_date: str = Field(max_length=10)
    suite: str = Field(max_length=32)
    batch: str
    checks: list[str] = Field(sa_type=Json)
    validation_id: str = Field(max_length=32)
    since_ns: int = Field(sa_type=BigInt)
    released_ns: int | None = Field(default=None, sa_type=BigInt)
    released_by: str | None = None
    by_operator: bool = False
