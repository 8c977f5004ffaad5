"""The provider's history as the settings say."""

from __future__ import annotations

from config.settings import Settings
from ifd.clock import Clock
from ifd.gateway.historical import HistoricalSource


def has_history(settings: Settings) -> bool:
    """Return True when somebody may be asked; the local exchange has history where it is told."""
    if settings.databento_api_key is None:
        return False
    return settings.historical.gateway is not None or not settings.feed.simulated


def open_history(settings: Settings, clock: Clock) -> HistoricalSource:
    """Return the provider's history.

    Raises
    ------
    ConfigurationError
        If there is no key.
    """
    return HistoricalSource(
        settings.require_databento_key(),
        dataset=settings.feed.dataset,
        gateway=settings.historical.gateway,
        clock=clock,
    )
