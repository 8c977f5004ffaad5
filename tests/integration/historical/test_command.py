"""`ifd historical` as a person runs it, against the local API."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import databento
import pytest
import structlog
from databento.common.error import BentoServerError
from typer.testing import CliRunner, Result

from cli.main import app
from ifd.errors import BudgetExceededError, ConfigurationError
from simulator.historical import HistoricalServer
from simulator.live import DEFAULT_KEY
from simulator.serve import GatewayOptions, run_gateway

pytestmark = pytest.mark.integration

SPAN = ["--start", "2026-10-05T13:30", "--end", "2026-10-05T14:00:00Z", "--symbol", "NQ.OPT"]


@pytest.fixture(autouse=True)
def _environment(api: HistoricalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DATABENTO_API_KEY", DEFAULT_KEY)
    monkeypatch.setenv("IFD_HISTORICAL__GATEWAY", api.address)
    yield
    structlog.reset_defaults()


def run(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["historical", *arguments], input=answer)


def test_a_quote_says_price_and_size() -> None:
    said = run("quote", *SPAN)
    as_json = json.loads(run("quote", *SPAN, "--json").stdout)

    assert said.exit_code == 0, said.output
    assert f"${as_json['micro_dollars'] / 1e6:,.6f}" in said.stdout
    assert f"{as_json['billable_bytes']:,} bytes of mbo" in said.stdout
    assert (as_json["symbols"], as_json["slices"]) == (["NQ.OPT"], 1)
    assert len(as_json["fingerprint"]) == 64


def test_nothing_is_spent_until_the_person_agrees(api: HistoricalServer, tmp_path: Path) -> None:
    refused = run("fetch", *SPAN, "--out", str(tmp_path), answer="n\n")
    asked = [one.method for one in api.door.exchanges]

    agreed = run("fetch", *SPAN, "--out", str(tmp_path), answer="y\n")

    assert refused.exit_code == 1
    assert "timeseries.get_range" not in asked
    assert agreed.exit_code == 0, agreed.output
    assert "1 files" in agreed.stdout
    assert len(list(tmp_path.iterdir())) == 1


def test_a_second_fetch_finds_everything_there(tmp_path: Path) -> None:
    first = json.loads(run("fetch", *SPAN, "--out", str(tmp_path), "--yes", "--json").stdout)

    again = run("fetch", *SPAN, "--out", str(tmp_path))

    assert first["micro_dollars"] > 0
    assert again.exit_code == 0, again.output
    assert "$0.000000 spent" in again.stdout
    assert "1 slices were there already" in again.stdout


def test_warnings_and_retries_do_not_spoil_the_answer(
    api: HistoricalServer, tmp_path: Path
) -> None:
    degraded = ["--start", "2026-10-06T13:30", "--end", "2026-10-06T13:31", "--symbol", "NQ.FUT"]
    api.door.faults.plan("500", "metadata.get_billable_size", count=1)

    done = run("fetch", *degraded, "--out", str(tmp_path), "--yes", "--json")

    assert "(degraded)" in json.loads(done.stdout)["notices"][0]
    assert "asking again" in done.stderr


def test_the_cap_stops_a_fetch_before_it_begins(api: HistoricalServer, tmp_path: Path) -> None:
    stopped = run("fetch", *SPAN, "--out", str(tmp_path), "--yes", "--max-cost", "0.000001")

    assert isinstance(stopped.exception, BudgetExceededError)
    assert "timeseries.get_range" not in [one.method for one in api.door.exchanges]
    assert list(tmp_path.iterdir()) == []


def test_conditions_and_prices_are_shown() -> None:
    days = run("condition", "--start", "2026-10-05", "--end", "2026-10-07")
    prices = run("prices", "--json")

    assert [line.split()[1].rstrip(",") for line in days.stdout.splitlines()] == [
        "available",
        "degraded",
        "missing",
    ]
    assert json.loads(prices.stdout)["mbo"] == 1.8


def test_a_moment_that_is_none_is_a_wrong_use() -> None:
    wrong = run("quote", "--start", "noon", "--end", "2026-10-05T14:00")

    assert wrong.exit_code == 2
    assert "noon" in wrong.output


def test_the_gateway_serves_its_files_as_history_too(served_days: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ready, trusted = tmp_path / "ready.json", tmp_path / "made" / "ca.pem"
    command = [sys.executable, "-m", "cli.main", "gateway", "--port", "0", "--serve"]
    command += [str(served_days), "--ready-file", str(ready), "--historical-port", str(port)]
    command += ["--historical-ca", str(trusted), "--historical-fault", "metadata/500:1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 30
            while not ready.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline, "the gateway did not start"
                time.sleep(0.02)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
                client = databento.Historical(
                    os.environ["DATABENTO_API_KEY"], gateway=f"https://127.0.0.1:{port}"
                )
                with pytest.raises(BentoServerError):
                    client.metadata.list_datasets()
                assert client.metadata.list_schemas("GLBX.MDP3") == ["definition", "mbo"]
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_history_of_the_simulated_market_is_not_to_be_had() -> None:
    with pytest.raises(ConfigurationError, match="--serve"):
        asyncio.run(run_gateway(GatewayOptions(historical_port=0)))
