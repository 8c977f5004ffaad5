"""Parents: whether somebody watches every one that the exchange lists."""

from __future__ import annotations

from prefect import get_run_logger, task
from prefect.events import emit_event

from ifd.clock import SystemClock
from ifd.errors import HistoryError
from models.base import make_engine
from runtime.parents import nightly_drift
from runtime.supervisor import settings_of


@task(name="check parents", retries=2, retry_delay_seconds=[30, 120], persist_result=False)
def check_parents(*, shard: str, profile: str) -> str:
    """Return a sentence about parents nobody subscribed to, empty when there are none.

    Definitions that cannot be bought are no reason to go without baselines: it is said instead.
    """
    settings = settings_of(shard, profile=profile)
    logger = get_run_logger()
    try:
        drift = nightly_drift(
            settings, make_engine(settings.database_url), now_ns=SystemClock().now_ns()
        )
    except HistoryError as error:
        logger.warning("the parents were not checked: %s", error)
        return f"the parents were not checked: {error}"
    if not drift.undeclared:
        return ""
    told = f"UNWATCHED PARENTS: {', '.join(drift.undeclared)}: add them to the shard's parents"
    logger.error(told)
    emit_event(
        event="ifd.parents.undeclared",
        resource={"prefect.resource.id": f"ifd.shard.{shard}"},
        payload={"parents": list(drift.undeclared)},
    )
    return told
