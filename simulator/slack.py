"""A local stand-in for Slack: the Web API methods and the webhook that alerts use, over HTTP.

It is as strict as Slack where strictness finds mistakes (token, channel ids, block limits), keeps
every message as one JSON line of a log that is also its memory, shows them on a page, and commits
the faults it is told to. `python -m simulator.slack --port 8060 --log var/slack.jsonl`.
"""

from __future__ import annotations

import argparse
import errno
import json
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, urlsplit

from ifd.errors import EnvironmentProblemError, IfdError, PortInUseError
from simulator.slack_page import page
from simulator.slack_workspace import Fault, Workspace

DEFAULT_TOKEN: Final = "xoxb-simulated-slack"  # noqa: S105 opens nothing but this stand-in
WEBHOOK_PATH: Final = "/services/T0SIMULATED/B0SIMULATED/simulated"
PAGE_MESSAGES: Final = 50
BODY_BYTES: Final = 50_000_000


class SlackStandIn:
    """Serves one workspace on `port` (0: a free one) until `close`.

    Raises
    ------
    PortInUseError
        If the port is taken.
    EnvironmentProblemError
        If the log cannot be written.
    """

    def __init__(
        self,
        *,
        log: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = DEFAULT_TOKEN,
    ) -> None:
        try:
            self.workspace = Workspace(token=token, log=log)
        except OSError as error:
            raise EnvironmentProblemError(
                f"the Slack stand-in cannot write its log {log}: {error.strerror}"
            ) from error
        handler = type("Handler", (_Handler,), {"workspace": self.workspace})
        try:
            self._server = _Server((host, port), handler)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(port, "Slack stand-in", "--port") from error
            raise EnvironmentProblemError(
                f"the Slack stand-in cannot listen on {host}:{port}: {error.strerror}"
            ) from error
        self.port: int = self._server.server_address[1]
        self.url = f"http://{host}:{self.port}"
        self.api_url = f"{self.url}/api/"
        self.webhook_url = f"{self.url}{WEBHOOK_PATH}"
        self.workspace.url = self.url
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Stop serving; requests in hand are abandoned."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> SlackStandIn:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that gave up is what half of these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    workspace: ClassVar[Workspace]

    def do_GET(self) -> None:
        """Show the page, the messages as JSON, or an uploaded file."""
        path = urlsplit(self.path).path
        messages = self.workspace.messages
        if path == "/":
            shown = page(reversed(messages[-PAGE_MESSAGES:]), len(messages))
            self._answer(200, shown.encode(), "text/html; charset=utf-8")
        elif path == "/_messages":
            self._answer_json(200, messages)
        elif path.startswith("/files/") and (file := self.workspace.file(path.split("/")[2])):
            self._answer(200, file, "image/png")
        else:
            self._answer_json(404, {"ok": False, "error": "not_found"})

    def do_POST(self) -> None:
        """Answer an API method, the webhook or an upload, or commit a fault."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_BYTES:
            self._answer_json(413, {"ok": False, "error": "request_too_large"})
            return
        body = self.rfile.read(length)
        path = urlsplit(self.path).path
        if path == "/_faults":
            self._add_fault(body)
            return
        fault = self.workspace.take_fault(path.rsplit("/", 1)[-1])
        if fault is None:
            self._route(path, body)
        else:
            self._misbehave(fault, path, body)

    def _misbehave(self, fault: Fault, path: str, body: bytes) -> None:
        if fault.name == "rate_limited":
            self._answer_json(
                429,
                {"ok": False, "error": "ratelimited"},
                {"Retry-After": str(fault.retry_after)},
            )
        elif fault.name == "error":
            self._answer_json(200, {"ok": False, "error": fault.error})
        elif fault.name == "server_error":
            self._answer(500, b"Internal Server Error", "text/plain")
        elif fault.name == "close":
            self.close_connection = True
        elif fault.name == "slow":
            time.sleep(fault.seconds)
            self._route(path, body)
        else:  # the request is carried out, and its answer is lost
            self._muted = True
            self._route(path, body)
            self._muted = False
            if fault.name == "server_error_after":
                self._answer(500, b"Internal Server Error", "text/plain")
            elif fault.name == "hang_after":
                time.sleep(fault.seconds)
            self.close_connection = True

    def _route(self, path: str, body: bytes) -> None:
        if path.startswith("/api/"):
            scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
            arguments = _arguments(self.headers.get("Content-Type") or "", body)
            self._answer_json(
                200,
                self.workspace.call(
                    path.removeprefix("/api/"), token if scheme == "Bearer" else "", arguments
                ),
            )
        elif path == WEBHOOK_PATH:
            error = self.workspace.webhook(_arguments("application/json", body))
            self._answer(400 if error else 200, (error or "ok").encode(), "text/plain")
        elif path.startswith("/services/"):
            self._answer(404, b"no_service", "text/plain")
        elif path.startswith("/upload/"):
            found = self.workspace.upload(path.split("/")[2], body)
            self._answer(200 if found else 404, f"OK - {len(body)}".encode(), "text/plain")
        else:
            self._answer_json(404, {"ok": False, "error": "not_found"})

    def _add_fault(self, body: bytes) -> None:
        try:
            self.workspace.inject(Fault(**json.loads(body)))
        except (ValueError, TypeError) as error:
            self._answer_json(400, {"ok": False, "error": str(error)})
        else:
            self._answer_json(200, {"ok": True})

    _muted = False

    def _answer_json(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        # Any: whatever JSON can say.
        self._answer(status, json.dumps(body).encode(), "application/json; charset=utf-8", headers)

    def _answer(
        self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        if self._muted:
            return
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class's name
        """Keep quiet: the messages themselves are the log."""


def _arguments(kind: str, body: bytes) -> dict[str, Any]:
    # Any: arguments as the caller's JSON or form has them.
    if kind.startswith("application/json"):
        try:
            arguments = json.loads(body or b"{}")
        except ValueError:
            return {}
        return arguments if isinstance(arguments, dict) else {}
    return dict(parse_qsl(body.decode("utf-8", "replace")))


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m simulator.slack", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8060, help="0 takes a free one")
    parser.add_argument("--log", type=Path, default=Path("var/slack.jsonl"))
    parser.add_argument("--token", default=DEFAULT_TOKEN)
    parser.add_argument("--ready-file", type=Path, default=None)
    arguments = parser.parse_args()
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    try:
        server = SlackStandIn(
            log=arguments.log, host=arguments.host, port=arguments.port, token=arguments.token
        )
    except IfdError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    with server:
        sys.stdout.write(f"Slack stand-in on {server.url}, messages in {arguments.log}\n")
        sys.stdout.flush()
        if arguments.ready_file is not None:
            _write_ready(arguments.ready_file, server)
        stop.wait()
    return 0


def _write_ready(path: Path, server: SlackStandIn) -> None:
    ready = {
        "port": server.port,
        "url": server.url,
        "api_url": server.api_url,
        "webhook_url": server.webhook_url,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.part")
    temporary.write_text(json.dumps(ready))
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
