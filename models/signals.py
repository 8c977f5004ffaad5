"""Signals, notices, and what is owed for them: one transaction writes both."""

from __future__ import annotations

import dataclasses
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel, UniqueConstraint

from ifd.signals import Signal
from models.base import BigInt, Json, Key


class SignalRow(SQLModel, table=True):
    """A signal as emitted, and when and where it became a row."""

    __tablename__ = "signal"

    id: int | None = Field(default=None, primary_key=True, sa_type=Key)
    signal_id: str = Field(unique=True, max_length=16)
    ts_event: int = Field(sa_type=BigInt, index=True)
    ts_recv: int = Field(sa_type=BigInt)
    session_date: str = Field(max_length=10, index=True)
    instrument_id: int = Field(sa_type=BigInt)
    raw_symbol: str
    underlying: str
    expiration: str = Field(max_length=10)
    strike: float
    right: str = Field(max_length=1)
    side: str = Field(max_length=4)
    pattern: str
    confidence: float
    tier: str = Field(max_length=16)
    action: str = Field(max_length=16)
    pressure_ratio: float
    baseline_zscore: float | None = None
    percentile_rank: float | None = None
    market_making_probability: float
    coordination: float
    volume: int = Field(sa_type=BigInt)
    price: int = Field(sa_type=BigInt)
    underlying_price: int | None = Field(default=None, sa_type=BigInt)
    window_start: int = Field(sa_type=BigInt)
    window_end: int = Field(sa_type=BigInt)
    risk_score: float
    position_size_multiplier: float
    why: list[str] = Field(sa_type=Json)
    factors: dict[str, float] = Field(sa_type=Json)
    profile: str
    model_version: str
    params_fingerprint: str = Field(max_length=16)
    group_id: str | None = Field(default=None, max_length=16, index=True)
    run_id: int | None = Field(default=None, sa_type=BigInt, index=True)
    source: str = Field(max_length=16)
    late: bool = False
    received_ns: int | None = Field(default=None, sa_type=BigInt)
    committed_ns: int = Field(sa_type=BigInt)

    @classmethod
    def from_signal(
        cls,
        signal: Signal,
        *,
        source: str,
        committed_ns: int,
        run_id: int | None = None,
        received_ns: int | None = None,
        late: bool = False,
    ) -> SignalRow:
        """Return the row of `signal`.

        Parameters
        ----------
        source : str
            `live`, `simulated` or `replay`.
        received_ns : int, optional
            When its last record came off the socket, ns UTC; None in replay.
        late : bool
            True when it was found while catching up: never alerted as fresh.
        """
        return cls(
            **signal.to_json(),
            source=source,
            committed_ns=committed_ns,
            run_id=run_id,
            received_ns=received_ns,
            late=late,
        )

    def to_signal_json(self) -> dict[str, Any]:
        """Return the JSON object of the design's contract, as `Signal.to_json` gave it."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(Signal)}


class NoticeRow(SQLModel, table=True):
    """What operators are told of the platform itself; the key names the fact, once."""

    __tablename__ = "notice"

    notice_key: str = Field(primary_key=True, max_length=64)
    title: str
    text: str
    link: str | None = None
    created_ns: int = Field(sa_type=BigInt)


class AlertOutboxRow(SQLModel, table=True):
    """One alert owed for a signal or a notice: pending, sending, sent, unknown or failed."""

    __tablename__ = "alert_outbox"
    __table_args__ = (
        UniqueConstraint("signal_id", "channel", "kind"),
        UniqueConstraint("notice_key", "channel", "kind"),
        sa.Index("ix_alert_outbox_due", "state", "next_try_ns"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=Key)
    signal_id: str | None = Field(default=None, foreign_key="signal.signal_id", max_length=16)
    notice_key: str | None = Field(default=None, foreign_key="notice.notice_key", max_length=64)
    channel: str = Field(max_length=80)
    kind: str = Field(max_length=16, default="signal")
    state: str = Field(max_length=16, default="pending")
    attempts: int = 0
    next_try_ns: int = Field(default=0, sa_type=BigInt)
    created_ns: int = Field(sa_type=BigInt)
    sent_ns: int | None = Field(default=None, sa_type=BigInt)
    message_ts: str | None = Field(default=None, max_length=32)
    error: str | None = None
