"""What the build step of prefect.yaml says of a checkout, and when deployments are up to date."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from deployments import apply, steps


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what is deployed, under another path."""
    shutil.copytree(steps.ROOT / "flows", tmp_path / "flows")
    shutil.copy(steps.ROOT / "prefect.yaml", tmp_path)
    monkeypatch.setattr(steps, "ROOT", tmp_path)
    return tmp_path


def test_a_flow_is_started_by_this_interpreter_in_this_checkout(checkout: Path) -> None:
    described = steps.describe_checkout()

    assert described["directory"] == str(checkout)
    assert described["engine"] == f"{sys.executable} -m prefect.engine"
    assert described["version"] == steps.deployed_version()


def test_the_version_stays_while_nothing_changes(checkout: Path) -> None:
    assert steps.deployed_version() == steps.deployed_version()


@pytest.mark.parametrize("name", ["prefect.yaml", "flows/stream.py"])
def test_the_version_changes_with_what_is_deployed(checkout: Path, name: str) -> None:
    before = steps.deployed_version()

    with (checkout / name).open("a", encoding="utf-8") as file:
        file.write("# a comment\n")

    assert steps.deployed_version() != before


def test_the_version_changes_with_the_place_of_the_checkout(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = steps.deployed_version()
    moved = checkout.parent / "elsewhere"
    shutil.copytree(checkout, moved)
    monkeypatch.setattr(steps, "ROOT", moved)

    assert steps.deployed_version() != before


class Server:
    """Holds versions by deployment, and counts pools."""

    url = "http://127.0.0.1:1/api"

    def __init__(self, held: dict[str, str | None]) -> None:
        self.held = held
        self.pools: set[str] = set()

    def ensure_work_pool(self, name: str) -> bool:
        self.pools.add(name)
        return True

    def deployed_versions(self, _pool: str) -> dict[str, str | None]:
        return self.held


def test_nothing_is_deployed_when_the_server_holds_this_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = steps.deployed_version()
    deployed: list[str] = []
    monkeypatch.setattr(apply, "_deploy_all", deployed.append)
    monkeypatch.setattr(apply, "apply_automations", lambda _api, _webhook: ())
    _, names = apply.declared()
    current = Server(dict.fromkeys(names, version))
    partial = Server({"stream": version, "market-close": version})
    old = Server(dict.fromkeys(names, "0"))

    assert not apply.apply(current).changed  # type: ignore[arg-type]
    assert deployed == []
    assert apply.apply(current, again=True).changed  # type: ignore[arg-type]
    assert apply.apply(partial).changed  # type: ignore[arg-type]
    assert apply.apply(old).changed  # type: ignore[arg-type]
    assert len(deployed) == 3
    assert current.pools == {"ifd"}
