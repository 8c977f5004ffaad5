"""What the Slack stand-in knows and allows: one token, channels, messages, files, faults to commit.

Answers are Slack's documented shapes and error codes. The log is written before the answer, one
JSON line a message, and read again at the next start.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ifd.clock import Clock, SystemClock
from simulator.slack_rules import problem_with

FAULTS: Final = (
    *("rate_limited", "error", "server_error", "close", "slow"),
    *("server_error_after", "close_after", "hang_after"),
)
KEPT_KEYS: Final = frozenset(("ts", "channel", "channel_name", "method"))
CHANNEL_ID: Final = re.compile(r"[CGD][A-Z0-9]{8,}")


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One thing to go wrong, `times` times, with calls of `method` (empty: any call).

    The names that end in `_after` carry the request out and lose the answer; `slow` carries it out
    and answers after `seconds`.
    """

    name: str
    times: int = 1
    method: str = ""
    retry_after: int = 1
    seconds: float = 5.0
    error: str = "internal_error"

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"there is no fault {self.name!r}; choose one of {', '.join(FAULTS)}")


class Workspace:
    """One workspace; safe to call from several threads.

    Raises
    ------
    OSError
        If the log cannot be read or written.
    """

    def __init__(self, *, token: str, log: Path, clock: Clock | None = None) -> None:
        self.url = ""
        self.calls: list[str] = []
        self._token = token
        self._log = log
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._files: dict[str, bytes] = {}
        self._titles: dict[str, str] = {}
        self._messages = _read_log(log)
        self._names = {m["channel"]: m["channel_name"] for m in self._messages}
        self._last_ts = max((int(m["ts"].replace(".", "")) for m in self._messages), default=0)
        self._methods: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "auth.test": self._auth_test,
            "chat.postMessage": self._post_message,
            "conversations.history": self._history,
            "conversations.list": self._list,
            "files.getUploadURLExternal": self._upload_url,
            "files.completeUploadExternal": self._complete_upload,
        }

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Every message so far, oldest first."""
        with self._lock:
            return list(self._messages)

    def inject(self, fault: Fault) -> None:
        """Commit `fault` with the next calls it is about."""
        with self._lock:
            self._faults += [fault] * fault.times

    def take_fault(self, method: str) -> Fault | None:
        """Return the fault to commit in this call, and forget it."""
        with self._lock:
            self.calls.append(method)
            for fault in self._faults:
                if fault.method in ("", method):
                    self._faults.remove(fault)
                    return fault
            return None

    def call(self, method: str, token: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to an API method."""
        # Any: arguments and answers as Slack's JSON has them.
        if not token:
            return {"ok": False, "error": "not_authed"}
        if token != self._token:
            return {"ok": False, "error": "invalid_auth"}
        if method not in self._methods:
            return {"ok": False, "error": "unknown_method"}
        return self._methods[method](arguments)

    def webhook(self, arguments: dict[str, Any]) -> str | None:
        """Take a webhook's message; return Slack's error code, or None when it was posted."""
        problem = problem_with(arguments)
        if problem is None:
            self._keep("webhook", "#webhook", arguments)
        return problem

    def upload(self, file_id: str, body: bytes) -> bool:
        """Take a file's content; False when no URL was given out for it."""
        with self._lock:
            known = file_id in self._titles
            if known:
                self._files[file_id] = body
            return known

    def file(self, file_id: str) -> bytes | None:
        """Return a file's content."""
        with self._lock:
            return self._files.get(file_id)

    def _auth_test(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "url": self.url, "team": "Simulated", "user": "ifd", "bot_id": "B0IFD"}

    def _post_message(self, arguments: dict[str, Any]) -> dict[str, Any]:
        channel = str(arguments.get("channel") or "")
        if not channel:
            return {"ok": False, "error": "channel_not_found"}
        problem = problem_with(arguments)
        if problem is not None:
            return {"ok": False, "error": problem}
        kept = self._keep("chat.postMessage", channel, arguments)
        return {"ok": True, "channel": kept["channel"], "ts": kept["ts"], "message": _seen(kept)}

    def _history(self, arguments: dict[str, Any]) -> dict[str, Any]:
        channel = str(arguments.get("channel") or "")
        if not CHANNEL_ID.fullmatch(channel):
            return {"ok": False, "error": "channel_not_found"}
        oldest = float(arguments.get("oldest") or 0)
        with_metadata = str(arguments.get("include_all_metadata")).lower() in ("1", "true")
        found = [
            _seen(message, with_metadata=with_metadata)
            for message in reversed(self.messages)
            if message["channel"] == channel
            and float(message["ts"]) > oldest
            and not message.get("thread_ts")
        ]
        first, limit = int(arguments.get("cursor") or 0), int(arguments.get("limit") or 100)
        more = len(found) > first + limit
        return {
            "ok": True,
            "messages": found[first : first + limit],
            "has_more": more,
            "response_metadata": {"next_cursor": str(first + limit) if more else ""},
        }

    def _list(self, _: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            channels = [
                {"id": key, "name": name.removeprefix("#")}
                for key, name in self._names.items()
                if name != key
            ]
        return {"ok": True, "channels": channels, "response_metadata": {"next_cursor": ""}}

    def _upload_url(self, arguments: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            file_id = f"F{len(self._titles) + 1:08d}"
            self._titles[file_id] = str(arguments.get("filename") or file_id)
        return {"ok": True, "file_id": file_id, "upload_url": f"{self.url}/upload/{file_id}"}

    def _complete_upload(self, arguments: dict[str, Any]) -> dict[str, Any]:
        files = json.loads(str(arguments.get("files") or "[]"))
        if not files or any(self.file(file["id"]) is None for file in files):
            return {"ok": False, "error": "file_not_found"}
        shared = [
            {"id": file["id"], "title": file.get("title") or self._titles[file["id"]]}
            for file in files
        ]
        if channel := arguments.get("channel_id"):
            text = str(arguments.get("initial_comment") or "")
            self._keep("files", str(channel), arguments | {"files": shared, "text": text})
        return {"ok": True, "files": shared}

    def _keep(self, method: str, channel: str, arguments: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            now_ns = self._clock.now_ns()
            key = channel if CHANNEL_ID.fullmatch(channel) else _channel_id(channel)
            name = f"#{channel.removeprefix('#')}" if key != channel else channel
            self._last_ts = max(self._last_ts + 1, now_ns // 1_000)
            message = {
                "ts": f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}",
                "channel": key,
                "channel_name": self._names.setdefault(key, name),
                "method": method,
                "received_ns": now_ns,
            } | {
                name: arguments[name]
                for name in ("text", "blocks", "metadata", "thread_ts", "files")
                if arguments.get(name) is not None
            }
            with self._log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(message, ensure_ascii=False) + "\n")
            self._messages.append(message)
            return message


def _channel_id(name: str) -> str:
    return "C" + hashlib.sha256(name.removeprefix("#").encode()).hexdigest()[:10].upper()


def _read_log(path: Path) -> list[dict[str, Any]]:
    """Return the messages of earlier runs; a line that a crash cut short is closed and left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    text = path.read_text(encoding="utf-8", errors="replace")
    if text and not text.endswith("\n"):
        with path.open("a", encoding="utf-8") as log:
            log.write("\n")
    messages = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            message = json.loads(line)
            if isinstance(message, dict) and message.keys() >= KEPT_KEYS:
                messages.append(message)
    return messages


def _seen(message: dict[str, Any], *, with_metadata: bool = True) -> dict[str, Any]:
    names = ("ts", "text", "blocks", "thread_ts", *(("metadata",) if with_metadata else ()))
    return {"type": "message"} | {name: message[name] for name in names if name in message}
