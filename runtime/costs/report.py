"""What was spent: today, this week and month, and where the month will end.

Everything is read from the ledger, in micro-dollars. The projection of a kind is what the month has
cost so far, and for each trading date that is left the mean of those that are over, rounded up. A
subscription needs no guess: the dates that are not booked yet bear the rest of its price.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, func

from config.settings import Settings
from ifd.errors import InputError
from models.money import CostEntryRow
from models.streaming_costs import STREAMING, newest_share
from runtime.caps import KINDS, Kind, caps_of
from runtime.costs.figures import CostReport, DayCosts, KindCosts, SymbolCosts
from runtime.costs.shares import TradingMonth, trading_month
from runtime.costs.streaming import subscription_micro_dollars


def cost_report(
    settings: Settings, engine: Engine, *, day: str, days: int | None = None
) -> CostReport:
    """Return the costs as of a UTC day.

    Parameters
    ----------
    days : int, optional
        How many days the tables by day and by symbol cover; None: the month of the day.
    """
    today = day_from(day)
    monday = str(today - dt.timedelta(days=today.weekday()))
    first = f"{day[:7]}-01" if days is None else str(today - dt.timedelta(days=days - 1))
    trading = trading_month(settings, day[:7])
    with Session(engine) as session:
        sums = _sums(session, min(first, monday, f"{day[:7]}-01"), day)
        left = _subscription_left(session, settings, trading, day)
    return CostReport(
        day=day,
        first_day=first,
        trading_days=len(trading.dates),
        trading_days_left=trading.left(day),
        live=_live_words(settings),
        kinds=tuple(_kind(settings, kind, sums, day, monday, trading, left) for kind in KINDS),
        days=_by_day(sums, first),
        symbols=_by_symbol(sums, first),
    )


def last_day(month: str, *, today: str) -> str:
    """Return today in the running month, the last day of an earlier one.

    Raises
    ------
    InputError
        If the month has not begun, or is none.
    """
    first = day_from(f"{month}-01")
    following = (first + dt.timedelta(days=31)).replace(day=1)
    if str(first) > today:
        raise InputError(f"{month} has not begun: nothing of it is spent")
    return min(today, str(following - dt.timedelta(days=1)))


def day_from(text: str) -> dt.date:
    """Return the day of an ISO date.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no day such as 2026-11-25") from error


@dataclasses.dataclass(frozen=True, slots=True)
class _Sum:
    kind: str
    day: str
    symbols: str
    entries: int
    micro_dollars: int


def _sums(session: Session, first: str, last: str) -> list[_Sum]:
    query = (
        sa.select(
            col(CostEntryRow.kind),
            col(CostEntryRow.day),
            col(CostEntryRow.symbols),
            func.count(),
            func.sum(CostEntryRow.committed_micro_dollars),
        )
        .where(col(CostEntryRow.day) >= first, col(CostEntryRow.day) <= last)
        .group_by(col(CostEntryRow.kind), col(CostEntryRow.day), col(CostEntryRow.symbols))
    )
    return [
        _Sum(kind, day, symbols, count, int(total))
        for kind, day, symbols, count, total in session.connection().execute(query)
    ]


def _kind(
    settings: Settings,
    kind: Kind,
    sums: Iterable[_Sum],
    day: str,
    monday: str,
    trading: TradingMonth,
    subscription_left: int | None,
) -> KindCosts:
    mine = [one for one in sums if one.kind == kind]
    month = _since(mine, f"{day[:7]}-01")
    if kind == STREAMING and subscription_left is not None:
        projected = month + subscription_left
    else:
        projected = month + _ahead(month, trading.elapsed(day), trading.left(day))
    return KindCosts(
        kind=kind,
        day_micro_dollars=_since(mine, day),
        week_micro_dollars=_since(mine, monday),
        month_micro_dollars=month,
        projected_micro_dollars=projected,
        caps=caps_of(settings.budget, kind),
    )


def _since(sums: Iterable[_Sum], first: str) -> int:
    return sum(one.micro_dollars for one in sums if one.day >= first)


def _ahead(spent: int, elapsed: int, left: int) -> int:
    """Return what is still to come; before the first trading date nothing is known."""
    return -(-spent * left // elapsed) if elapsed else 0


def _subscription_left(
    session: Session, settings: Settings, trading: TradingMonth, day: str
) -> int | None:
    """Return what the month's dates that are not booked yet will bear, None by the byte."""
    if settings.costs.live != "subscription":
        return None
    newest = newest_share(session)
    if newest is None and not trading.left(day):
        return 0  # a month in which nobody booked: nobody will
    price = subscription_micro_dollars(settings)
    return sum(trading.share(date, price) for date in trading.dates if date > (newest or ""))


def _by_day(sums: Iterable[_Sum], first: str) -> tuple[DayCosts, ...]:
    days: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for one in sums:
        if one.day >= first:
            kinds = days[one.day]
            kinds[one.kind] = kinds.get(one.kind, 0) + one.micro_dollars
    return tuple(DayCosts(day, kinds) for day, kinds in sorted(days.items()))


def _by_symbol(sums: Iterable[_Sum], first: str) -> tuple[SymbolCosts, ...]:
    found: defaultdict[tuple[str, str], list[_Sum]] = defaultdict(list)
    for one in sums:
        if one.day >= first:
            found[one.kind, one.symbols].append(one)
    costs = [
        SymbolCosts(
            kind, symbols, sum(one.entries for one in all_), sum(one.micro_dollars for one in all_)
        )
        for (kind, symbols), all_ in found.items()
    ]
    return tuple(sorted(costs, key=lambda one: (-one.micro_dollars, one.kind, one.symbols)))


def _live_words(settings: Settings) -> str:
    costs = settings.costs
    if costs.live == "usage":
        return "the live feed is billed by the byte (costs.usage_per_gib)"
    if not costs.subscription_monthly:
        return (
            "the live feed is a subscription whose price nobody told: set "
            "costs.subscription_monthly, or streaming counts as free"
        )
    return f"the live feed is a subscription of ${costs.subscription_monthly:,.2f} a month"
