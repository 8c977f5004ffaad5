"""Prefect's server and worker as children of `ifd up`, and its REST API, without importing Prefect.

Importing Prefect takes two seconds, its command line four; the API takes milliseconds. The server
runs as Prefect's own background mode runs it. The worker process (`deployments.worker`) imports
Prefect while the server still starts, then applies the deployments and begins to poll.
Every environment setting below is explained in docs/prefect.md.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import stamina

from config.settings import ROOT_DIR, Settings
from ifd.errors import EnvironmentProblemError
from runtime.children import Program

SERVER_HOST: Final = "127.0.0.1"
STREAM_DEPLOYMENT: Final = "ifd-stream/stream"
MARKET_CLOSE_DEPLOYMENT: Final = "ifd-market-close/market-close"
WATCHDOG_DEPLOYMENT: Final = "ifd-watchdog/watchdog"
BASELINES_DEPLOYMENT: Final = "ifd-baselines/baselines"
COSTS_DEPLOYMENT: Final = "ifd-costs/costs"
GAP_SCAN_DEPLOYMENT: Final = "ifd-gap-scan/gap-scan"
BACKFILL_DEPLOYMENT: Final = "ifd-backfill/backfill"
REQUEST_SECONDS: Final = 30.0
RETRY_SECONDS: Final = 30.0
_BUSY: Final = (408, 429, 502, 503)
"""What Prefect's own client repeats."""


def api_url(settings: Settings) -> str:
    """Return the address of the API of the server that `ifd up` starts."""
    return f"http://{SERVER_HOST}:{settings.prefect.port}/api"


def prefect_environment(settings: Settings, *, var: Path) -> dict[str, str]:
    """Return what server, worker, flows and Prefect's own commands need in their environment."""
    return {
        "PREFECT_HOME": str((var / "prefect").absolute()),
        "PREFECT_API_URL": api_url(settings),
        "PREFECT_SERVER_API_HOST": SERVER_HOST,
        "PREFECT_SERVER_API_PORT": str(settings.prefect.port),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_CLI_PROMPT": "false",
        "PYTHONUNBUFFERED": "1",
    }


