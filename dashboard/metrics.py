"""What Prometheus reads at `/metrics`: the dashboard's own numbers and the stream's newest ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from models.operations import FEED_STATES

_LATENCY_BUCKETS: Final = (
    0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0,
)  # fmt: skip
_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_]+")


class _StreamCollector(Collector):
    """Turns the newest health sample and run into gauges when somebody asks."""

    def __init__(self, newest: Callable[[], Mapping[str, Any]]) -> None:
        self._newest = newest

    def describe(self) -> Iterable[Metric]:
        """Promise nothing: the names are known only when the stream has written them."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield one gauge for each number."""
        for name, value in self._newest().items():
            if isinstance(value, int | float):
                name = f"ifd_stream_{_NOT_IN_A_NAME.sub('_', name)}"
                yield GaugeMetricFamily(name, "newest value the stream reported", float(value))
        yield self._state()

    def _state(self) -> Metric:
        """Return a gauge for each state of the feed's session, 1 for that it is in."""
        gauge = GaugeMetricFamily("ifd_stream_feed_state", "1: its state", labels=["state"])
        now = self._newest().get("feed_state")
        for state in FEED_STATES:
            gauge.add_metric([state], float(state == now))
        return gauge


class Metrics:
    """Counters of one dashboard process, in a registry of their own.

    Parameters
    ----------
    newest_health : callable
        Returns the stream's newest numbers by name; called at each scrape.
    """

    def __init__(self, newest_health: Callable[[], Mapping[str, Any]]) -> None:
        self._registry = CollectorRegistry()
        self.clients = self._gauge("clients", "pages connected now")
        self.last_seq = self._gauge("last_seq", "number of the newest message")
        self.look_age = self._gauge(
            "follower_age_seconds", "since the last good look at the tables"
        )
        self.messages = self._counter("messages", "messages published to all pages", "type")
        self.rows = self._counter("rows", "rows found by following the tables", "table")
        self.connections = self._counter("connections", "pages that connected", "start")
        self.overflows = self._counter("overflows", "pages cut off because they read too slowly")
        self.database_errors = self._counter("database_errors", "looks at the tables that failed")
        self.follower_lag = self._histogram("follower_lag_seconds", "signal committed to published")
        self.paint_lag = self._histogram(
            "paint_lag_seconds", "signal committed to painted, as measured by the pages"
        )
        self._registry.register(_StreamCollector(newest_health))

    def text(self) -> bytes:
        """Return the exposition in Prometheus' text format."""
        return generate_latest(self._registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"ifd_dashboard_{name}", text, registry=self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"ifd_dashboard_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(
            f"ifd_dashboard_{name}", text, buckets=_LATENCY_BUCKETS, registry=self._registry
        )
