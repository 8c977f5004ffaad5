"""Alembic's environment: it runs in the connection and transaction that `models.database` opened.

Batch mode, because SQLite alters a table by writing it anew; DDL inside the transaction on both
databases, because a half-run migration is worse than none.
"""

from __future__ import annotations

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString

import models.market
import models.money
import models.operations
import models.outcomes
import models.quality
import models.signals  # noqa: F401  the six fill SQLModel.metadata


def spell_type(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Spell a column type so that a migration needs neither SQLModel nor a repair by hand."""
    # Any: Alembic passes whatever it is about to write.
    if kind != "type":
        return False
    if isinstance(item, AutoString):
        return "sa.String()" if item.length is None else f"sa.String({item.length})"
    if isinstance(item, sa.JSON):
        autogen.imports.add("from sqlalchemy.dialects import postgresql")
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    compare_type=True,
    compare_server_default=True,
    transactional_ddl=True,
    render_item=spell_type,
)
with context.begin_transaction():
    context.run_migrations()
