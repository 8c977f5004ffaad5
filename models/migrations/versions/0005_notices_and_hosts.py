"""Notices to operators in the alert outbox, and the machine a run lives on.

A process id says something on its own machine only; a run of before has no machine and is taken
for a local one, as it was until now.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notice",
        sa.Column("notice_key", sa.String(64), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("link", sa.String(), nullable=True),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("notice_key", name="pk_notice"),
    )
    with op.batch_alter_table("alert_outbox") as outbox:
        outbox.alter_column("signal_id", existing_type=sa.String(16), nullable=True)
        outbox.add_column(sa.Column("notice_key", sa.String(64), nullable=True))
        outbox.create_foreign_key(
            "fk_alert_outbox_notice_key_notice", "notice", ["notice_key"], ["notice_key"]
        )
        outbox.create_unique_constraint(
            "uq_alert_outbox_notice_key_channel_kind", ["notice_key", "channel", "kind"]
        )
    with op.batch_alter_table("stream_run") as stream_run:
        stream_run.add_column(sa.Column("host", sa.String(255), nullable=False, server_default=""))
    with op.batch_alter_table("stream_run") as stream_run:
        stream_run.alter_column("host", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("stream_run") as stream_run:
        stream_run.drop_column("host")
    op.execute("delete from alert_outbox where signal_id is null")
    with op.batch_alter_table("alert_outbox") as outbox:
        outbox.drop_constraint("uq_alert_outbox_notice_key_channel_kind", type_="unique")
        outbox.drop_constraint("fk_alert_outbox_notice_key_notice", type_="foreignkey")
        outbox.drop_column("notice_key")
        outbox.alter_column("signal_id", existing_type=sa.String(16), nullable=False)
    op.drop_table("notice")