def server_program(settings: Settings, *, var: Path, environment: Mapping[str, str]) -> Program:
    """Return the Prefect server; `PrefectApi.wait_healthy` tells when it serves."""
    package = importlib.util.find_spec("prefect")
    assert package is not None
    assert package.origin is not None
    (var / "prefect").mkdir(parents=True, exist_ok=True)
    return Program(
        name="Prefect server",
        # What `prefect server start --background` runs: a second sooner than through its command.
        arguments=[
            *(sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"),
            *("--app-dir", str(Path(package.origin).parent.parent)),
            *("--host", SERVER_HOST, "--port", str(settings.prefect.port)),
            *("--timeout-keep-alive", "5", "--timeout-graceful-shutdown", "2"),
        ],
        log=var / "log" / "prefect-server.log",
        environment={
            **environment,
            **prefect_environment(settings, var=var),
            "PREFECT__SERVER_FINAL": "1",
        },
    )


def worker_program(settings: Settings, *, var: Path, environment: Mapping[str, str]) -> Program:
    """Return the worker: ready once prefect.yaml is applied and runs may be created.

    `environment` reaches the worker and through it every flow it starts: today's and the scheduled.
    """
    ready = var / "run" / "prefect-worker.json"
    ready.parent.mkdir(parents=True, exist_ok=True)
    return Program(
        name="Prefect worker",
        arguments=[
            *(sys.executable, "-m", "deployments.worker"),
            *("--ready-file", str(ready.absolute()), "--wait-server", "120"),
        ],
        log=var / "log" / "prefect-worker.log",
        environment={
            **environment,
            **prefect_environment(settings, var=var),
            "PYTHONPATH": str(ROOT_DIR),
        },
        ready_file=ready,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class FlowRun:
    """A flow run as the server knows it; `state_type` is COMPLETED, RUNNING, CRASHED and so on."""

    id: str
    name: str
    state_type: str
    state_name: str
    message: str

    @property
    def has_ended(self) -> bool:
        """True in a final state."""
        return self.state_type in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class PrefectApi:
    """The few requests this project makes to a Prefect server."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(base_url=self.url, timeout=REQUEST_SECONDS)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def is_healthy(self) -> bool:
        """Return True when the server answers that it is well."""
        try:
            return self._client.get("/health", timeout=2.0).is_success
        except httpx.HTTPError:
            return False

    def wait_healthy(
        self, *, timeout_seconds: float, is_alive: Callable[[], bool] = lambda: True
    ) -> None:
        """Wait until the server answers.

        Raises
        ------
        EnvironmentProblemError
            If it does not in time, or `is_alive` says that its process has ended.
        """
        deadline = time.monotonic() + timeout_seconds
        while not self.is_healthy():
            if not is_alive():
                raise EnvironmentProblemError("the Prefect server ended while it was starting")
            if time.monotonic() > deadline:
                raise EnvironmentProblemError(
                    f"the Prefect server at {self.url} did not answer within "
                    f"{timeout_seconds:.0f} s: start it, or correct PREFECT_API_URL"
                )
            time.sleep(0.05)

    def ensure_work_pool(self, name: str) -> bool:
        """Create the process work pool when it is absent; return True when it was created."""
        if self.request("GET", f"/work_pools/{name}", passing=httpx.codes.NOT_FOUND) is not None:
            return False
        # The worker fills in the template of a process pool when it first connects. A conflict
        # means that somebody, or a repeat of this very request, was first.
        body = {"name": name, "type": "process"}
        self.request("POST", "/work_pools/", body, passing=httpx.codes.CONFLICT)
        return True

    def deployed_versions(self, work_pool: str) -> dict[str, str | None]:
        """Return the version of every deployment of a work pool, by deployment name."""
        found = self.request(
            "POST",
            "/deployments/filter",
            {"work_pools": {"name": {"any_": [work_pool]}}, "limit": 200},
        )
        return {each["name"]: each["version"] for each in found}

    def create_run(
        self,
        deployment: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> FlowRun:
        """Create a run of `FLOW/DEPLOYMENT` that is due now.

        Parameters
        ----------
        parameters : mapping, optional
            Those that differ from the deployment's own.
        environment : mapping, optional
            For this run's process alone, over the worker's; no secrets, the UI shows it.
        key : str, optional
            Under one key one run is created, and returned by every further call.
        """
        # Any: parameters are whatever JSON a flow takes.
        found = self.request("GET", f"/deployments/name/{deployment}")
        body: dict[str, Any] = {
            "state": {"type": "SCHEDULED"},
            "parameters": dict(parameters or {}),
            # A repeat of the request finds the run of the first attempt.
            "idempotency_key": key or uuid.uuid4().hex,
        }
        if environment:
            body["job_variables"] = {"env": dict(environment)}
        return _flow_run(self.request("POST", f"/deployments/{found['id']}/create_flow_run", body))

    def flow_run(self, run_id: str) -> FlowRun:
        """Return a run as it is now."""
        return _flow_run(self.request("GET", f"/flow_runs/{run_id}"))

    def find_flow_run(self, run_id: str) -> FlowRun | None:
        """Return a run as it is now, or None when the server does not know it."""
        found = self.request("GET", f"/flow_runs/{run_id}", passing=httpx.codes.NOT_FOUND)
        return None if found is None else _flow_run(found)

    def unended_runs(self, deployment_name: str) -> list[FlowRun]:
        """Return the runs of a deployment that have begun and not ended."""
        found = self.request(
            "POST",
            "/flow_runs/filter",
            {
                "deployments": {"name": {"any_": [deployment_name]}},
                "flow_runs": {"state": {"type": {"any_": ["RUNNING", "CANCELLING"]}}},
            },
        )
        return [_flow_run(each) for each in found]

    def force_state(self, run: FlowRun, state_type: str, message: str) -> None:
        """Set the state of a run whose process cannot say it any more."""
        body = {"state": {"type": state_type, "message": message}, "force": True}
        self.request("POST", f"/flow_runs/{run.id}/set_state", body)

    def page_of(self, run: FlowRun) -> str:
        """Return the address of a run in the UI."""
        return f"{self.url.removesuffix('/api')}/runs/flow-run/{run.id}"

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        passing: int | None = None,
    ) -> Any:
        """Return the JSON of the answer, or None at the status `passing`; repeat while it is busy.

        The server answers 503 whenever its SQLite was locked for too long, as a burst of runs does.
        """
        # Any: the JSON of an answer.
        try:
            for attempt in stamina.retry_context(
                on=_is_busy, attempts=None, timeout=RETRY_SECONDS, wait_max=2.0
            ):
                with attempt:
                    response = self._client.request(method, path, json=body)
                    if response.status_code == passing:
                        return None
                    response.raise_for_status()
            return response.json() if response.content else None
        except httpx.HTTPStatusError as error:
            raise EnvironmentProblemError(
                f"the Prefect server refused {method} {path} "
                f"({error.response.status_code}: {error.response.text[:200]})"
            ) from error
        except httpx.HTTPError as error:
            raise EnvironmentProblemError(
                f"the Prefect server at {self.url} was not reached: {error}"
            ) from error


def _is_busy(error: Exception) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code in _BUSY


def _flow_run(found: Mapping[str, Any]) -> FlowRun:
    state = found.get("state") or {}
    return FlowRun(
        id=found["id"],
        name=found["name"],
        state_type=state.get("type", "PENDING"),
        state_name=state.get("name", "Pending"),
        message=state.get("message") or "",
    )
