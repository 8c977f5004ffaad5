"""A killed parent leaves no worker of its pool behind."""

from __future__ import annotations

import subprocess
import sys

import psutil

PARENT = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from runtime.pool_workers import end_with_parent

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(2, mp_context=context, initializer=end_with_parent)
    ids = [future.result() for future in [pool.submit(os.getpid) for _ in range(8)]]
    print(*set(ids), flush=True)
    sys.stdin.read()
"""


def test_workers_end_when_their_parent_is_killed() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]

        parent.kill()
    _, alive = psutil.wait_procs(workers, timeout=20)
    for worker in alive:
        worker.kill()

    assert workers
    assert alive == []
