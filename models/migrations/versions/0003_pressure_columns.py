"""Pressure windows say more: refills, depth, quoted time, spread, delta."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ADDED: Final = (
    "unsided_trades",
    "cancels",
    "bid_refills",
    "ask_refills",
    "depth_imbalance",
    "quoted_ns",
    "touch_changes",
    "quoted_events",
    "spread_sum",
    "delta_volume",
    "delta_imbalance",
)


def upgrade() -> None:
    for name in ADDED:
        op.add_column(
            "pressure_window",
            sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"),
        )


def downgrade() -> None:
    with op.batch_alter_table("pressure_window") as table:
        for name in reversed(ADDED):
            table.drop_column(name)
