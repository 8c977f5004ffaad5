"""`ifd bench` knows its benchmarks, and fails where a promise is broken."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.measures import Measure
from cli import bench
from ifd.errors import ConfigurationError

app = typer.Typer()
app.command()(bench.bench)


@pytest.mark.parametrize("module", bench.BENCHMARKS.values())
def test_every_benchmark_can_be_started(module: str) -> None:
    assert callable(importlib.import_module(module).measure)


def test_an_unknown_benchmark_is_refused_with_those_that_are() -> None:
    result = CliRunner().invoke(app, ["speed"])

    assert isinstance(result.exception, ConfigurationError)
    assert "engine" in str(result.exception)


@pytest.mark.parametrize(("value", "exit_code"), [(3.0, 0), (2.9, 1)])
def test_a_broken_promise_is_named_and_fails(
    monkeypatch: pytest.MonkeyPatch, value: float, exit_code: int
) -> None:
    def measure(directory: Path) -> Iterator[Measure]:
        assert directory.is_dir()
        yield Measure("books and windows", value, "million records/s", at_least=3.0)

    monkeypatch.setattr(importlib, "import_module", lambda _: SimpleNamespace(measure=measure))

    result = CliRunner().invoke(app, ["engine"])

    assert result.exit_code == exit_code
    assert ("BROKEN" in result.output) == bool(exit_code)
