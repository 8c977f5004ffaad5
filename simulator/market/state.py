"""All of a market's state as flat arrays, so that its inner loop compiles.

Order 0 is nobody: a 0 in `head`, `tail`, `quotes` or a link means that there is none. Prices are
whole ticks above an instrument's `base`; sides are 0 for bids and 1 for asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ifd.records import MBO_DTYPE, MboArray
from ifd.units import PRICE_SCALE
from simulator.market.chain import CENTRE, Chain, Contract
from simulator.market.definitions import TICK
from simulator.market.pricing import volatility

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Small: TypeAlias = npt.NDArray[np.int32]

TICKS_PER_POINT: Final = PRICE_SCALE // TICK
MAKERS: Final = 3
LEVELS: Final = 4
STRANGERS: Final = 10
"""Small orders of others in one book, at most."""
PRICES: Final = 16_384
"""Ticks a book spans; also what an empty ask side compares as."""
CAPACITY: Final = 65_536
"""Records held until they are taken."""
BURST: Final = 16_384
"""More records than one happening can write."""
WAITING: Final = 8_192
"""Reactions that wait, at most; a power of two."""
FIRST_ORDER_ID: Final = 6_413_000_000_000

# Places in `ints`.
NEXT_NS: Final = 0
TS_EVENT: Final = 1
TS_RECV: Final = 2
SEQUENCE: Final = 3
TS_IN_DELTA: Final = 4
NEXT_ID: Final = 5
WRITTEN: Final = 6
EVENT_START: Final = 7
FREE: Final = 8
WAIT_HEAD: Final = 9
WAIT_TAIL: Final = 10
LAST_OPTION: Final = 11
LAST_SIDE: Final = 12
HALTED_UNTIL: Final = 13
PRICE_NS: Final = 14
START_NS: Final = 15
END_NS: Final = 16
CHANNEL: Final = 17
INSTRUMENT: Final = 18
FUTURE_SIDE: Final = 19

# Places in `levels`.
FUTURE: Final = 0
VOL_SHIFT: Final = 1
OPTION_HEAT: Final = 2
FUTURE_HEAT: Final = 3
ACTIVITY: Final = 4
MINUTE_VOLATILITY: Final = 5
DRIFT: Final = 6
TURMOIL: Final = 7
RUSH: Final = 8


BOOK: Final = np.dtype(
    [
        ("ident", "i8"),
        ("expiry", "i8"),
        ("frozen_until", "i8"),
        ("print_ident", "i8"),
        ("print_price", "i8"),
        ("strike", "f8"),
        ("delta", "f8"),
        ("smile", "f8"),
        ("weight", "f8"),
        ("base", "i4"),
        ("group", "i4"),
        ("is_call", "i4"),
        ("strangers", "i4"),
        ("print_side", "i4"),
        ("print_lots", "i4"),
    ]
)
"""One instrument: `group` is its expiry's number, `weight` the activity of all options up to it,
`strangers` how many small orders rest, `print_*` the trade printed last."""
MAKER: Final = np.dtype([("half", "f8"), ("held", "f8"), ("step", "i4"), ("lots", "i4")])
"""One maker in one instrument: half its spread and its grid in ticks, lots held, usual lots."""
ORDER: Final = np.dtype(
    [
        ("ident", "i8"),
        ("inst", "i4"),
        ("side", "i4"),
        ("price", "i4"),
        ("size", "i4"),
        ("next", "i4"),
        ("prev", "i4"),
        ("owner", "i4"),
        ("hidden", "i4"),
        ("shown", "i4"),
        ("label", "i4"),
    ]
)
"""One order: its neighbours in the queue, what an iceberg hides and shows at a time."""
WAIT: Final = np.dtype([("ns", "i8"), ("arg", "i8")])
TRUTH: Final = np.dtype([("lots", "i8"), ("first", "i8"), ("last", "i8")])
"""What was really traded for one planted episode, and when."""

Rows: TypeAlias = npt.NDArray[np.void]


class State(NamedTuple):
    """Everything the next record depends on.

    `best` is by (instrument, side), `queues` by (instrument, side, price; first, last order),
    `quotes` by (instrument, maker, side, rung), `looked_at` by (group, maker). Few arrays of many
    columns: each one more makes every compiled function longer.
    """

    ints: Ints
    levels: Floats
    out: MboArray
    rng: np.random.Generator
    books: Rows
    makers: Rows
    orders: Rows
    best: Small
    queues: Small
    quotes: Small
    strangers: Small
    chain_delta: Floats
    looked_at: Floats
    fills: Small
    waiting: Rows
    labels: Rows


def make_state(chain: Chain, seed: int, start_ns: int, *, labels: int) -> State:
    """Return the state of an exchange that has not opened yet.

    Parameters
    ----------
    labels : int
        How many episodes can be planted.
    """
    books = _books(chain)
    count, groups = len(books), int(books["group"].max()) + 1
    orders = count * (2 * MAKERS * LEVELS + STRANGERS) + 2_048
    state = State(
        ints=np.zeros(24, np.int64),
        levels=np.zeros(12, np.float64),
        out=np.zeros(CAPACITY + BURST, MBO_DTYPE),
        rng=np.random.Generator(np.random.PCG64(seed)),
        books=books,
        makers=np.zeros((count, MAKERS), MAKER),
        orders=np.zeros(orders, ORDER),
        best=_zeros(count, 2),
        queues=_zeros(count, 2, PRICES, 2),
        quotes=_zeros(count, MAKERS, 2, LEVELS),
        strangers=_zeros(count, STRANGERS),
        chain_delta=np.zeros(MAKERS, np.float64),
        looked_at=np.zeros((groups, MAKERS), np.float64),
        fills=_zeros(orders, 2),
        waiting=np.zeros(WAITING, WAIT),
        labels=np.zeros(labels, TRUTH),
    )
    _set_out(state, start_ns)
    return state


def _books(chain: Chain) -> Rows:
    contracts = chain.contracts
    groups = _groups(contracts)
    weights = [_weight(one, group) for one, group in zip(contracts, groups, strict=True)]
    books = np.zeros(len(contracts), BOOK)
    books["ident"] = [one.instrument_id for one in contracts]
    books["expiry"] = [one.expiration_ns for one in contracts]
    books["strike"] = [one.strike or 0 for one in contracts]
    books["smile"] = [_smile(one) for one in contracts]
    books["is_call"] = [one.right == "C" for one in contracts]
    books["group"] = groups
    books["weight"] = np.cumsum(weights)
    books["delta"] = 1.0
    return books


def _set_out(state: State, start_ns: int) -> None:
    state.orders["next"] = np.arange(1, len(state.orders) + 1)
    state.ints[FREE] = 1
    state.ints[NEXT_ID] = FIRST_ORDER_ID
    state.ints[SEQUENCE] = 1_000
    state.ints[LAST_OPTION] = 1
    for name in (START_NS, PRICE_NS, NEXT_NS):
        state.ints[name] = start_ns
    state.best[:, 1] = PRICES
    state.books["base"][0] = round(CENTRE * TICKS_PER_POINT) - PRICES // 2
    state.out["length"] = MBO_DTYPE.itemsize // 4
    state.out["rtype"] = 0xA0
    state.out["publisher_id"] = 1
    for maker in range(MAKERS):
        # The tightest first; in the options each quotes on a grid of its own width.
        state.makers["half"][:, maker] = 2.0 + maker
        state.makers["step"][:, maker] = 2 + (maker == 2)
        state.makers["lots"][:, maker] = 20 + 5 * maker
        state.makers["half"][0, maker] = 0.6 + 0.7 * maker
        state.makers["step"][0, maker] = 1
        state.makers["lots"][0, maker] = 6 + 3 * maker


def _zeros(*shape: int) -> Small:
    return np.zeros(shape, np.int32)


def _groups(contracts: Sequence[Contract]) -> list[int]:
    expiries = sorted({one.expiration_ns for one in contracts if one.strike is not None})
    place = {expiry: number for number, expiry in enumerate(expiries)}
    return [0 if one.strike is None else place[one.expiration_ns] for one in contracts]


def _smile(contract: Contract) -> float:
    return 0.0 if contract.strike is None else volatility(contract.strike, CENTRE)


def _weight(contract: Contract, group: int) -> float:
    # Most is traded near the money and near expiry; out of the money more than in it.
    if contract.strike is None:
        return 0.0
    away = (contract.strike - CENTRE) / 250.0
    out = away if contract.right == "C" else -away
    near = float(np.exp(-0.5 * (away - (0.3 if out > 0 else 0.0)) ** 2))
    return (near + 0.02) / (1.0 + 0.5 * group)
