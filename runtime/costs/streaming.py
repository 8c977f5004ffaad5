"""Book the live feed: a share of the subscription a trading date, or bytes where they are billed.

A subscription is paid whether or not anybody streams, so a date that nobody booked is booked by
the next run. A day that is booked stays booked, whatever the price becomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from config.settings import Settings
from ifd.units import MICRO_DOLLARS, NANOS_PER_SECOND
from models.alarms import tell_alarms
from models.base import transaction
from models.caps import committed_on, day_of, take_turns
from models.operations import StreamRunRow
from models.streaming_costs import (
    STREAMING,
    book_replay,
    book_share,
    book_usage,
    newest_share,
)
from runtime.caps import caps_of
from runtime.costs.shares import months_between, trading_month

LOOK_BACK_NS: Final = 7 * 24 * 3_600 * NANOS_PER_SECOND
"""Runs that ended longer ago are not looked at again."""
_AT_THE_CAP: Final = {
    "alarm": "The stream goes on: budget.when_streaming_spent is alarm.",
    "stop-backfill": "At 100 % holes are no longer filled until it is over.",
    "stop": "At 100 % streams are stopped, and holes no longer filled, until it is over.",
}


def book_streaming(settings: Settings, engine: Engine, *, day: str, now_ns: int) -> int:
    """Book the live feed up to a day, and tell the alarms that are due; return what is new.

    Parameters
    ----------
    day : str
        The last trading date whose share is booked; with usage, what was received until now is.

    Returns
    -------
    int
        Micro-dollars; 0 when everything was booked already.
    """
    dates = _unbooked_dates(settings, engine, day)  # before the lock: a calendar takes a second
    with transaction(engine) as session:
        take_turns(session)
        if settings.costs.live == "usage":
            fresh = book_received(session, settings, now_ns=now_ns)
        else:
            fresh = sum(
                share for date, share in dates if book_share(session, date, share, now_ns=now_ns)
            )
        tell_of_streaming(session, settings, day=day, now_ns=now_ns)
    return fresh


def book_replayed(
    settings: Settings,
    engine: Engine,
    received_bytes: Mapping[str, int],
    *,
    shard: str,
    span: tuple[int, int],
    now_ns: int,
) -> None:
    """Book what the live gateway has sent again of a hole, where it is billed by the byte."""
    if settings.costs.live != "usage":
        return
    with transaction(engine) as session:
        take_turns(session)
        symbols = _symbols(settings, shard)
        prices = _prices(settings)
        book_replay(session, received_bytes, prices, symbols=symbols, span=span, now_ns=now_ns)
        tell_of_streaming(session, settings, day=day_of(now_ns), now_ns=now_ns)


def book_received(session: Session, settings: Settings, *, now_ns: int) -> int:
    """Book what streams of all shards have received until now; return what is new."""
    prices = _prices(settings)
    runs = session.exec(
        select(StreamRunRow).where(col(StreamRunRow.heartbeat_ns) >= now_ns - LOOK_BACK_NS)
    ).all()
    return sum(
        book_usage(session, run, prices, symbols=_symbols(settings, run.shard), now_ns=now_ns)
        for run in runs
    )


def tell_of_streaming(session: Session, settings: Settings, *, day: str, now_ns: int) -> list[str]:
    """Store and queue the alarms of the live feed that are due for a day and its month."""
    by_the_byte = settings.costs.live == "usage"
    return tell_alarms(
        session,
        STREAMING,
        committed_on(session, STREAMING, day),
        caps_of(settings.budget, STREAMING),
        day=day,
        now_ns=now_ns,
        channel=settings.alert_channel,
        then=_AT_THE_CAP[settings.budget.when_streaming_spent]
        if by_the_byte
        else "The stream goes on: it is a subscription, and stopping would save nothing.",
    )


def subscription_micro_dollars(settings: Settings) -> int:
    """Return the price of a month."""
    return int(settings.costs.subscription_monthly * MICRO_DOLLARS)


def _unbooked_dates(settings: Settings, engine: Engine, day: str) -> list[tuple[str, int]]:
    """Return trading dates up to `day` that are not booked, and their shares.

    From the one after the newest that is booked; with none, from the first of the month.
    """
    price = subscription_micro_dollars(settings)
    if settings.costs.live != "subscription" or not price:
        return []
    with Session(engine) as session:
        newest = newest_share(session)
    found = []
    for month in months_between(newest or day, day):
        trading = trading_month(settings, month)
        found += [
            (date, trading.share(date, price))
            for date in trading.dates
            if date <= day and (newest is None or date > newest)
        ]
    return found


def _prices(settings: Settings) -> dict[str, int]:
    """Return micro-dollars a GiB, by schema."""
    prices = settings.costs.usage_per_gib.model_dump()
    return {schema: int(dollars * MICRO_DOLLARS) for schema, dollars in prices.items()}


def _symbols(settings: Settings, shard: str) -> str:
    feed = settings.feed
    streamed = feed if feed.shard == shard else settings.shards.get(shard)
    return "" if streamed is None else ",".join((*streamed.parents, *streamed.futures))
