"""The worker of the process pool: `python -m deployments.worker`.

`prefect worker start --pool ifd` does the same work four seconds later: this one imports Prefect
while the server still starts, and applies prefect.yaml before it begins to poll. Stop streams with
the market-close deployment before stopping a worker: Prefect kills the flows of a worker that ends
(their streams drain all the same, but the runs stay Running in the UI).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from pathlib import Path

from config.settings import load_settings
from deployments.apply import apply
from ifd.errors import IfdError
from runtime.prefect_services import PrefectApi, api_url


def main() -> int:
    """Wait for the server, apply the deployments, then run flows until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m deployments.worker", description=__doc__)
    parser.add_argument("--wait-server", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--ready-file", type=Path, help="written once runs may be created")
    arguments = parser.parse_args()
    api = PrefectApi(os.environ.get("PREFECT_API_URL") or api_url(load_settings()))
    os.environ["PREFECT_API_URL"] = api.url
    # Prefect reads its settings when it is imported; the server starts in the meantime.
    from prefect.utilities.processutils import setup_signal_handlers_worker
    from prefect.workers.process import ProcessWorker

    try:
        api.wait_healthy(timeout_seconds=arguments.wait_server)
        applied = apply(api)
    except IfdError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    finally:
        api.close()
    sys.stdout.write(f"{applied}\n")
    _announce(arguments.ready_file, changed=applied.changed)
    setup_signal_handlers_worker(os.getpid(), "the worker", _print)
    worker = ProcessWorker(name=f"ifd on {platform.node()}", work_pool_name=applied.work_pool)
    try:
        asyncio.run(worker.start(printer=_print))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _print("The worker has stopped")
    return 0


def _announce(path: Path | None, *, changed: bool) -> None:
    if path is None:
        return
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"pid": os.getpid(), "deployed": changed}), encoding="utf-8")
    partial.replace(path)


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
