"""The lock files agree: what pip installs is what uv installs.

After a change of dependencies:

    uv lock
    options="--frozen --no-hashes --no-emit-project --no-header"
    uv export $options --no-dev -o requirements/runtime.txt
    uv export $options -o requirements/dev.txt
"""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def locked_versions() -> dict[str, set[str]]:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    versions: dict[str, set[str]] = {}
    for package in lock["package"]:
        versions.setdefault(package["name"], set()).add(package.get("version", ""))
    return versions


def direct_dependencies(group: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = list(project["project"]["dependencies"])
    if group == "dev":
        lines += project["dependency-groups"]["dev"]
    return {re.split(r"[\[<>=!~;]", line, maxsplit=1)[0].strip().lower() for line in lines}


@pytest.mark.parametrize("group", ["runtime", "dev"])
def test_exported_requirements_are_those_of_the_lock_file(group: str) -> None:
    text = (ROOT / "requirements" / f"{group}.txt").read_text()
    pins = re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)", text, flags=re.MULTILINE)

    locked = locked_versions()
    stale = [f"{name}=={version}" for name, version in pins if version not in locked[name]]

    assert stale == []
    assert direct_dependencies(group) <= {name for name, _ in pins}
