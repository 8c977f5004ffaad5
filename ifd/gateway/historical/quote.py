"""What history costs: whole micro-dollars, rounded up, never down.

What is bought is rounded slice by slice, before anything is summed. A quote of the whole is rounded
once, so it may be lower by a micro-dollar a slice; `in_parts` is what it can come to at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from ifd.units import MICRO_DOLLARS


@dataclass(frozen=True, slots=True)
class Quote:
    """What a request costs, in micro-dollars rounded up, and its uncompressed size."""

    micro_dollars: int
    billable_bytes: int

    @property
    def dollars(self) -> Decimal:
        """The same amount in US dollars."""
        return Decimal(self.micro_dollars) / MICRO_DOLLARS

    def share(self, billable_bytes: int) -> int:
        """Return what so many bytes cost at this price, in micro-dollars rounded up.

        >>> Quote(1_000, 300).share(100)
        334
        """
        if not self.billable_bytes:
            return 0
        return -(-self.micro_dollars * billable_bytes // self.billable_bytes)

    def in_parts(self, parts: int) -> Quote:
        """Return the most this can come to when it is bought in so many parts, each rounded up.

        >>> Quote(1_000, 300).in_parts(3).micro_dollars, Quote(0, 300).in_parts(3).micro_dollars
        (1002, 0)
        """
        if not self.micro_dollars:
            return self
        return Quote(self.micro_dollars + parts - 1, self.billable_bytes)


def micro_dollars(dollars: float) -> int:
    """Return micro-dollars, rounded up; the float is taken as the decimal number it prints as.

    >>> micro_dollars(0.1), micro_dollars(0.0000011)
    (100000, 2)
    """
    exact = Decimal(str(dollars)) * MICRO_DOLLARS
    return int(exact.to_integral_value(rounding=ROUND_CEILING))
