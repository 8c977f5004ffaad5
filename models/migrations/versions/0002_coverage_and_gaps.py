"""Coverage by stretch, gaps by instrument and size, the feed's state in its run's row.

What a run received was one row, from first to last record; it becomes the run's first stretch. The
gaps in it were recorded beside it, so nothing is claimed that was not claimed before.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("archive_file") as archive_file:
        archive_file.create_index("ix_archive_file_shard_closed_ns", ["shard", "closed_ns"])
    _upgrade_coverage()
    _upgrade_gap()
    with op.batch_alter_table("stream_run") as stream_run:
        stream_run.add_column(
            sa.Column("feed_state", sa.String(16), nullable=False, server_default="")
        )
        stream_run.add_column(
            sa.Column("caught_up", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    with op.batch_alter_table("stream_run") as stream_run:
        stream_run.alter_column("feed_state", server_default=None)
        stream_run.alter_column("caught_up", server_default=None)


def _upgrade_coverage() -> None:
    with op.batch_alter_table("coverage") as coverage:
        coverage.add_column(sa.Column("number", sa.Integer(), nullable=True))
        coverage.add_column(
            sa.Column("origin", sa.String(16), nullable=False, server_default="live")
        )
        coverage.add_column(
            sa.Column("is_open", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    op.execute(
        "UPDATE coverage SET number = (SELECT count(*) FROM coverage AS earlier"
        " WHERE earlier.run_id = coverage.run_id AND earlier.id <= coverage.id)"
    )
    with op.batch_alter_table("coverage") as coverage:
        coverage.alter_column("number", existing_type=sa.Integer(), nullable=False)
        coverage.alter_column("origin", server_default=None)
        coverage.alter_column("is_open", server_default=None)
        coverage.alter_column("run_id", existing_type=sa.BigInteger(), nullable=True)
        coverage.drop_index("ix_coverage_run_id")
        coverage.create_index(
            "ix_coverage_shard_dbn_schema_end_ns", ["shard", "dbn_schema", "end_ns"]
        )
        coverage.create_unique_constraint("uq_coverage_run_id_number", ["run_id", "number"])


def _upgrade_gap() -> None:
    with op.batch_alter_table("gap") as gap:
        gap.add_column(sa.Column("instrument_id", sa.BigInteger(), nullable=True))
        gap.add_column(sa.Column("raw_symbol", sa.String(64), nullable=True))
        gap.add_column(sa.Column("missing_ns", sa.BigInteger(), nullable=True))
        gap.add_column(sa.Column("estimated_records", sa.BigInteger(), nullable=True))
        gap.add_column(sa.Column("updated_ns", sa.BigInteger(), nullable=True))
        gap.create_index("ix_gap_shard_start_ns", ["shard", "start_ns"])
        gap.create_index("ix_gap_state", ["state"])
    op.execute("UPDATE gap SET missing_ns = end_ns - start_ns WHERE end_ns IS NOT NULL")


def downgrade() -> None:
    with op.batch_alter_table("stream_run") as stream_run:
        stream_run.drop_column("caught_up")
        stream_run.drop_column("feed_state")
    with op.batch_alter_table("gap") as gap:
        gap.drop_index("ix_gap_state")
        gap.drop_index("ix_gap_shard_start_ns")
        for name in (
            "updated_ns",
            "estimated_records",
            "missing_ns",
            "raw_symbol",
            "instrument_id",
        ):
            gap.drop_column(name)
    # The older schema has no place for coverage without a run.
    op.execute("DELETE FROM coverage WHERE run_id IS NULL")
    with op.batch_alter_table("coverage") as coverage:
        coverage.drop_constraint("uq_coverage_run_id_number", type_="unique")
        coverage.drop_index("ix_coverage_shard_dbn_schema_end_ns")
        coverage.create_index("ix_coverage_run_id", ["run_id"])
        coverage.alter_column("run_id", existing_type=sa.BigInteger(), nullable=False)
        coverage.drop_column("is_open")
        coverage.drop_column("origin")
        coverage.drop_column("number")
    with op.batch_alter_table("archive_file") as archive_file:
        archive_file.drop_index("ix_archive_file_shard_closed_ns")
