"""Runs, coverage, gaps, archive, health and profiles: what the system did."""

from __future__ import annotations

from typing import Any

from sqlmodel import Field, Index, SQLModel

from models.base import BigInt, Json, Key


class StreamRunRow(SQLModel, table=True):
    """One run of the stream: singleton, heartbeat and stop flag in one row.

    `active_shard` equals `shard` while the run lives and is NULL afterwards; it is unique, so a
    second live run of a shard is refused by the database itself.
    `status` is starting, streaming, draining, drained or failed.
    """

    __tablename__ = "stream_run"

    id: int | None = Field(default=None, primary_key=True, sa_type=Key)
    shard: str = Field(max_length=64)
    active_shard: str | None = Field(default=None, unique=True, max_length=64)
    source: str = Field(max_length=16)
    profile: str
    params_fingerprint: str = Field(max_length=16)
    session_date: str = Field(max_length=10)
    status: str = Field(max_length=16)
    pid: int | None = None
    flow_run_id: str | None = Field(default=None, max_length=36)
    started_ns: int = Field(sa_type=BigInt)
    heartbeat_ns: int = Field(sa_type=BigInt)
    last_record_ns: int | None = Field(default=None, sa_type=BigInt)
    stop_requested_ns: int | None = Field(default=None, sa_type=BigInt)
    stop_reason: str | None = None
    ended_ns: int | None = Field(default=None, sa_type=BigInt)
    records: int = Field(default=0, sa_type=BigInt)
    windows: int = Field(default=0, sa_type=BigInt)
    signals: int = Field(default=0, sa_type=BigInt)
    gaps: int = 0
    queue_high_water: int = 0
    peak_rss_bytes: int = Field(default=0, sa_type=BigInt)
    error: str | None = None


class CoverageRow(SQLModel, table=True):
    """What one run received, first to last record; what is missing inside stands in `gap`."""

    __tablename__ = "coverage"

    id: int | None = Field(default=None, primary_key=True, sa_type=Key)
    run_id: int = Field(foreign_key="stream_run.id", sa_type=BigInt, index=True)
    shard: str = Field(max_length=64)
    session_date: str = Field(max_length=10, index=True)
    dbn_schema: str = Field(max_length=16)
    start_ns: int = Field(sa_type=BigInt)
    end_ns: int = Field(sa_type=BigInt)
    records: int = Field(sa_type=BigInt)


class GapRow(SQLModel, table=True):
    """What was not received: `cause` says why, `state` is open, replayed, backfilled or lost."""

    __tablename__ = "gap"

    id: int | None = Field(default=None, primary_key=True, sa_type=Key)
    run_id: int | None = Field(
        default=None, foreign_key="stream_run.id", sa_type=BigInt, index=True
    )
    shard: str = Field(max_length=64)
    session_date: str = Field(max_length=10, index=True)
    start_ns: int = Field(sa_type=BigInt)
    end_ns: int | None = Field(default=None, sa_type=BigInt)
    cause: str = Field(max_length=32)
    state: str = Field(max_length=16)
    detail: str = ""
    detected_ns: int = Field(sa_type=BigInt)


class ArchiveFileRow(SQLModel, table=True):
    """One DBN segment of the archive; `closed_ns` is NULL while it is being written."""

    __tablename__ = "archive_file"

    path: str = Field(primary_key=True)
    run_id: int | None = Field(default=None, foreign_key="stream_run.id", sa_type=BigInt)
    shard: str = Field(max_length=64)
    session_date: str = Field(max_length=10, index=True)
    first_ts: int | None = Field(default=None, sa_type=BigInt)
    last_ts: int | None = Field(default=None, sa_type=BigInt)
    records: int = Field(default=0, sa_type=BigInt)
    bytes: int = Field(default=0, sa_type=BigInt)
    sha256: str | None = Field(default=None, max_length=64)
    created_ns: int = Field(sa_type=BigInt)
    closed_ns: int | None = Field(default=None, sa_type=BigInt)


class HealthSampleRow(SQLModel, table=True):
    """How one component was at one moment; `metrics` holds plain numbers by name."""

    __tablename__ = "health_sample"
    __table_args__ = (Index("ix_health_sample_component_ts", "component", "ts_ns"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=Key)
    ts_ns: int = Field(sa_type=BigInt)
    component: str = Field(max_length=16)
    run_id: int | None = Field(default=None, sa_type=BigInt)
    metrics: dict[str, Any] = Field(sa_type=Json)


class ProfileVersionRow(SQLModel, table=True):
    """The parameters behind a fingerprint, so that every stored row can be explained."""

    __tablename__ = "profile_version"

    fingerprint: str = Field(primary_key=True, max_length=16)
    profile: str
    params: dict[str, Any] = Field(sa_type=Json)
    created_ns: int = Field(sa_type=BigInt)
