"""What the checks of data quality found, one flat row a check and batch."""

from __future__ import annotations

from sqlmodel import Field, Index, SQLModel

from models.base import BigInt, Key


class QualityResultRow(SQLModel, table=True):
    """One named check of one batch.

    `severity` is critical (the batch is quarantined, alerts are held) or warning (a flag). A check
    that could not be made has `error` and counts as failed. `validation_id` is common to the
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
