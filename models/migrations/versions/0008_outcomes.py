"""What prices did after each signal."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "signal_outcome",
        sa.Column("signal_id", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(8), nullable=False),
        sa.Column("horizon_minutes", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("instrument_id", sa.BigInteger(), nullable=True),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("end_ns", sa.BigInteger(), nullable=False),
        sa.Column("start_mid", sa.BigInteger(), nullable=True),
        sa.Column("end_mid", sa.BigInteger(), nullable=True),
        sa.Column("move", sa.BigInteger(), nullable=True),
        sa.Column("missing", sa.String(16), nullable=True),
        sa.Column("control_move", sa.Float(), nullable=True),
        sa.Column("controls", sa.Integer(), nullable=False),
        sa.Column("computed_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "signal_id", "subject", "horizon_minutes", name="pk_signal_outcome"
        ),
        sa.ForeignKeyConstraint(
            ["signal_id"], ["signal.signal_id"], name="fk_signal_outcome_signal_id_signal"
        ),
    )


def downgrade() -> None:
    op.drop_table("signal_outcome")
