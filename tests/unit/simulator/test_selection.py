"""Which records of the stream a session is sent, against the rule spelled out record by record."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ifd.records import MBO_DTYPE, MboArray
from simulator.live.selection import Selection

IDENTS = st.sampled_from([0, 5, 6, 9, 4_000_000_000])
"""Some close together, some too far apart for a table."""
TIMES = st.integers(min_value=0, max_value=30)


def records_of(rows: list[tuple[int, int]]) -> MboArray:
    records = np.zeros(len(rows), dtype=MBO_DTYPE)
    records["instrument_id"] = [ident for ident, _ in rows]
    records["ts_event"] = [ts for _, ts in rows]
    records["sequence"] = range(len(rows))
    return records


@given(
    rows=st.lists(st.tuples(IDENTS, TIMES), max_size=30),
    edge=st.integers(min_value=0, max_value=30),
    replays=st.dictionaries(IDENTS, TIMES, max_size=3),
    newcomers=st.dictionaries(IDENTS, st.integers(min_value=0, max_value=30), max_size=3),
    cut=st.integers(min_value=0, max_value=30),
)
def test_a_replay_filters_the_past_by_time_and_the_present_by_instrument_alone(
    rows: list[tuple[int, int]],
    edge: int,
    replays: dict[int, int],
    newcomers: dict[int, int],
    cut: int,
) -> None:
    newcomers = {ident: place for ident, place in newcomers.items() if ident not in replays}
    selection = Selection()
    selection.edge = edge
    for ident, start_ns in replays.items():
        selection.add_replay([ident], start_ns)
    for ident, place in newcomers.items():
        selection.add([ident], place)
    records = records_of(rows)

    chosen = [
        *records[:cut][selection.wanted(records[:cut], 0)]["sequence"].tolist(),
        *records[cut:][selection.wanted(records[cut:], cut)]["sequence"].tolist(),
    ]

    expected = [
        place
        for place, (ident, ts) in enumerate(rows)
        if (ident in replays and (place >= edge or ts >= replays[ident]))
        or (ident in newcomers and place >= newcomers[ident])
    ]
    assert chosen == expected


def test_an_instrument_subscribed_twice_comes_once_from_the_earlier_start() -> None:
    selection = Selection()
    selection.edge = 3
    selection.add([1], 3)
    selection.add_replay([1], 20)
    selection.add_replay([1], 10)

    records = records_of([(1, 5), (1, 10), (1, 20), (1, 30)])
    chosen = records[selection.wanted(records, 0)]

    assert chosen["ts_event"].tolist() == [10, 20, 30]


def test_nothing_is_sent_before_anything_is_wanted() -> None:
    assert not Selection().wanted(records_of([(1, 5)]), 0).any()
