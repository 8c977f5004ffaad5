"""What the stream counts besides the feed's and the engine's own counters."""

from __future__ import annotations

import resource
import sys

from ifd.units import NANOS_PER_SECOND


class Health:
    """Times of the newest records, how late they came, and how fast."""

    def __init__(self) -> None:
        self.last_received_ns: int | None = None
        self.database_errors = 0
        self._lag_ns = 0
        self._rate_from: tuple[int, int] | None = None

    def count(self, ts_recv_last: int, received_ns: int) -> None:
        """Take note of an array of records and when it came off the socket."""
        self.last_received_ns = received_ns
        self._lag_ns = received_ns - ts_recv_last

    def take_rates(self, now_ns: int, records: int) -> dict[str, float]:
        """Return records a second since the last call, and the newest record's age on arrival."""
        before_ns, before = self._rate_from or (now_ns - NANOS_PER_SECOND, records)
        self._rate_from = (now_ns, records)
        seconds = max(now_ns - before_ns, 1) / NANOS_PER_SECOND
        return {
            "records_per_s": round((records - before) / seconds, 1),
            "lag_ms": round(self._lag_ns / 1e6, 3),
        }


def peak_rss_bytes() -> int:
    """Return the most memory this process has had resident."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
