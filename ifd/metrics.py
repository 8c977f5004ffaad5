"""What the engine counts while it runs: plain ints, raised in the loop, read by whoever asks."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(slots=True)
class EngineCounters:
    """Totals since the start of a pipeline.

    `unknown_orders` are cancels, modifies and fills of orders the book never saw;
    `undefined_records` belong to instruments without a definition; `late_records` are older than
    their instrument's open window; `malformed_records` cannot be placed in any book.
    """

    records: int = 0
    events: int = 0
    trades: int = 0
    windows: int = 0
    signals: int = 0
    unknown_orders: int = 0
    undefined_records: int = 0
    late_records: int = 0
    malformed_records: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the totals by name."""
        return dataclasses.asdict(self)
