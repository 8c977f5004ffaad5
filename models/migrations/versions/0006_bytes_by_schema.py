"""What a stream has received, by schema: accounts that pay by the byte are billed for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB, "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("stream_run") as stream_run:
        stream_run.add_column(
            sa.Column("bytes_by_schema", _JSON, nullable=False, server_default="{}")
        )
    with op.batch_alter_table("stream_run") as stream_run:
        stream_run.alter_column("bytes_by_schema", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("stream_run") as stream_run:
        stream_run.drop_column("bytes_by_schema")
