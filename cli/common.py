"""What every command shares: options, settings, printing a result."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from config.settings import Settings, load_settings

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


def _session_date(text: str | None) -> str | None:
    if text is not None:
        try:
            dt.date.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter(f"{text} is no date such as 2026-11-23") from None
    return text


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
SessionDate = Annotated[
    str | None,
    typer.Option(
        "--session",
        metavar="DATE",
        help="only of this session, as 2026-11-23",
        callback=_session_date,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON")]


def settings_for(database: str | None, profile: str | None) -> Settings:
    """Return the settings in force for a command."""
    return load_settings(profile=profile, database_url=database)


@contextmanager
def current_engine(settings: Settings) -> Iterator[Engine]:
    """Give an engine on a database that exists and is current.

    Raises
    ------
    DatabaseError
        If it is not, or cannot be used inside the block.
    """
    from models.base import make_engine
    from models.database import readable_errors, require_current

    require_current(settings.database_url)
    engine = make_engine(settings.database_url)
    try:
        with readable_errors(settings.database_url):
            yield engine
    finally:
        engine.dispose()


def print_json(value: Any) -> None:
    """Print `value` as one JSON document."""
    # Any: whatever a command's result is made of.
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode())
