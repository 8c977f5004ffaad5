"""What was spent, what is set aside, and the holes it is spent on.

A cost entry is reservation and receipt in one row: it counts in full from the moment it is
reserved, whatever becomes of the process that reserved it.
"""

from __future__ import annotations

from sqlmodel import Field, Index, SQLModel, UniqueConstraint

from models.base import BigInt, Key


class CostEntryRow(SQLModel, table=True):
    """One request that costs money, or one day of the live feed.

    `kind` is backfill, history (fetched by hand), definitions or streaming. `state` is reserved
    (its quote counts), settled (what it cost counts), or abandoned (its process died: what it can
    have cost at most counts). `committed_micro_dollars` is what counts. `day` is the UTC day of the
    reservation, as the provider's bill has it. `purse_id` is the purse that reserved; NULL where
    nothing was reserved. Streaming is settled at once: a subscription's share of a trading date
    (fingerprint `subscription`), or what a run received of a schema in a day (`run-7-mbo`).
    """

    __tablename__ = "cost_entry"
    __table_args__ = (
        Index("ix_cost_entry_kind_day", "kind", "day"),
        Index("ix_cost_entry_fingerprint_state", "fingerprint", "state"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=Key)
    kind: str = Field(max_length=16)
    day: str = Field(max_length=10)
    state: str = Field(max_length=16)
    fingerprint: str = Field(max_length=64)
    purse_id: str | None = Field(default=None, max_length=32)
    symbols: str = ""
    dbn_schema: str = Field(default="", max_length=16)
    start_ns: int | None = Field(default=None, sa_type=BigInt)
    end_ns: int | None = Field(default=None, sa_type=BigInt)
    quoted_micro_dollars: int = Field(sa_type=BigInt)
    billed_micro_dollars: int | None = Field(default=None, sa_type=BigInt)
    committed_micro_dollars: int = Field(sa_type=BigInt)
    received_bytes: int = Field(default=0, sa_type=BigInt)
    reserved_ns: int = Field(sa_type=BigInt)
    settled_ns: int | None = Field(default=None, sa_type=BigInt)


class BudgetAlarmRow(SQLModel, table=True):
    """One alarm that was sent: a share of a cap was reached in a day or a month."""

    __tablename__ = "budget_alarm"

    kind: str = Field(primary_key=True, max_length=16)
    period: str = Field(primary_key=True, max_length=10)
    percent: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    sent_ns: int = Field(sa_type=BigInt)


class BackfillRequestRow(SQLModel, table=True):
    """The work on one hole, `start_ns <= ts < end_ns`: how far it has come, and what it took.

    `of_doubts`: it is about the doubtful books of that time, not about all instruments. `method` is
    replay (the live gateway sends it again, free) or historical. `state` is waiting (until
    `next_try_ns`), fetched (the segment is in the archive), merged (catalogue and coverage have
    it), done (windows, bars and signals too) or given-up.
    """

    __tablename__ = "backfill_request"
    __table_args__ = (UniqueConstraint("shard", "start_ns", "end_ns", "of_doubts"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=Key)
    shard: str = Field(max_length=64)
    session_date: str = Field(max_length=10, index=True)
    start_ns: int = Field(sa_type=BigInt)
    end_ns: int = Field(sa_type=BigInt)
    of_doubts: bool = False
    method: str = Field(default="", max_length=16)
    state: str = Field(default="waiting", max_length=16, index=True)
    attempts: int = 0
    next_try_ns: int = Field(default=0, sa_type=BigInt)
    estimated_records: int | None = Field(default=None, sa_type=BigInt)
    quoted_micro_dollars: int | None = Field(default=None, sa_type=BigInt)
    spent_micro_dollars: int = Field(default=0, sa_type=BigInt)
    received_records: int = Field(default=0, sa_type=BigInt)
    added_records: int = Field(default=0, sa_type=BigInt)
    path: str | None = None
    windows: int = 0
    late_signals: int = 0
    error: str | None = None
    created_ns: int = Field(sa_type=BigInt)
    updated_ns: int = Field(sa_type=BigInt)
