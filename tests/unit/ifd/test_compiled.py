"""Compiled code is found again on disk, and never mistaken for another version."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ifd import compiled
from ifd.windows import kernel

ROOT = Path(__file__).resolve().parents[3]
LIGHT = (
    "ifd.records, ifd.gateway, ifd.replay, ifd.sessions, ifd.clock, ifd.units, ifd.symbols, "
    "ifd.metrics, ifd.baseline, sinks.archive, config.settings"
)
ONE_KERNEL = """
from ifd.options import implied_volatility
print(implied_volatility(620.0, 25000.0, 24800.0, 0.1, True))
"""


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_kernel_is_cached_under_the_digest_of_all_its_sources() -> None:
    assert kernel.advance.__qualname__.endswith(compiled.SOURCE_DIGEST)


def test_what_receives_and_stores_loads_no_compiler() -> None:
    loaded = run(f"import {LIGHT}, sys; print('numba' in sys.modules)")

    assert loaded.strip() == "False"


def test_compiled_code_is_kept_where_the_environment_says(tmp_path: Path) -> None:
    volatility = run(ONE_KERNEL, NUMBA_CACHE_DIR=str(tmp_path))

    kept = sorted(path.suffix for path in tmp_path.rglob("*") if path.is_file())
    assert float(volatility) > 0
    assert kept == [".nbc", ".nbi"]


def test_where_nothing_can_be_kept_it_is_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As numba answers in a read-only checkout of a user without a home directory."""
    from numba.core.caching import CacheImpl

    monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    @compiled.kernel
    def twice(value: int) -> int:
        return 2 * value

    assert twice(21) == 42
