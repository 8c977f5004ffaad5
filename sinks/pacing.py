"""Keep a channel within Slack's limit: a token bucket, and a rest when Slack or the network asks.

Times are integer nanoseconds handed in by the caller, so that the same calls give the same answers.
"""

from __future__ import annotations

from typing import Final

from ifd.units import NANOS_PER_SECOND

LONGEST_REST_NS: Final = 60 * NANOS_PER_SECOND


class ChannelPace:
    """Says when the next message may go into one channel.

    Parameters
    ----------
    per_second : float
        Messages a second in the long run.
    burst : int
        Messages that a channel which was quiet may be sent at once.

    Examples
    --------
    >>> pace = ChannelPace(per_second=1.0, burst=2)
    >>> [pace.take(now_ns) for now_ns in (0, 0, 0, 999_999_999, 1_000_000_000)]
    [True, True, False, False, True]
    """

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._interval_ns = round(NANOS_PER_SECOND / per_second)
        self._tolerance_ns = self._interval_ns * (burst - 1)
        self._next_ns = 0
        self._rest_until_ns = 0
        self._troubles = 0

    def ready_at_ns(self) -> int:
        """Return from when on `take` gives True."""
        return max(self._next_ns - self._tolerance_ns, self._rest_until_ns)

    def take(self, now_ns: int) -> bool:
        """Use up one message; False, and nothing used, when it is too soon."""
        if now_ns < self.ready_at_ns():
            return False
        self._next_ns = max(self._next_ns, now_ns) + self._interval_ns
        return True

    def rest(self, until_ns: int) -> None:
        """Send nothing before `until_ns`: the service named a time."""
        self._rest_until_ns = max(self._rest_until_ns, until_ns)

    def rest_after_trouble(self, now_ns: int) -> None:
        """Send nothing for a second, then two, four and so on while the trouble lasts."""
        self._troubles += 1
        wait_ns = min(NANOS_PER_SECOND << min(self._troubles - 1, 10), LONGEST_REST_NS)
        self.rest(now_ns + wait_ns)

    def recovered(self) -> None:
        """Forget the troubles: a message went through."""
        self._troubles = 0
