"""Which instruments the exchange has halted: silence there is no fault of the feed."""

from __future__ import annotations

from typing import Final

import databento_dbn as dbn
import structlog

log = structlog.get_logger("stream")

STOPPED: Final = frozenset(
    {dbn.StatusAction.HALT, dbn.StatusAction.PAUSE, dbn.StatusAction.SUSPEND}
)
RESUMED: Final = frozenset({dbn.StatusAction.TRADING, dbn.StatusAction.PRE_OPEN})


class TradingStatus:
    """The newest status of each instrument that was ever stopped."""

    def __init__(self) -> None:
        self._halted: dict[int, dbn.StatusAction] = {}

    @property
    def halted(self) -> int:
        """How many instruments are halted, paused or suspended now."""
        return len(self._halted)

    def heed(self, message: dbn.StatusMsg) -> None:
        """Take in a status record; what neither stops nor resumes trading changes nothing."""
        action = dbn.StatusAction(message.action)
        if action in STOPPED:
            if message.instrument_id not in self._halted:
                log.info("halted", instrument_id=message.instrument_id, action=str(action))
            self._halted[message.instrument_id] = action
        elif action in RESUMED and self._halted.pop(message.instrument_id, None) is not None:
            log.info("trading again", instrument_id=message.instrument_id)
