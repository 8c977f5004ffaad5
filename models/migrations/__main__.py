"""Write the next migration from what the tables say: `python -m models.migrations "what changes"`.

It compares with an empty SQLite file brought to the newest revision; read what it wrote before
committing it, Alembic sees neither renames nor data.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import Script

from models import migrations
from models.base import make_engine
from models.database import alembic_config, upgrade


def write_next(message: str) -> Path:
    """Write the next numbered migration and return its path."""
    number = f"{int(migrations.head()) + 1:04d}" if migrations.revisions() else "0001"
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/empty.db"
        if migrations.revisions():
            upgrade(url)
        engine = make_engine(url)
        with engine.begin() as connection:
            script = command.revision(
                alembic_config(connection), message, autogenerate=True, rev_id=number
            )
        engine.dispose()
    assert isinstance(script, Script)
    return Path(script.path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit('usage: python -m models.migrations "what changes"')
    sys.stdout.write(f"{write_next(sys.argv[1])}\n")
