"""Stop streams: the flag for all of them first, then wait for each."""

from __future__ import annotations

from prefect import get_run_logger, task
from sqlalchemy.engine import Engine

from config.settings import load_settings
from ifd.clock import SystemClock
from models.base import make_engine
from models.runs import request_stop
from runtime.stopping import Stopped, running_shards, stop_and_verify


def ask_running_streams(engine: Engine, shard: str | None) -> list[int]:
    """Set the stop flag of every live run, or of one shard's; return their ids."""
    now_ns = SystemClock().now_ns()
    shards = [shard] if shard else running_shards(engine)
    asked = (request_stop(engine, each, "market close", now_ns=now_ns) for each in shards)
    return [run_id for run_id in asked if run_id is not None]


@task(name="stop stream", task_run_name="stop run {run_id}", persist_result=False)
def stop_stream(run_id: int, *, grace_seconds: float, kill_after_seconds: float) -> Stopped:
    """Wait until a run whose flag is set has gone, escalating on the way."""
    logger = get_run_logger()
    engine = make_engine(load_settings().database_url)
    stopped = stop_and_verify(
        engine,
        run_id,
        clock=SystemClock(),
        grace_seconds=grace_seconds,
        kill_after_seconds=kill_after_seconds,
        say=logger.warning,
    )
    logger.info("Run %d %s in %.1f s", run_id, stopped.outcome, stopped.seconds)
    return stopped
