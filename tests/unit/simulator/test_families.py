"""Each planted family does what its name says, and each confounder only looks like one."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from evaluation.matching import Alert, institutional
from evaluation.scores import SIZES, Session, score, size_of
from ifd.records import ADD, CANCEL, FILL, MODIFY, TRADE, MboArray
from ifd.units import NANOS_PER_MILLISECOND, NANOS_PER_SECOND
from simulator.market import Episode, Market, MarketParams, list_chain
from simulator.market.chain import Contract, moment_ns
from simulator.market.confounders import CONFOUNDERS
from simulator.market.institutions import INSTITUTIONS

DATE = dt.date(2026, 10, 5)
OPEN_NS = moment_ns(DATE, dt.time(9, 30))
CHAIN = list_chain(DATE, strikes=17)
BY_ID = {contract.instrument_id: contract for contract in CHAIN.contracts}
EXPIRIES = sorted({option.expiration_ns for option in CHAIN.options})
NEVER = 1e9
SIDES = {"BUY": ord("B"), "SELL": ord("A")}


class Played(NamedTuple):
    """Ten minutes of one kind alone; `mids` are ticks of everything, second by second."""

    records: MboArray
    labels: tuple[Episode, ...]
    mids: npt.NDArray[np.float64]


def play(seconds: int = 600, seed: int = 6, **params: Any) -> Played:
    market = Market(seed, OPEN_NS, CHAIN, MarketParams(records_per_second=20.0, **params))
    arrays, mids = [], []
    for second in range(1, seconds + 1):
        arrays.append(market.advance(OPEN_NS + second * NANOS_PER_SECOND))
        mids.append(market.best_prices().mean(axis=1))
    return Played(np.concatenate(arrays), market.labels, np.array(mids))


@cache
def institution(kind: str) -> Played:
    return play(families=(kind,), episode_seconds=60.0, confounder_seconds=0.0)


@cache
def confounder(kind: str) -> Played:
    return play(confounders=(kind,), episode_seconds=NEVER, confounder_seconds=60.0)


def during(records: MboArray, label: Episode) -> MboArray:
    times = records["ts_event"]
    return records[(times >= label.start_ns) & (times <= label.end_ns)]


def trades_of(played: Played, label: Episode, leg: int = 0) -> MboArray:
    """Return the prints of a leg's instrument, taken by its side, while the episode lasted."""
    one = label.legs[leg]
    found = during(played.records, label)
    return found[
        (found["action"] == TRADE)
        & (found["instrument_id"] == one.instrument_id)
        & (found["side"] == SIDES[one.side])
    ]


def contracts_of(label: Episode) -> list[Contract]:
    return [BY_ID[leg.instrument_id] for leg in label.legs]


def distinct_times(trades: MboArray) -> npt.NDArray[np.float64]:
    return np.unique(trades["ts_event"]).astype(np.float64) / NANOS_PER_SECOND


