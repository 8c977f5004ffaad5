"""Processes that outlived the one they worked for: found by what they are, never by a kept id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import psutil

READER: Final = "runtime.ingest"
STREAM: Final = "runtime.stream"
FLOW_RUN_VARIABLE: Final = "PREFECT__FLOW_RUN_ID"
GRACE_SECONDS: Final = 3.0
_UNREADABLE: Final = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)


def end_orphaned_readers(database_url: str) -> list[int]:
    """End the processes that read a socket for a stream that is gone; return their ids.

    The kernel tells a reader when its stream dies, and it drains in less than a second. This one
    was stopped or hangs; what it has not written to the archive is fetched again by the next run.
    """
    orphans = [process for process in _readers(database_url) if not _serves_a_stream(process)]
    for process in orphans:
        _send(process, "terminate")
    _, left = psutil.wait_procs(orphans, timeout=GRACE_SECONDS)
    for process in left:
        _send(process, "kill")
    return [process.pid for process in orphans]


def serves_flow_run(flow_run_id: str) -> bool:
    """Return True while a process of this machine serves the flow run."""
    return any(
        _environment(process).get(FLOW_RUN_VARIABLE) == flow_run_id
        for process in psutil.process_iter()
    )


def _readers(database_url: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        is_reader = READER in _command(process)
        if is_reader and _environment(process).get("IFD_DATABASE_URL") == database_url:
            yield process


def _serves_a_stream(process: psutil.Process) -> bool:
    try:
        parent = process.parent()
    except psutil.NoSuchProcess:
        return True  # gone by itself
    return parent is not None and STREAM in _command(parent)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except _UNREADABLE:
        return []


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except _UNREADABLE:
        return {}


def _send(process: psutil.Process, method: str) -> None:
    try:
        getattr(process, method)()
    except psutil.NoSuchProcess:
        return
