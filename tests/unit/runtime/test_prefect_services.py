"""The programs and requests around Prefect, where no server is needed to test them."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from ifd.errors import EnvironmentProblemError
from runtime.prefect_services import (
    PrefectApi,
    prefect_environment,
    server_program,
    worker_program,
)

SETTINGS = Settings(prefect={"port": 4321})


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_everything_of_prefect_lives_under_var(tmp_path: Path) -> None:
    environment = prefect_environment(SETTINGS, var=tmp_path)
    server = server_program(SETTINGS, var=tmp_path, environment={})

    assert environment["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert environment["PREFECT_API_URL"] == "http://127.0.0.1:4321/api"
    assert server.log == tmp_path / "log" / "prefect-server.log"
    assert "4321" in server.arguments


def test_nothing_is_sent_home(tmp_path: Path) -> None:
    environment = prefect_environment(SETTINGS, var=tmp_path)

    assert environment["DO_NOT_TRACK"] == "1"
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_the_worker_hands_the_platforms_environment_to_its_flows(tmp_path: Path) -> None:
    given = {"IFD_DATABASE_URL": "sqlite:////tmp/ifd.db"}

    worker = worker_program(SETTINGS, var=tmp_path, environment=given)

    assert worker.environment["IFD_DATABASE_URL"] == "sqlite:////tmp/ifd.db"
    assert worker.environment["PREFECT_API_URL"] == "http://127.0.0.1:4321/api"
    assert worker.ready_file is not None


def test_a_server_that_is_away_is_named_with_what_to_do() -> None:
    api = PrefectApi(f"http://127.0.0.1:{closed_port()}/api")

    with pytest.raises(EnvironmentProblemError, match="start it, or correct PREFECT_API_URL"):
        api.wait_healthy(timeout_seconds=0.1)
    with pytest.raises(EnvironmentProblemError, match="was not reached"):
        api.ensure_work_pool("ifd")
    api.close()


def test_a_server_that_died_while_starting_is_not_waited_for() -> None:
    api = PrefectApi(f"http://127.0.0.1:{closed_port()}/api")

    with pytest.raises(EnvironmentProblemError, match="ended while it was starting"):
        api.wait_healthy(timeout_seconds=60, is_alive=lambda: False)
    api.close()


class _Answers(http.server.BaseHTTPRequestHandler):
    """Answers of a Prefect server, by method and path."""

    known: dict[str, tuple[int, Any]]
    asked: list[tuple[str, Any]]
    busy: dict[str, int]

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        asked = f"{self.command} {self.path}"
        self.asked.append((asked, body))
        status, answer = self.known.get(asked, (404, "absent"))
        if self.busy.get(asked, 0) > 0:
            self.busy[asked] -= 1
            status, answer = 503, "Service Unavailable"
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class's name
        """Keep quiet."""


@pytest.fixture
def answers() -> Iterator[tuple[PrefectApi, type[_Answers]]]:
    handler = type("Handler", (_Answers,), {"known": {}, "asked": [], "busy": {}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    api = PrefectApi(f"http://127.0.0.1:{server.server_port}/api/")
    yield api, handler
    api.close()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_missing_work_pool_is_created_once(
    answers: tuple[PrefectApi, type[_Answers]],
) -> None:
    api, handler = answers
    handler.known["POST /api/work_pools/"] = (201, {"name": "ifd"})

    assert api.ensure_work_pool("ifd")
    handler.known["GET /api/work_pools/ifd"] = (200, {"name": "ifd"})
    assert not api.ensure_work_pool("ifd")

    created = [body for asked, body in handler.asked if asked == "POST /api/work_pools/"]
    assert created == [{"name": "ifd", "type": "process"}]


def test_a_run_is_created_from_its_deployment(
    answers: tuple[PrefectApi, type[_Answers]],
) -> None:
    api, handler = answers
    handler.known["GET /api/deployments/name/ifd-stream/stream"] = (200, {"id": "d1"})
    handler.known["POST /api/deployments/d1/create_flow_run"] = (
        201,
        {"id": "r1", "name": "brave-bear", "state": {"type": "SCHEDULED", "name": "Scheduled"}},
    )

    run = api.create_run("ifd-stream/stream", {"force": True})

    assert run.id == "r1"
    assert not run.has_ended
    assert api.page_of(run) == f"{api.url.removesuffix('/api')}/runs/flow-run/r1"
    assert handler.asked[-1][1]["parameters"] == {"force": True}


def test_a_refusal_quotes_the_server(answers: tuple[PrefectApi, type[_Answers]]) -> None:
    api, handler = answers
    handler.known["POST /api/deployments/filter"] = (422, {"detail": "limit too large"})

    with pytest.raises(EnvironmentProblemError, match=r"422.*limit too large"):
        api.deployed_versions("ifd")


def test_a_busy_server_is_asked_again_and_makes_one_run(
    answers: tuple[PrefectApi, type[_Answers]],
) -> None:
    api, handler = answers
    handler.known["GET /api/deployments/name/ifd-stream/stream"] = (200, {"id": "d1"})
    create = "POST /api/deployments/d1/create_flow_run"
    handler.known[create] = (201, {"id": "r1", "name": "brave-bear", "state": None})
    handler.busy[create] = 2

    assert api.create_run("ifd-stream/stream").id == "r1"

    keys = [body["idempotency_key"] for asked, body in handler.asked if asked == create]
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_pool_that_somebody_else_just_created_is_fine(
    answers: tuple[PrefectApi, type[_Answers]],
) -> None:
    api, handler = answers
    handler.known["POST /api/work_pools/"] = (409, {"detail": "exists"})

    assert api.ensure_work_pool("ifd")