def moved(played: Played, instrument: int, from_ns: int, to_ns: int) -> float:
    """Return by how many points a mid moved between two moments."""
    first, last = ((ns - OPEN_NS) // NANOS_PER_SECOND for ns in (from_ns, to_ns))
    mids = played.mids[:, instrument]
    return float(mids[min(last, len(mids) - 1)] - mids[max(first - 1, 0)]) / 4.0


@pytest.mark.parametrize("kind", INSTITUTIONS)
def test_a_family_alone_gives_its_own_labels_on_options(kind: str) -> None:
    labels = institution(kind).labels

    assert len(labels) >= 3
    assert {(label.kind, label.institutional) for label in labels} == {(kind, True)}
    for label in labels:
        assert label.lots > 0
        assert all(contract.right is not None for contract in contracts_of(label))
        assert len({leg.instrument_id for leg in label.legs}) == len(label.legs)


def refilled(records: MboArray) -> set[int]:
    """Return the orders that showed 15 lots at most and were filled for more than they showed."""
    fills = records[records["action"] == FILL]
    resting = records[np.isin(records["action"], (ADD, MODIFY))]
    found = set()
    for order in np.unique(fills["order_id"]).tolist():
        shown = resting["size"][resting["order_id"] == order]
        filled = fills["size"][fills["order_id"] == order].sum()
        if 0 < shown.max(initial=0) <= 15 and filled > shown.max():
            found.add(order)
    return found


def test_an_iceberg_is_filled_for_more_than_it_ever_shows() -> None:
    played = institution("iceberg")

    large = [label for label in played.labels if label.lots > 40]
    assert large
    for label in large:
        own = during(played.records, label)
        assert refilled(own[own["instrument_id"] == label.legs[0].instrument_id])


def test_even_slices_are_even_and_uneven_ones_are_not() -> None:
    even = institution("sliced-twap")
    uneven = institution("sliced-irregular")

    for label in even.labels:
        (leg,) = label.legs
        mine = np.diff(distinct_times(trades_of(even, label)))
        # Others may trade in between: the step itself is that of most gaps, or a multiple of it.
        step = np.median(mine)
        assert np.mean(np.abs(mine / step - np.round(mine / step)) < 0.01) > 0.5
        assert leg.side in SIDES
    spreads = [
        gaps.std() / gaps.mean()
        for label in uneven.labels
        if len(gaps := np.diff(distinct_times(trades_of(uneven, label)))) > 5
    ]
    assert spreads
    assert min(spreads) > 0.3


def test_a_block_is_one_large_print_and_pieces_after_it() -> None:
    played = institution("block")

    for label in played.labels:
        trades = trades_of(played, label)
        assert trades["ts_event"][0] == label.start_ns
        assert trades["size"][0] >= label.lots / 2
        assert len(trades) > 1


def test_a_risk_reversal_is_one_direction_in_a_call_above_a_put() -> None:
    for label in institution("risk-reversal").labels:
        call, put = contracts_of(label)
        assert (call.right, put.right) == ("C", "P")
        assert call.expiration_ns == put.expiration_ns
        assert (call.strike or 0) > (put.strike or 0)
        assert {leg.side for leg in label.legs} == {"BUY", "SELL"}


def test_a_vertical_is_two_strikes_of_one_right() -> None:
    for label in institution("vertical").labels:
        near, far = contracts_of(label)
        assert (near.right, near.expiration_ns) == (far.right, far.expiration_ns)
        assert near.strike != far.strike
        assert {leg.side for leg in label.legs} == {"BUY", "SELL"}


def test_a_roll_leaves_one_expiry_for_a_later_one() -> None:
    for label in institution("roll").labels:
        near, later = contracts_of(label)
        assert (near.right, near.strike) == (later.right, later.strike)
        assert near.expiration_ns < later.expiration_ns
        assert {leg.side for leg in label.legs} == {"BUY", "SELL"}


def test_the_legs_of_a_structure_trade_within_half_a_second_of_each_other() -> None:
    for kind in ("risk-reversal", "vertical", "roll"):
        played = institution(kind)
        for label in played.labels:
            first, second = (distinct_times(trades_of(played, label, leg)) for leg in (0, 1))
            assert min(abs(a - b) for a in first for b in second) < 0.5, label


def upward(label: Episode) -> int:
    call = BY_ID[label.legs[0].instrument_id].right == "C"
    return 1 if (label.legs[0].side == "BUY") == call else -1


def test_the_future_follows_an_institution_and_not_a_fat_print() -> None:
    def after(kind_of_play: Played) -> npt.NDArray[np.float64]:
        return np.array(
            [
                upward(each) * moved(kind_of_play, 0, each.start_ns, each.start_ns + 90 * 10**9)
                for each in kind_of_play.labels
            ]
        )

    block = after(play(3_000, families=("block",), episode_seconds=100.0, confounder_seconds=0.0))
    print_ = after(
        play(3_000, confounders=("fat-print",), episode_seconds=NEVER, confounder_seconds=100.0)
    )

    # In standard errors of the mean: one is there, the other is noise.
    assert block.mean() / (block.std() / len(block) ** 0.5) > 3
    assert abs(print_.mean() / (print_.std() / len(print_) ** 0.5)) < 3


@pytest.mark.parametrize("kind", sorted(CONFOUNDERS))
def test_a_confounder_alone_is_labelled_as_none_of_an_institution(kind: str) -> None:
    labels = confounder(kind).labels

    assert len(labels) >= 2
    assert {(label.kind, label.institutional) for label in labels} == {(kind, False)}


def test_a_straddle_is_a_call_and_a_put_of_one_strike_traded_alike() -> None:
    played = confounder("straddle")

    for label in played.labels:
        call, put = contracts_of(label)
        assert (call.right, put.right) == ("C", "P")
        assert (call.strike, call.expiration_ns) == (put.strike, put.expiration_ns)
        assert len({leg.side for leg in label.legs}) == 1
        lots = [int(trades_of(played, label, leg)["size"].sum()) for leg in (0, 1)]
        assert 0.5 < lots[0] / lots[1] < 2.0


def test_a_fat_print_is_one_trade() -> None:
    played = confounder("fat-print")

    for label in played.labels:
        assert label.start_ns == label.end_ns
        assert trades_of(played, label)["size"].tolist() == [label.lots]
        assert label.lots >= 50


def test_layers_are_shown_and_all_of_them_pulled() -> None:
    played = confounder("layering")

    for label in played.labels:
        (leg,) = label.legs
        own = played.records[played.records["instrument_id"] == leg.instrument_id]
        near = during(own, label)
        layers = near[
            (near["action"] == ADD) & (near["size"] >= 60) & (near["side"] == SIDES[leg.side])
        ]
        assert len(layers) >= 3
        gone = own[(own["action"] == CANCEL) & (own["ts_event"] <= label.end_ns)]
        assert set(layers["order_id"].tolist()) <= set(gone["order_id"].tolist())


def test_a_replayed_chunk_is_one_print_over_and_over() -> None:
    played = confounder("replayed-chunk")

    for label in played.labels:
        own = during(played.records, label)
        prints = own[
            (own["action"] == TRADE) & (own["instrument_id"] == label.legs[0].instrument_id)
        ]
        (_, times), *_ = Counter(prints[["price", "size", "order_id"]].tolist()).most_common(1)
        assert times >= 4


def test_nothing_happens_while_trading_is_halted() -> None:
    # Seldom enough that none waits for another to end.
    played = play(2_000, confounders=("halt",), episode_seconds=NEVER, confounder_seconds=400.0)

    assert len(played.labels) >= 3
    for label in played.labels:
        # Everybody pulls within a second, and is back within milliseconds of its end.
        silent = during(played.records, label)["ts_event"].astype(np.int64)
        late = label.start_ns + NANOS_PER_SECOND
        assert not ((silent > late) & (silent < label.end_ns - 5 * NANOS_PER_MILLISECOND)).any()


def by_expiry(records: MboArray, action: int) -> dict[int, int]:
    some = records[records["action"] == action]
    counts = Counter(BY_ID[each].expiration_ns for each in some["instrument_id"].tolist())
    return {expiry: counts[expiry] for expiry in EXPIRIES}


def busy_spans(played: Played) -> Iterator[tuple[Episode, MboArray]]:
    for label in played.labels:
        yield label, during(played.records, label)


def test_stale_quotes_are_those_of_one_expiry_while_others_move() -> None:
    frozen = []
    for _, records in busy_spans(confounder("stale-quotes")):
        # What was under way when it froze may still arrive.
        moves = by_expiry(records[100:], MODIFY)
        frozen.append(min(moves.values()) / max(max(moves.values()), 1))

    assert np.median(frozen) < 0.1


def test_a_storm_renews_a_whole_expiry_and_trades_next_to_nothing() -> None:
    for _, records in busy_spans(confounder("maker-storm")):
        moves = by_expiry(records, MODIFY)
        assert max(moves.values()) > 3 * sum(1 for each in CHAIN.options) / len(EXPIRIES)
        assert (records["action"] == TRADE).sum() < max(moves.values()) / 20


def test_news_moves_the_future_at_once_and_trades_the_whole_chain() -> None:
    played = confounder("news")

    for label, records in busy_spans(played):
        jump = moved(played, 0, label.start_ns, label.start_ns + 2 * NANOS_PER_SECOND)
        assert abs(jump) > 8.0
        traded = set(records[records["action"] == TRADE]["instrument_id"].tolist())
        assert len(traded) > 5


def test_a_move_of_volatility_reprices_calls_and_puts_alike() -> None:
    played = confounder("volatility-move")
    at_the_money = [
        number
        for number, option in enumerate(CHAIN.options, start=1)
        if option.strike == 25_000 and option.expiration_ns == EXPIRIES[-1]
    ]

    for label in played.labels:
        call, put = (moved(played, n, label.start_ns, label.end_ns) for n in at_the_money)
        # What the future does cancels in the sum, what volatility does adds up.
        assert abs(call + put) > 10.0


def test_an_expiry_rush_is_many_small_trades_both_ways_in_the_nearest() -> None:
    for _, records in busy_spans(confounder("expiry-rush")):
        trades = records[records["action"] == TRADE]
        counts = by_expiry(records, TRADE)
        assert counts[EXPIRIES[0]] > 1.5 * max(counts[each] for each in EXPIRIES[1:])
        nearest = trades[
            [BY_ID[each].expiration_ns == EXPIRIES[0] for each in trades["instrument_id"].tolist()]
        ]
        assert 0.3 < (nearest["side"] == ord("B")).mean() < 0.7


@pytest.fixture(scope="module")
def session() -> Market:
    """A whole session with everything that is planted."""
    end_ns = OPEN_NS + 3_600 * NANOS_PER_SECOND
    params = MarketParams(records_per_second=5.0, episode_seconds=30.0, confounder_seconds=60.0)
    market = Market(8, OPEN_NS, CHAIN, params, end_ns=end_ns)
    market.advance(end_ns)
    return market


def test_a_session_holds_every_kind_and_every_size(session: Market) -> None:
    kinds = {label.kind for label in session.labels}
    sizes = {size_of(label) for label in institutional(session.labels)}

    assert kinds == {*INSTITUTIONS, *CONFOUNDERS, "open-rush", "close-rush"}
    assert sizes == {name for name, _ in SIZES}


def test_a_detector_that_reads_the_labels_of_a_session_finds_all_of_it(session: Market) -> None:
    alerts = [
        Alert(leg.instrument_id, leg.side, label.start_ns, 1.0)
        for label in institutional(session.labels)
        for leg in label.legs
    ]

    found = score([Session(alerts, session.labels)], threshold=0.5, is_probability=True)

    assert (found.recall.value, found.precision, found.area) == (1.0, 1.0, 1.0)
    assert (found.false_alerts, found.calibration_error) == (0, 0.0)
