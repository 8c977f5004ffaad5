"""`ifd evaluate` as a person runs it, and as the machine may end it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]


def command(out: Path) -> list[str]:
    return [
        sys.executable, "-m", "cli.main", "evaluate", "--seeds", "2", "--workers", "1",
        "--minutes", "2", "--learning-days", "1", "--rate", "5", "--episode-every", "20",
        "--out", str(out), "--json",
    ]  # fmt: skip


def results(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "seeds").glob("*.json")}


def test_killed_in_the_middle_it_leaves_no_process_and_goes_on_where_it_was(tmp_path: Path) -> None:
    interrupted, whole = tmp_path / "interrupted", tmp_path / "whole"
    process = subprocess.Popen(command(interrupted), cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_until(lambda: results(interrupted))
    workers = psutil.Process(process.pid).children(recursive=True)

    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    done = results(interrupted)

    assert workers
    assert alive == []
    assert 0 < len(done) < 4

    again = subprocess.run(command(interrupted), cwd=ROOT, capture_output=True, check=True)
    unbroken = subprocess.run(command(whole), cwd=ROOT, capture_output=True, check=True)

    assert results(interrupted) == results(whole)
    assert done.items() <= results(interrupted).items()
    assert json.loads(again.stdout) == json.loads(unbroken.stdout)
    assert (interrupted / "scores.png").read_bytes().startswith(b"\x89PNG")


def test_a_stored_session_has_outcomes_only(tmp_path: Path) -> None:
    finished = subprocess.run(
        [*command(tmp_path), "--session", "2026-10-05"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 2
    assert "outcomes only" in finished.stderr
