"""Several sources become one stream in order of time, and nothing is there twice."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ifd.records import MBO_DTYPE, MboArray
from runtime.merging import Received, merge_by_time

Batches = list[list[tuple[int, int]]]


def orders(*facts: tuple[int, int]) -> MboArray:
    """Orders of (capture time, order id)."""
    records = np.zeros(len(facts), MBO_DTYPE)
    for place, (time, order_id) in enumerate(facts):
        records[place]["ts_recv"] = records[place]["ts_event"] = time
        records[place]["order_id"] = order_id
    return records


def pairs(arrays: list[MboArray]) -> list[tuple[int, int]]:
    return [(int(one["ts_recv"]), int(one["order_id"])) for records in arrays for one in records]


def sources() -> st.SearchStrategy[list[Batches]]:
    batch = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), max_size=6)
    return st.lists(st.lists(batch, max_size=4), max_size=4)


@given(sources())
def test_merging_is_a_stable_sort_by_the_time_that_each_source_has_reached(
    given_sources: list[Batches],
) -> None:
    expected = []
    for number, batches in enumerate(given_sources):
        reached = 0
        for place, (time, order_id) in enumerate(one for batch in batches for one in batch):
            reached = max(reached, time)
            expected.append((reached, number, place, (time, order_id)))

    merged = merge_by_time([orders(*batch) for batch in batches] for batches in given_sources)

    assert pairs(list(merged)) == [pair for *_, pair in sorted(expected)]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1)), max_size=30),
    st.lists(st.booleans(), min_size=30, max_size=30),
    st.integers(1, 7),
)
def test_what_is_there_already_is_dropped_one_for_one(
    whole: list[tuple[int, int]], is_there: list[bool], pieces: int
) -> None:
    there = [pair for pair, kept in zip(whole, is_there, strict=False) if kept]
    known = Received([orders(*there)] if there else [])

    fetched = np.array_split(orders(*whole), pieces)
    new = pairs([known.new_of(records) for records in fetched])

    assert sorted([*new, *there]) == sorted(whole)
