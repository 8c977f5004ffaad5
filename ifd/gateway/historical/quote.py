"""What history costs: whole micro-dollars, rounded up, never down."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final

MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Quote:
    """What a request costs, in micro-dollars rounded up, and its uncompressed size."""

    micro_dollars: int
    billable_bytes: int

    @property
    def dollars(self) -> Decimal:
        """The same amount in US dollars."""
        return Decimal(self.micro_dollars) / MICRO

    def share(self, billable_bytes: int) -> int:
        """Return what so many bytes cost at this price, in micro-dollars rounded up.

        >>> Quote(1_000, 300).share(100)
        334
        """
        if not self.billable_bytes:
            return 0
        return -(-self.micro_dollars * billable_bytes // self.billable_bytes)


def micro_dollars(dollars: float) -> int:
    """Return micro-dollars, rounded up; the float is taken as the decimal number it prints as.

    >>> micro_dollars(0.1), micro_dollars(0.0000011)
    (100000, 2)
    """
    exact = Decimal(str(dollars)) * MICRO
    return int(exact.to_integral_value(rounding=ROUND_CEILING))
