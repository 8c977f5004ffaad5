"""Build step of prefect.yaml: what must be known of this checkout when it is deployed."""

from __future__ import annotations

import hashlib
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent


def describe_checkout() -> dict[str, str]:
    """Return where this checkout is, how a flow's process is started, and the version deployed."""
    return {
        "directory": str(ROOT),
        "engine": shlex.join([sys.executable, "-m", "prefect.engine"]),
        "version": deployed_version(),
    }


def deployed_version() -> str:
    """Return 12 hex digits that change whenever deploying again would change anything.

    A deployment holds prefect.yaml, the flows' signatures, and the place of checkout and
    interpreter. What flows import is read afresh by every run.
    """
    digest = hashlib.sha256()
    for path in sorted([ROOT / "prefect.yaml", *(ROOT / "flows").glob("*.py")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for part in (str(ROOT), sys.executable, version("prefect")):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:12]
