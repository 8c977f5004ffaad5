"""What was spent and set aside, the work on holes, and what the checks of quality found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "backfill_request",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("shard", sa.String(64), nullable=False),
        sa.Column("session_date", sa.String(10), nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("end_ns", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try_ns", sa.BigInteger(), nullable=False),
        sa.Column("estimated_records", sa.BigInteger(), nullable=True),
        sa.Column("quoted_micro_dollars", sa.BigInteger(), nullable=True),
        sa.Column("spent_micro_dollars", sa.BigInteger(), nullable=False),
        sa.Column("received_records", sa.BigInteger(), nullable=False),
        sa.Column("added_records", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.String(), nullable=True),
        sa.Column("windows", sa.Integer(), nullable=False),
        sa.Column("late_signals", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_backfill_request"),
        sa.UniqueConstraint(
            "shard", "start_ns", "end_ns", name="uq_backfill_request_shard_start_ns_end_ns"
        ),
    )
    op.create_index("ix_backfill_request_session_date", "backfill_request", ["session_date"])
    op.create_index("ix_backfill_request_state", "backfill_request", ["state"])

    op.create_table(
        "budget_alarm",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("period", sa.String(10), nullable=False),
        sa.Column("percent", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sent_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "period", "percent", name="pk_budget_alarm"),
    )
    op.create_table(
        "cost_entry",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("purse_id", sa.String(32), nullable=True),
        sa.Column("symbols", sa.String(), nullable=False),
        sa.Column("dbn_schema", sa.String(16), nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=True),
        sa.Column("end_ns", sa.BigInteger(), nullable=True),
        sa.Column("quoted_micro_dollars", sa.BigInteger(), nullable=False),
        sa.Column("billed_micro_dollars", sa.BigInteger(), nullable=True),
        sa.Column("committed_micro_dollars", sa.BigInteger(), nullable=False),
        sa.Column("received_bytes", sa.BigInteger(), nullable=False),
        sa.Column("reserved_ns", sa.BigInteger(), nullable=False),
        sa.Column("settled_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_cost_entry"),
    )
    op.create_index("ix_cost_entry_fingerprint_state", "cost_entry", ["fingerprint", "state"])
    op.create_index("ix_cost_entry_kind_day", "cost_entry", ["kind", "day"])

    op.create_table(
        "quality_result",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("validation_id", sa.String(32), nullable=False),
        sa.Column("checked_ns", sa.BigInteger(), nullable=False),
        sa.Column("shard", sa.String(64), nullable=False),
        sa.Column("session_date", sa.String(10), nullable=False),
        sa.Column("suite", sa.String(32), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("check_name", sa.String(64), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("success", sa.Boolean(), nullable=False),
        sa.Column("elements", sa.BigInteger(), nullable=True),
        sa.Column("unexpected", sa.BigInteger(), nullable=True),
        sa.Column("observed", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_quality_result"),
    )
    op.create_index("ix_quality_result_session_date", "quality_result", ["session_date"])
    op.create_index("ix_quality_result_shard_checked_ns", "quality_result", ["shard", "checked_ns"])
    op.create_index("ix_quality_result_validation_id", "quality_result", ["validation_id"])


def downgrade() -> None:

    op.drop_table("quality_result")

    op.drop_table("cost_entry")
    op.drop_table("budget_alarm")

    op.drop_table("backfill_request")
