"""Every setting, command and table is documented where its user would look."""

from pathlib import Path

import pytest
import typer
from pydantic import BaseModel
from sqlmodel import SQLModel

import models.market
import models.money
import models.operations
import models.outcomes
import models.quality
import models.signals  # noqa: F401  the six fill SQLModel.metadata
from cli.main import app
from config.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def setting_names() -> list[str]:
    names = []
    for section, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += [f"{section}.{key}" for key in kind.model_fields]
    return names


def command_names() -> list[str]:
    root = typer.main.get_command(app)
    names = []
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        names += [f"ifd {name} {sub}" for sub in inner] if inner else [f"ifd {name}"]
    return names


@pytest.mark.parametrize("name", setting_names())
def test_every_setting_is_in_the_settings_page(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "settings.md").read_text()


@pytest.mark.parametrize("name", command_names())
def test_every_command_is_in_the_command_page(name: str) -> None:
    assert f"`{name}" in (ROOT / "docs" / "commands.md").read_text()


@pytest.mark.parametrize("name", sorted(SQLModel.metadata.tables))
def test_every_table_is_in_the_table_page(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "tables.md").read_text()
