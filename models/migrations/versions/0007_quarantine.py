"""Batches that failed a critical check of quality."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("active_batch", sa.String(), nullable=True),
        sa.Column("shard", sa.String(64), nullable=False),
        sa.Column("session_date", sa.String(10), nullable=False),
        sa.Column("suite", sa.String(32), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column(
            "checks", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.Column("validation_id", sa.String(32), nullable=False),
        sa.Column("since_ns", sa.BigInteger(), nullable=False),
        sa.Column("released_ns", sa.BigInteger(), nullable=True),
        sa.Column("released_by", sa.String(), nullable=True),
        sa.Column("by_operator", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
        sa.UniqueConstraint("active_batch", name="uq_quarantine_active_batch"),
    )
    op.create_index("ix_quarantine_shard_session_date", "quarantine", ["shard", "session_date"])


def downgrade() -> None:
    op.drop_table("quarantine")
