"""Where the tasks of a batch flow run: threads, processes or a Dask cluster, by configuration."""

from __future__ import annotations

import os
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from config.settings import load_settings
from ifd.errors import ConfigurationError
from runtime.pool_workers import end_with_parent


def task_runner() -> TaskRunner[Any]:
    """Return the task runner of the settings.

    Raises
    ------
    ConfigurationError
        If Dask is chosen and not installed.
    """
    # Any: futures of whichever runner.
    chosen = load_settings().prefect
    workers = chosen.task_workers or os.cpu_count() or 1
    match chosen.task_runner:
        case "threads":
            return ThreadPoolTaskRunner(max_workers=workers)
        case "processes":
            return ProcessPoolTaskRunner(max_workers=workers, initializer=end_with_parent)
        case "dask":
            return _dask(chosen.dask_address, workers)


def _dask(address: str | None, workers: int) -> TaskRunner[Any]:
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as error:
        raise ConfigurationError(
            "prefect.task_runner is dask, which is not installed: pip install prefect-dask"
        ) from error
    if address is not None:
        return DaskTaskRunner(address=address)
    return DaskTaskRunner(cluster_kwargs={"n_workers": workers, "threads_per_worker": 1})
