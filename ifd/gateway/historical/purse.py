"""Who may spend, and how much: reserved before a request, settled with what it really cost.

The adapter only knows this protocol. Money is in micro-dollars, rounded up, never down.
"""

from __future__ import annotations

from typing import Protocol

from ifd.errors import BudgetExceededError


class Purse(Protocol):
    """Money for history. Every `reserve` is followed by exactly one `settle`, or by a crash."""

    def reserve(self, fingerprint: str, micro_dollars: int) -> None:
        """Set money aside for one request.

        Raises
        ------
        BudgetExceededError
            If there is not so much left; nothing is set aside.
        """
        ...

    def settle(self, fingerprint: str, micro_dollars: int, bytes_received: int) -> None:
        """Book what a request has really cost and free the rest of its reservation."""
        ...

    def book_abandoned(self, fingerprint: str, micro_dollars: int, bytes_received: int) -> None:
        """Book what a process that was killed in mid-download had received.

        It takes the place of that process's reservation, where one is still open.
        """
        ...


class CappedPurse:
    """A purse in memory, with a cap for its whole life."""

    def __init__(self, cap_micro_dollars: int) -> None:
        self.spent_micro_dollars = 0
        self._cap = cap_micro_dollars
        self._reserved: dict[str, int] = {}

    @property
    def left_micro_dollars(self) -> int:
        """What may still be reserved."""
        return self._cap - self.spent_micro_dollars - sum(self._reserved.values())

    def reserve(self, fingerprint: str, micro_dollars: int) -> None:
        """Set money aside.

        Raises
        ------
        BudgetExceededError
            If there is not so much left.
        """
        if micro_dollars > self.left_micro_dollars:
            raise BudgetExceededError(micro_dollars, max(self.left_micro_dollars, 0))
        self._reserved[fingerprint] = micro_dollars

    def settle(self, fingerprint: str, micro_dollars: int, bytes_received: int) -> None:
        """Book what a request has cost."""
        del self._reserved[fingerprint]
        self.spent_micro_dollars += micro_dollars

    def book_abandoned(self, fingerprint: str, micro_dollars: int, bytes_received: int) -> None:
        """Book what an earlier process had received."""
        self._reserved.pop(fingerprint, None)
        self.spent_micro_dollars += micro_dollars
