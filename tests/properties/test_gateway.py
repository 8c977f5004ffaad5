"""Exact once: a feed cut anywhere, any number of times, gives every record once and in order."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ifd.gateway.ledger import MboLedger
from ifd.records import MBO_DTYPE, MboArray

MILLISECOND = 10**6

streams = st.lists(
    st.tuples(
        st.integers(1, 4),  # instrument
        st.sampled_from([0, 0, 0, 1, 40, 700, 3_000]),  # milliseconds since the one before
        st.integers(0, 5),  # milliseconds its channel lags
    ),
    min_size=1,
    max_size=120,
)


def records_of(stream: list[tuple[int, int, int]]) -> MboArray:
    records = np.zeros(len(stream), MBO_DTYPE)
    records["order_id"] = np.arange(len(stream))
    records["instrument_id"] = [instrument for instrument, _, _ in stream]
    clock = 10**12 + np.cumsum([elapsed for _, elapsed, _ in stream]) * MILLISECOND
    records["ts_recv"] = clock
    records["ts_event"] = clock - np.array([lag for _, _, lag in stream]) * MILLISECOND
    return records


def cut(records: MboArray, places: list[int]) -> list[MboArray]:
    edges = sorted({0, len(records), *(place % (len(records) + 1) for place in places)})
    return [records[begin:end] for begin, end in itertools.pairwise(edges)]


@given(
    streams,
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 50)), max_size=6),
    st.lists(st.integers(0, 200), max_size=10),
)
def test_every_record_comes_once_and_in_the_order_of_its_instrument(
    stream: list[tuple[int, int, int]], cuts: list[tuple[int, int]], batches: list[int]
) -> None:
    """A cut is how far the gateway had sent, and how much of that was lost on the way."""
    served = records_of(stream)
    ledger = MboLedger()
    ledger.join(start_ns=0, snapshot=False)
    received: list[MboArray] = []

    sent = served
    for until, lost in [*cuts, (len(served), 0)]:
        place = max(0, min(until, len(sent)) - lost)
        if (until, lost) == (len(served), 0):
            place = len(sent)
        received += [ledger.accept(part) for part in cut(sent[:place], batches) if len(part)]
        start = ledger.resume_ts
        if start is None:
            sent = served
        else:
            ledger.begin_replay(start)
            sent = served[served["ts_event"] >= start]

    whole = np.concatenate([np.zeros(0, MBO_DTYPE), *received])
    assert sorted(whole["order_id"].tolist()) == served["order_id"].tolist()
    for instrument in range(1, 5):
        mine = whole["order_id"][whole["instrument_id"] == instrument]
        assert mine.tolist() == sorted(mine.tolist())
