"""The figures of a cost report, in micro-dollars."""

from __future__ import annotations

import dataclasses

from models.caps import Caps


@dataclasses.dataclass(frozen=True, slots=True)
class KindCosts:
    """One kind of spending, micro-dollars: the day, its week from Monday, its month until then."""

    kind: str
    day_micro_dollars: int
    week_micro_dollars: int
    month_micro_dollars: int
    projected_micro_dollars: int
    caps: Caps

    @property
    def day_share(self) -> float | None:
        """Share of the daily cap that is used, None where nothing may be spent."""
        return _share(self.day_micro_dollars, self.caps.daily_micro_dollars)

    @property
    def month_share(self) -> float | None:
        """Share of the monthly cap that is used, None where nothing may be spent."""
        return _share(self.month_micro_dollars, self.caps.monthly_micro_dollars)


@dataclasses.dataclass(frozen=True, slots=True)
class DayCosts:
    """What one UTC day has cost, by kind; a share is booked on its trading date."""

    day: str
    by_kind: dict[str, int]

    @property
    def micro_dollars(self) -> int:
        """All kinds together."""
        return sum(self.by_kind.values())


@dataclasses.dataclass(frozen=True, slots=True)
class SymbolCosts:
    """What was spent on one symbol, or on several that were asked for together."""

    kind: str
    symbols: str
    entries: int
    micro_dollars: int


@dataclasses.dataclass(frozen=True, slots=True)
class CostReport:
    """The costs as of a UTC day; `days` and `symbols` cover `first_day` to `day`."""

    day: str
    first_day: str
    trading_days: int
    trading_days_left: int
    live: str
    kinds: tuple[KindCosts, ...]
    days: tuple[DayCosts, ...]
    symbols: tuple[SymbolCosts, ...]

    @property
    def month(self) -> str:
        """The month of the day."""
        return self.day[:7]

    @property
    def day_micro_dollars(self) -> int:
        """What the day has cost."""
        return sum(kind.day_micro_dollars for kind in self.kinds)

    @property
    def week_micro_dollars(self) -> int:
        """What the week has cost, from Monday to the day."""
        return sum(kind.week_micro_dollars for kind in self.kinds)

    @property
    def month_micro_dollars(self) -> int:
        """What the month has cost until the day."""
        return sum(kind.month_micro_dollars for kind in self.kinds)

    @property
    def projected_micro_dollars(self) -> int:
        """What the month will have cost at its end."""
        return sum(kind.projected_micro_dollars for kind in self.kinds)


def _share(amount: int, cap: int) -> float | None:
    return amount / cap if cap else None
