"""Instruments, windows, bars and baselines: what the market was."""

from __future__ import annotations

from typing import Any

from sqlmodel import Field, Index, SQLModel

from models.base import BigInt, Json


def _later_column() -> Any:
    # Any: a field of whatever type it is annotated with.
    return Field(default=0, sa_type=BigInt, sa_column_kwargs={"server_default": "0"})


class InstrumentRow(SQLModel, table=True):
    """One instrument of one session date; ids are used again on other dates."""

    __tablename__ = "instrument"

    session_date: str = Field(primary_key=True, max_length=10)
    instrument_id: int = Field(
        primary_key=True, sa_type=BigInt, sa_column_kwargs={"autoincrement": False}
    )
    dataset: str = "GLBX.MDP3"
    raw_symbol: str = Field(index=True)
    asset: str
    instrument_class: str = Field(max_length=1)
    underlying: str
    underlying_id: int = Field(sa_type=BigInt)
    expiration_ns: int = Field(sa_type=BigInt)
    strike_price: int | None = Field(default=None, sa_type=BigInt)
    right: str | None = Field(default=None, max_length=1)
    multiplier: float
    min_price_increment: int = Field(sa_type=BigInt)
    user_defined: bool = False


class PressureWindowRow(SQLModel, table=True):
    """Pressure of one instrument in one closed window of the primary length or a longer one.

    What was stored before a column existed holds 0 in it.
    """

    __tablename__ = "pressure_window"
    __table_args__ = (Index("ix_pressure_window_session", "session_date", "window_start"),)

    instrument_id: int = Field(
        primary_key=True, sa_type=BigInt, sa_column_kwargs={"autoincrement": False}
    )
    window_start: int = Field(primary_key=True, sa_type=BigInt)
    window_end: int = Field(primary_key=True, sa_type=BigInt)
    params_fingerprint: str = Field(primary_key=True, max_length=16)
    session_date: str = Field(max_length=10)
    raw_symbol: str
    buy_volume: int = Field(sa_type=BigInt)
    sell_volume: int = Field(sa_type=BigInt)
    unsided_volume: int = Field(sa_type=BigInt)
    buy_trades: int
    sell_trades: int
    largest_print: int
    sweep_levels: int
    messages: int
    bid_adds: int = Field(sa_type=BigInt)
    ask_adds: int = Field(sa_type=BigInt)
    bid_pulls: int = Field(sa_type=BigInt)
    ask_pulls: int = Field(sa_type=BigInt)
    order_flow_imbalance: int = Field(sa_type=BigInt)
    mid_open: int | None = Field(default=None, sa_type=BigInt)
    mid_close: int | None = Field(default=None, sa_type=BigInt)
    unsided_trades: int = _later_column()
    cancels: int = _later_column()
    bid_refills: int = _later_column()
    ask_refills: int = _later_column()
    depth_imbalance: int = _later_column()
    quoted_ns: int = _later_column()
    touch_changes: int = _later_column()
    quoted_events: int = _later_column()
    spread_sum: int = _later_column()
    delta_volume: int = _later_column()
    delta_imbalance: int = _later_column()


class BarRow(SQLModel, table=True):
    """Open, high, low, close and volume of a future; the newest one is still moving."""

    __tablename__ = "bar"
    __table_args__ = (Index("ix_bar_updated", "updated_ns"),)

    instrument_id: int = Field(
        primary_key=True, sa_type=BigInt, sa_column_kwargs={"autoincrement": False}
    )
    interval_ns: int = Field(primary_key=True, sa_type=BigInt)
    start_ns: int = Field(primary_key=True, sa_type=BigInt)
    raw_symbol: str
    session_date: str = Field(max_length=10)
    open: int = Field(sa_type=BigInt)
    high: int = Field(sa_type=BigInt)
    low: int = Field(sa_type=BigInt)
    close: int = Field(sa_type=BigInt)
    volume: int = Field(sa_type=BigInt)
    trades: int
    closed: bool
    updated_ns: int = Field(sa_type=BigInt)


class BaselineRow(SQLModel, table=True):
    """What one measure of one instrument, or of its peers, usually is at a time of day."""

    __tablename__ = "baseline"

    key: str = Field(primary_key=True, max_length=64)
    metric: str = Field(primary_key=True, max_length=32)
    bucket: int = Field(primary_key=True)
    params_fingerprint: str = Field(primary_key=True, max_length=16)
    as_of: str = Field(max_length=10)
    sessions: int
    samples: int = Field(sa_type=BigInt)
    median: float
    mad: float
    quantiles: list[float] = Field(sa_type=Json)
    computed_ns: int = Field(sa_type=BigInt)
