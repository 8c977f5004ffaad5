"""`ifd db`: the database and its migrations."""

from __future__ import annotations

import dataclasses

import typer

from cli.common import AsJson, Database, Profile, print_json, settings_for

app = typer.Typer(no_args_is_help=True)


@app.callback()
def db() -> None:
    """Bring the database to the schema of this version."""


@app.command()
def upgrade(database: Database = None, profile: Profile = None, as_json: AsJson = False) -> None:
    """Create the database where it is absent, and migrate it.

    Example: ifd db upgrade --database postgresql://ifd@localhost/ifd
    """
    settings = settings_for(database, profile)
    from models.database import shown
    from models.database import upgrade as migrate

    done = migrate(settings.database_url)
    name = shown(settings.database_url)
    if as_json:
        print_json({"database": name, **dataclasses.asdict(done)})
    elif done.before == done.after:
        typer.echo(f"{name} is current, at revision {done.after}")
    else:
        typer.echo(f"{name} was migrated from revision {done.before or 'none'} to {done.after}")
