"""What the tables promise to whatever is written into them."""

import dataclasses
import importlib
import pkgutil
import re

import pytest
import sqlalchemy as sa
from sqlmodel import SQLModel

import models
from ifd.signals import Signal
from models import migrations
from models.signals import SignalRow

WIDE = re.compile(
    r"_ns$|^ts_|_ts$|window_(start|end)|price|^(open|high|low|close)$|mid_|volume|_id$|bytes"
)
NARROW = {"flow_run_id", "signal_id", "group_id", "message_ts", "purse_id", "validation_id"}
"""Text that only looks like a number of the feed."""


def integer_columns() -> list[sa.Column[int]]:
    for module in pkgutil.iter_modules(models.__path__):
        importlib.import_module(f"models.{module.name}")
    return [
        column
        for table in SQLModel.metadata.sorted_tables
        for column in table.columns
        if WIDE.search(column.name) and column.name not in NARROW
    ]


@pytest.mark.parametrize("column", integer_columns(), ids=str)
def test_times_prices_and_volumes_fit_sixty_four_bits(column: sa.Column[int]) -> None:
    assert isinstance(column.type, sa.BigInteger)


def test_every_field_of_a_signal_has_its_column() -> None:
    columns = set(SignalRow.model_fields)

    assert {field.name for field in dataclasses.fields(Signal)} <= columns


def test_migrations_are_numbered_as_alembic_links_them() -> None:
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(migrations.DIRECTORY))
    linked = [revision.revision for revision in script.walk_revisions()]

    assert migrations.revisions() == linked[::-1]
    assert migrations.head() == script.get_current_head()
