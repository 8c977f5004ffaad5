"""Interval algebra against sets of whole nanoseconds, and gaps against market hours."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ifd.coverage import (
    Interval,
    MissingSpan,
    duration_ns,
    find_gaps,
    intersect,
    normalise,
    subtract,
    union,
)
from ifd.sessions import Session

moments = st.integers(0, 60)
sets = st.lists(st.tuples(moments, moments), max_size=8)
SESSIONS = [Session("2026-11-24", "cash", 10, 30), Session("2026-11-25", "cash", 30, 50)]


def points(intervals: list[Interval]) -> set[int]:
    return {moment for start, end in intervals for moment in range(start, end)}


@given(sets)
def test_normalising_keeps_the_time_and_leaves_no_two_touching(intervals: list[Interval]) -> None:
    found = normalise(intervals)

    edges = [edge for interval in found for edge in interval]
    assert points(found) == points(intervals)
    assert edges == sorted(set(edges))
    assert normalise(found) == found
    assert duration_ns(intervals) == len(points(intervals))


@given(sets, sets)
def test_union_intersection_and_difference_are_those_of_sets(
    left: list[Interval], right: list[Interval]
) -> None:
    for found, expected in [
        (union(left, right), points(left) | points(right)),
        (intersect(left, right), points(left) & points(right)),
        (subtract(left, right), points(left) - points(right)),
    ]:
        assert points(found) == expected
        assert normalise(found) == found


@given(sets, moments)
def test_gaps_are_the_market_hours_until_now_that_coverage_lacks(
    covered: list[Interval], until_ns: int
) -> None:
    gaps = find_gaps(reversed(SESSIONS), covered, until_ns=until_ns)

    missing = [(gap.start_ns, gap.end_ns) for gap in gaps]
    market = points([(session.open_ns, session.close_ns) for session in SESSIONS])
    assert points(missing) == {ns for ns in market if ns < until_ns} - points(covered)
    assert missing == sorted(missing)


def test_a_gap_over_the_close_is_a_gap_of_each_session() -> None:
    assert find_gaps(SESSIONS, [(10, 25), (35, 50)], until_ns=60) == [
        MissingSpan("2026-11-24", 25, 30),
        MissingSpan("2026-11-25", 30, 35),
    ]
