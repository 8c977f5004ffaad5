"""Runs, coverage, gaps, archive, health and profiles: what the system did."""

from __future__ import annotations

from typing import Any, Final

from sqlmodel import Field, Index, SQLModel, UniqueConstraint

from models.base import BigInt, Json, Key

FEED_STATES: Final = (
    "connecting",
    "authenticating",
    "replaying",
    "snapshot",
    "live",
    "reconnecting",
    "closed",
)
"""What `stream_run.feed_state` may say once the feed has been heard of."""


class StreamRunRow(SQLModel, table=True):
    """One run of the stream: singleton, heartbeat and stop flag in one row.

    `active_shard` equals `shard` while the run lives and is NULL afterwards; it is unique, so a
    second live run of a shard is refused by the database itself.
    `status` is starting, streaming, draining, drained or failed; `feed_state` is one of
    `FEED_STATES`, and empty before it is known.
    `caught_up`: what arrives is the present, so signals are given. `pid` is a process of `host`.
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
    host: str = Field(default="", max_length=255)
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
    feed_state: str = Field(default="", max_length=16)
    caught_up: bool = False
    error: str | None = None


class CoverageRow(SQLModel, table=True):
    """One continuous stretch that was received, `start_ns <= ts < end_ns`.

    `number` counts the stretches of a run from 1; `run_id` is NULL where no run received it.
    `origin` says how it came: live, replay (the gateway sent it again) or backfill (historical).
    `is_open` while it still grows, and for ever when its run was killed.
    """

    __tablename__ = "coverage"
    __table_args__ = (
        UniqueConstraint("run_id", "number"),
        Index("ix_coverage_shard_dbn_schema_end_ns", "shard", "dbn_schema", "end_ns"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=Key)
    run_id: int | None = Field(default=None, foreign_key="stream_run.id", sa_type=BigInt)
    number: int
    shard: str = Field(max_length=64)
    session_date: str = Field(max_length=10, index=True)
    dbn_schema: str = Field(max_length=16)
    origin: str = Field(default="live", max_length=16)
    start_ns: int = Field(sa_type=BigInt)
    end_ns: int = Field(sa_type=BigInt)
    records: int = Field(sa_type=BigInt)
    is_open: bool = False


class GapRow(SQLModel, table=True):
    """What was not received, `start_ns <= ts < end_ns`; `end_ns` is NULL while it goes on.

    `cause` is what the feed's session met (reset, closed, silence, timeout, unreachable, corrupt,
    error, skipped, aged-out), what the runs' rows tell (crash, late-start, not-running,
    unrecorded), or doubt about what did come: `flag` (MAYBE_BAD_BOOK) and `book` (orders that do
    not fit together). `state` is open, replayed, backfilled or lost. `instrument_id` NULL: every
    instrument of the shard. `estimated_records` is the rate of the neighbouring coverage times the
    duration, NULL when there is none. `updated_ns` is when the row changed last, NULL when never.
    """

    __tablename__ = "gap"
    __table_args__ = (Index("ix_gap_shard_start_ns", "shard", "start_ns"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=Key)
    run_id: int | None = Field(
        default=None, foreign_key="stream_run.id", sa_type=BigInt, index=True
    )
    shard: str = Field(max_length=64)
    session_date: str = Field(max_length=10, index=True)
    instrument_id: int | None = Field(default=None, sa_type=BigInt)
    raw_symbol: str | None = Field(default=None, max_length=64)
    start_ns: int = Field(sa_type=BigInt)
    end_ns: int | None = Field(default=None, sa_type=BigInt)
    missing_ns: int | None = Field(default=None, sa_type=BigInt)
    estimated_records: int | None = Field(default=None, sa_type=BigInt)
    cause: str = Field(max_length=32)
    state: str = Field(max_length=16, index=True)
    detail: str = ""
    detected_ns: int = Field(sa_type=BigInt)
    updated_ns: int | None = Field(default=None, sa_type=BigInt)


class ArchiveFileRow(SQLModel, table=True):
    """One DBN segment of the archive; `closed_ns` is NULL while it is being written."""

    __tablename__ = "archive_file"
    __table_args__ = (Index("ix_archive_file_shard_closed_ns", "shard", "closed_ns"),)

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
