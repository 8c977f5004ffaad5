"""A real Prefect server and worker as `ifd up` starts them, and what tests ask of them.

The stream's gateway is a port where nobody answers, unless a test starts one there: a stream lives,
beats and obeys without a market.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import stamina
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from config.settings import ROOT_DIR, Settings, load_settings
from models.base import make_engine
from models.database import upgrade
from models.market import BaselineRow
from models.operations import StreamRunRow
from models.runs import latest_run
from runtime.children import Child, free_port
from runtime.prefect_services import (
    STREAM_DEPLOYMENT,
    FlowRun,
    PrefectApi,
    api_url,
    prefect_environment,
    server_program,
    worker_program,
)
from runtime.supervisor import read_run
from simulator.live import DEFAULT_KEY
from tests.exchange import SYMBOLS
from tests.waiting import wait_until


class Platform:
    """The server, the worker, and what they share."""

    def __init__(self, var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.var = var
        self.environment = {
            "IFD_DATABASE_URL": f"sqlite:///{var / 'ifd.db'}",
            "IFD_LOG_DIRECTORY": str(var / "log"),
            "IFD_ARCHIVE__DIRECTORY": str(var / "archive"),
            "IFD_ARCHIVE__FLUSH_SECONDS": "0.2",
            "IFD_SESSION__HOURS": "always",
            "IFD_FEED__SIMULATED": "true",
            "IFD_FEED__HOST": "127.0.0.1",
            "IFD_FEED__PORT": str(free_port()),
            "IFD_FEED__PARENTS": json.dumps([SYMBOLS[0]]),
            "IFD_FEED__FUTURES": json.dumps([SYMBOLS[1]]),
            "IFD_FEED__REPLAY_MINUTES": "5",
            "IFD_FEED__RECONNECT_MAX_SECONDS": "1",
            "IFD_BASELINE__DIRECTORY": str(var / "baselines"),
            "IFD_PREFECT__PORT": str(free_port()),
            "DATABENTO_API_KEY": DEFAULT_KEY,
            "SLACK_WEBHOOK_URL": "http://127.0.0.1:9/nobody-reads-it",
        }
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        self.settings: Settings = load_settings()
        upgrade(self.settings.database_url)
        self.engine: Engine = make_engine(self.settings.database_url)
        self.api = PrefectApi(api_url(self.settings))

    def start(self) -> None:
        """Start the server, and the worker beside it, as `ifd up` does."""
        given = {"var": self.var, "environment": self.environment}
        self.server = Child(server_program(self.settings, **given))
        self.worker = Child(worker_program(self.settings, **given))
        self.api.wait_healthy(timeout_seconds=90, is_alive=lambda: self.server.exit_code is None)
        self.worker.wait_ready(timeout_seconds=120)
        # The tests say when they look; by their schedules they would act in the middle of one.
        deployed = self.deployments()
        for name in ("watchdog", "stream-quality", "gap-scan", "backfill"):
            self.request("PATCH", f"/deployments/{deployed[name]['id']}", {"paused": True})

    def start_server(self) -> None:
        """Start the server again."""
        self.server = Child(
            server_program(self.settings, var=self.var, environment=self.environment)
        )
        self.api.wait_healthy(timeout_seconds=90)

    def start_worker(self) -> None:
        """Start the worker again."""
        self.worker = Child(
            worker_program(self.settings, var=self.var, environment=self.environment)
        )
        self.worker.wait_ready(timeout_seconds=120)

    def stop(self) -> None:
        self.worker.stop()
        self.server.stop()
        self.engine.dispose()
        self.api.close()

    def request(self, method: str, path: str, body: Any = None) -> Any:
        # As Prefect's own client does: its server answers 503 while its SQLite is locked.
        for attempt in stamina.retry_context(on=httpx.HTTPStatusError, timeout=30):
            with attempt:
                response = httpx.request(method, f"{self.api.url}{path}", json=body, timeout=30)
                response.raise_for_status()
        return response.json() if response.content else None

    def deployments(self) -> dict[str, dict[str, Any]]:
        found = self.request("POST", "/deployments/filter", {})
        return {each["name"]: each for each in found}

    def wait_ended(self, run: FlowRun, *, seconds: float = 180.0) -> FlowRun:
        wait_until(
            lambda: self.api.flow_run(run.id).has_ended, f"{run.name} to end", seconds=seconds
        )
        return self.api.flow_run(run.id)

    def start_stream(self) -> tuple[FlowRun, int]:
        """Start the stream's flow; return it with the id of the run that beats by now."""
        run = self.api.create_run(STREAM_DEPLOYMENT)
        wait_until(lambda: self.run_of(run) is not None or self.ended(run), "the row")
        row = self.run_of(run)
        assert row is not None, self.api.flow_run(run.id)
        assert row.id is not None
        run_id = row.id
        wait_until(
            lambda: read_run(self.engine, run_id).status == "streaming" or self.ended(run),
            "the stream",
        )
        assert read_run(self.engine, run_id).status == "streaming", self.api.flow_run(run.id)
        return run, run_id

    def ended(self, run: FlowRun) -> bool:
        return self.api.flow_run(run.id).has_ended

    def run_of(self, run: FlowRun) -> StreamRunRow | None:
        with Session(self.engine, expire_on_commit=False) as session:
            return session.exec(
                select(StreamRunRow).where(StreamRunRow.flow_run_id == run.id)
            ).first()

    def baselines(self) -> list[dict[str, Any]]:
        with Session(self.engine) as session:
            rows = session.exec(select(BaselineRow)).all()
        found = [row.model_dump(exclude={"id", "computed_ns"}) for row in rows]
        return sorted(found, key=lambda row: (row["key"], row["metric"], row["bucket"]))

    def newest_run(self) -> StreamRunRow:
        with Session(self.engine, expire_on_commit=False) as session:
            run = latest_run(session)
        assert run is not None
        return run

    def is_live(self, *, beyond: int) -> bool:
        run = self.newest_run()
        return run.active_shard is not None and run.caught_up and run.records > beyond

    def has_archived(self) -> bool:
        files = self.settings.archive.directory.rglob("*.dbn*")
        return any(path.stat().st_size > 10_000 for path in files)

    def artifacts(self, run: FlowRun) -> dict[str, dict[str, Any]]:
        body = {"flow_runs": {"id": {"any_": [run.id]}}}
        return {each["key"]: each for each in self.request("POST", "/artifacts/filter", body)}

    def logs(self, run: FlowRun) -> str:
        body = {"logs": {"flow_run_id": {"any_": [run.id]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(each["message"] for each in self.request("POST", "/logs/filter", body))

    def apply(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "deployments.apply", *arguments],
            cwd=ROOT_DIR,
            env={**os.environ, **prefect_environment(self.settings, var=self.var)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def running_platform(var: Path) -> Iterator[Platform]:
    """Give a platform that runs, with its settings in this process's environment, and end it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        platform = Platform(var, monkeypatch)
        try:
            platform.start()
            yield platform
        finally:
            platform.stop()
