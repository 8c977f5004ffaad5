"""`ifd parents`: exit code and words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app


def test_options_under_a_parent_nobody_subscribed_to_end_with_exit_1(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real definitions of the quarterly ES options, while only a weekly is subscribed to."""
    monkeypatch.setenv("IFD_FEED__FUTURES", '["ES.FUT"]')
    monkeypatch.setenv("IFD_FEED__PARENTS", '["E1A.OPT"]')
    file = str(data_dir / "glbx/definition-glbx-es-opt.dbn.zst")

    found = CliRunner().invoke(app, ["parents", "--definitions", file])

    assert found.exit_code == 1
    assert "UNWATCHED    ES.OPT" in found.stdout


def test_a_chain_that_is_subscribed_to_ends_with_exit_0(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IFD_FEED__FUTURES", '["ES.FUT"]')
    file = str(data_dir / "glbx/definition-glbx-es-opt.dbn.zst")
    told = json.loads(CliRunner().invoke(app, ["parents", "--definitions", file, "--json"]).stdout)
    monkeypatch.setenv("IFD_FEED__PARENTS", json.dumps(told["listed"]))

    found = CliRunner().invoke(app, ["parents", "--definitions", file])

    assert found.exit_code == 0
    assert "every parent of the chain is subscribed to" in found.stdout
