"""The schema's migrations, numbered in order: `versions/0001_….py`, `versions/0002_….py` and so on.

Their numbers are read from the file names, so that asking "is this database current" costs no
import of Alembic. `python -m models.migrations "what changes"` writes the next one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

DIRECTORY: Final = Path(__file__).resolve().parent


def revisions() -> list[str]:
    """Return the revisions known here, oldest first."""
    return sorted(path.stem.split("_")[0] for path in (DIRECTORY / "versions").glob("[0-9]*_*.py"))


def head() -> str:
    """Return the revision that this version of the project needs."""
    return revisions()[-1]
