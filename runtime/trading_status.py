"""Which instruments the exchange has halted: silence there is no fault of the feed."""

from __future__ import annotations

import bisect
from collections import defaultdict
from typing import Final

import databento_dbn as dbn
import structlog

log = structlog.get_logger("stream")

STOPPED: Final = frozenset(
    int(action)
    for action in (dbn.StatusAction.HALT, dbn.StatusAction.PAUSE, dbn.StatusAction.SUSPEND)
)
RESUMED: Final = frozenset(
    int(action) for action in (dbn.StatusAction.TRADING, dbn.StatusAction.PRE_OPEN)
)


class TradingStatus:
    """The instruments that are stopped now."""

    def __init__(self) -> None:
        self._halted: set[int] = set()

    @property
    def halted(self) -> int:
        """How many instruments are halted, paused or suspended now."""
        return len(self._halted)

    def heed(self, message: dbn.StatusMsg) -> None:
        """Take in a status record; what neither stops nor resumes trading changes nothing."""
        action, instrument_id = int(message.action), message.instrument_id
        if action in STOPPED and instrument_id not in self._halted:
            self._halted.add(instrument_id)
            log.info("halted", instrument_id=instrument_id, action=str(message.action))
        elif action in RESUMED and instrument_id in self._halted:
            self._halted.remove(instrument_id)
            log.info("trading again", instrument_id=instrument_id)


class Halts:
    """When each instrument was stopped, from the status records of a whole session."""

    def __init__(self) -> None:
        self._changes: defaultdict[int, list[tuple[int, bool]]] = defaultdict(list)

    def heed(self, message: dbn.StatusMsg) -> None:
        """Take in a status record, in any order of time."""
        action = int(message.action)
        if action in STOPPED or action in RESUMED:
            change = (message.ts_event, action in STOPPED)
            bisect.insort(self._changes[message.instrument_id], change)

    def is_halted(self, instrument_id: int, ts_ns: int) -> bool:
        """Return True if the last change up to `ts_ns` stopped the instrument."""
        changes = self._changes.get(instrument_id, [])
        place = bisect.bisect_right(changes, (ts_ns, True))
        return place > 0 and changes[place - 1][1]
