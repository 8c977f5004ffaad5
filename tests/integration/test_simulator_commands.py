"""`ifd simulate` and `ifd gateway` as a person runs them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
IFD = [sys.executable, "-m", "cli.main"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*IFD, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_sessions_are_written_and_counted(tmp_path: Path) -> None:
    out = tmp_path / "sessions"

    finished = run(
        "simulate", "--days", "2", "--seed", "4", "--out", str(out), "--minutes", "1",
        "--rate", "40", "--json",
    )  # fmt: skip

    assert finished.returncode == 0
    result = json.loads(finished.stdout)
    assert (result["sessions"], result["instruments"]) == (2, 241)
    assert result["bytes"] == sum(path.stat().st_size for path in out.iterdir())
    assert len(list(out.glob("*.mbo.dbn.zst"))) == 2


def test_a_directory_in_use_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    finished = run("simulate", "--days", "1", "--seed", "1", "--out", str(tmp_path))

    assert finished.returncode == 1
    assert len(finished.stderr.strip().splitlines()) == 1
    assert "--force" in finished.stderr


@pytest.mark.parametrize("command", ["simulate", "gateway"])
def test_help_shows_an_example(command: str) -> None:
    finished = run(command, "--help")

    assert finished.returncode == 0
    assert f"Example: ifd {command} --" in finished.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_simulation_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    command = [*IFD, "simulate", "--days", "50", "--seed", "1", "--out", str(tmp_path / "out")]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob(".out-*/*.mbo.dbn.zst")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)

        assert process.wait(timeout=20) != 0
    assert list(tmp_path.iterdir()) == []


def test_the_gateway_says_how_to_point_ifd_at_it(tmp_path: Path) -> None:
    command = [*IFD, "gateway", "--port", "0", "--history-minutes", "0.1"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().strip() for _ in range(5)]
        process.send_signal(signal.SIGINT)

        assert process.wait(timeout=20) == 0
    port = said[0].split(";")[0].rsplit(":", 1)[1]
    assert said[1:] == [
        "export IFD_FEED__HOST=127.0.0.1",
        f"export IFD_FEED__PORT={port}",
        "export IFD_FEED__SIMULATED=true",
        "export DATABENTO_API_KEY=db-simulated-exchange-0000000000",
    ]
