"""Which subscriptions are still being replayed, and when the feed has caught up.

The gateway ends each replay with a system message; it is matched to its schema by the name in its
text where that is given, and otherwise counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_WORD: Final = re.compile(r"[a-z0-9-]+")


class PendingReplays:
    """The schemas whose replay has been asked for and not completed."""

    def __init__(self) -> None:
        self._schemas: list[str] = []

    def expect(self, schemas: Iterable[str]) -> None:
        """Begin a session in which these schemas are replayed, each named once a subscription."""
        self._schemas = list(schemas)

    def complete(self, message: str) -> None:
        """Take note of a completed replay."""
        if not self._schemas:
            return
        # Whole words: every text about a symbol has the letters mbo in it.
        words = _WORD.findall(message.lower())
        named = [schema for schema in self._schemas if schema in words]
        self._schemas.remove(named[0] if named else self._schemas[0])

    def __bool__(self) -> bool:
        return bool(self._schemas)
