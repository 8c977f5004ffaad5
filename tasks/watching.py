"""Look after the streams once: what the scheduled watchdog does every minute."""

from __future__ import annotations

from prefect import get_run_logger
from prefect.settings import PREFECT_API_URL

from config.settings import Settings
from ifd.clock import SystemClock
from models.base import make_engine
from runtime.prefect_services import PrefectApi, api_url
from runtime.prefect_streams import PrefectRestarts, mend_states
from runtime.watchdog import Watchdog


def look_after_streams(settings: Settings) -> list[str]:
    """Take every step that is due; return what was done, in sentences."""
    logger, clock = get_run_logger(), SystemClock()
    api = PrefectApi(PREFECT_API_URL.value() or api_url(settings))
    engine = make_engine(settings.database_url)
    try:
        watchdog = Watchdog(engine, settings, PrefectRestarts(api), clock=clock)
        done = [*watchdog.look(), *mend_states(engine, api, clock=clock)]
    finally:
        engine.dispose()
        api.close()
    for sentence in done:
        logger.warning("%s", sentence)
    return done
