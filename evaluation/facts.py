"""What a simulated session is like, in the numbers that describe real ones.

Spreads, orders against trades, tails of sizes, clustering, season: a detector that is right in a
market without them has learned nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
import numpy.typing as npt

from ifd.records import CANCEL, F_LAST, MODIFY, TRADE, MboArray
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND
from simulator.market import Market, MarketParams, list_chain
from simulator.market.chain import moment_ns
from simulator.session_files import FIRST_DATE, OPENING

Floats = npt.NDArray[np.float64]

_SPANS_SECONDS: Final = (1, 3, 10, 30, 100, 300)
_TAIL_FROM: Final = 2
_TAIL_TO: Final = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """One session in numbers.

    Attributes
    ----------
    orders_a_trade : float
        Messages about orders (all but trades and fills) for each trade.
    future_spread, option_spread : float
        Median spread in ticks, over minutes; of options, over all of them too.
    two_sided : float
        Share of minutes and instruments with a bid and an ask.
    minute_volatility : float
        Standard deviation of the future's moves in a minute, points.
    tail_exponent : float
        Of option trade sizes, between 2 and 20 lots.
    size_tail, dispersion : pair of ndarray
        Lots against the share of trades as large; seconds against variance over mean of the number
        of option trades in so long.
    sign_persistence : float
        How much likelier than chance a trade in an option has the side of the one before it there,
        -1..1.
    """

    records: int
    trades: int
    events: int
    orders_a_trade: float
    cancels_and_modifies: float
    future_spread: float
    option_spread: float
    two_sided: float
    minute_volatility: float
    tail_exponent: float
    sign_persistence: float
    size_tail: tuple[Floats, Floats]
    dispersion: tuple[Floats, Floats]
    trades_by_half_hour: npt.NDArray[np.int64]
    future_by_minute: Floats


def facts_of_session(seed: int, *, minutes: int = 390, params: MarketParams | None = None) -> Facts:
    """Simulate one session and return its facts."""
    start_ns = moment_ns(FIRST_DATE, OPENING)
    end_ns = start_ns + minutes * NANOS_PER_MINUTE
    chain = list_chain(FIRST_DATE)
    market = Market(seed, start_ns, chain, params, end_ns=end_ns)
    arrays, touches = [], []
    for until in range(start_ns + NANOS_PER_MINUTE, end_ns + 1, NANOS_PER_MINUTE):
        arrays.append(market.advance(until))
        touches.append(market.best_prices())
    records = np.concatenate(arrays)
    best = np.array(touches)
    future = best[:, 0].mean(axis=1) / 4.0
    spreads = best[:, :, 1] - best[:, :, 0]
    options = records[
        (records["action"] == TRADE) & (records["instrument_id"] != chain.future.instrument_id)
    ]
    return _facts(records, options, spreads, future, (start_ns, end_ns))


def _facts(
    records: MboArray, options: MboArray, spreads: Floats, future: Floats, span: tuple[int, int]
) -> Facts:
    start_ns, end_ns = span
    trades = int((records["action"] == TRADE).sum())
    changes = int(np.isin(records["action"], (CANCEL, MODIFY)).sum())
    fills = int((records["action"] == ord("F")).sum())
    sizes = options["size"].astype(np.int64)
    moments = (options["ts_event"].astype(np.int64) - start_ns) / NANOS_PER_SECOND
    seconds = (end_ns - start_ns) / NANOS_PER_SECOND
    half_hours = np.arange(0.0, seconds + 1.0, 1_800.0)
    return Facts(
        records=len(records),
        trades=trades,
        events=int((records["flags"] & F_LAST > 0).sum()),
        orders_a_trade=(len(records) - trades - fills) / trades,
        cancels_and_modifies=changes / len(records),
        future_spread=float(np.nanmedian(spreads[:, 0])),
        option_spread=float(np.nanmedian(spreads[:, 1:])),
        two_sided=float(np.isfinite(spreads).mean()),
        minute_volatility=float(np.nanstd(np.diff(future))),
        tail_exponent=tail_exponent(sizes),
        sign_persistence=sign_persistence(options),
        size_tail=_size_tail(sizes),
        dispersion=_dispersion(moments, seconds),
        trades_by_half_hour=np.histogram(moments, half_hours)[0],
        future_by_minute=future,
    )


def tail_exponent(sizes: npt.NDArray[np.int64]) -> float:
    """Return how fast large sizes grow rare: the slope between 2 and 20 lots on log axes.

    Examples
    --------
    >>> tail_exponent(np.array([1] * 90 + [2] * 9 + [20]))
    1.0
    """
    few, many = ((sizes >= lots).sum() for lots in (_TAIL_FROM, _TAIL_TO))
    return float(np.log(few / many) / np.log(_TAIL_TO / _TAIL_FROM))


def sign_persistence(trades: MboArray) -> float:
    """Return how much likelier than chance a trade repeats the side of the last one there."""
    order = np.argsort(trades["instrument_id"], kind="stable")
    ident, side = trades["instrument_id"][order], trades["side"][order]
    same_book = ident[1:] == ident[:-1]
    return float(2.0 * (side[1:] == side[:-1])[same_book].mean() - 1.0)


def _size_tail(sizes: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    lots = np.unique(sizes)
    share = np.array([(sizes >= each).mean() for each in lots])
    return lots.astype(np.float64), share


def _dispersion(moments: Floats, seconds: float) -> tuple[Floats, Floats]:
    found = []
    for span in _SPANS_SECONDS:
        counts, _ = np.histogram(moments, np.arange(0.0, seconds + span, span))
        found.append(counts.var() / counts.mean())
    return np.array(_SPANS_SECONDS, np.float64), np.array(found)
