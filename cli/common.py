"""What every command shares: options, settings, printing a result."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import typer

from config.settings import Settings, load_settings

Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="IFD_DATABASE_URL",
        help="database URL, sqlite:///PATH or postgresql://…  [default: sqlite:///var/ifd.db]",
        show_default=False,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        envvar="IFD_PROFILE",
        help="settings profile  [default: default]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON")]


def settings_for(database: str | None, profile: str | None) -> Settings:
    """Return the settings in force for a command."""
    return load_settings(profile=profile, database_url=database)


def print_json(value: Any) -> None:
    """Print `value` as one JSON document."""
    # Any: whatever a command's result is made of.
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode())
