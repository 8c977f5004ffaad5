"""Requests for the doubtful books of a session, beside those for holes of all instruments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_OLD = "uq_backfill_request_shard_start_ns_end_ns"
_NEW = "uq_backfill_request_shard_start_ns_end_ns_of_doubts"


def upgrade() -> None:
    with op.batch_alter_table("backfill_request") as request:
        request.add_column(
            sa.Column("of_doubts", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        request.drop_constraint(_OLD, type_="unique")
        request.create_unique_constraint(_NEW, ["shard", "start_ns", "end_ns", "of_doubts"])
    with op.batch_alter_table("backfill_request") as request:
        request.alter_column("of_doubts", server_default=None)


def downgrade() -> None:
    op.execute("delete from backfill_request where of_doubts")
    with op.batch_alter_table("backfill_request") as request:
        request.drop_constraint(_NEW, type_="unique")
        request.create_unique_constraint(_OLD, ["shard", "start_ns", "end_ns"])
        request.drop_column("of_doubts")
