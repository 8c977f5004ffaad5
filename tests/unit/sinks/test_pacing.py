"""A channel is never sent more than Slack allows, and rests when it is asked to."""

from hypothesis import given
from hypothesis import strategies as st

from ifd.units import NANOS_PER_SECOND
from sinks.pacing import LONGEST_REST_NS, ChannelPace

SECOND = NANOS_PER_SECOND


def sent(pace: ChannelPace, *moments_ns: int) -> list[bool]:
    return [pace.take(now_ns) for now_ns in moments_ns]


def test_a_quiet_channel_takes_a_burst_and_then_one_a_second() -> None:
    pace = ChannelPace(per_second=1.0, burst=3)

    assert sent(pace, 0, 0, 0, 0) == [True, True, True, False]
    assert sent(pace, SECOND - 1, SECOND, SECOND) == [False, True, False]


def test_a_burst_is_earned_back_by_silence_and_not_more() -> None:
    pace = ChannelPace(per_second=1.0, burst=2)
    sent(pace, 0, 0)

    assert sent(pace, 3_600 * SECOND, 3_600 * SECOND, 3_600 * SECOND) == [True, True, False]


def test_a_channel_rests_as_long_as_slack_says() -> None:
    pace = ChannelPace(per_second=1.0, burst=3)

    pace.rest(7 * SECOND)
    pace.rest(2 * SECOND)

    assert sent(pace, 7 * SECOND - 1, 7 * SECOND) == [False, True]


def test_trouble_doubles_the_rest_up_to_a_minute_and_success_ends_it() -> None:
    pace = ChannelPace(per_second=1.0, burst=3)
    rests = []
    for now_ns in range(0, 100_000 * SECOND, 1_000 * SECOND):
        pace.rest_after_trouble(now_ns)
        rests.append(pace.ready_at_ns() - now_ns)
    pace.recovered()
    pace.rest_after_trouble(10**6 * SECOND)

    assert [rest // SECOND for rest in rests[:8]] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert max(rests) == LONGEST_REST_NS
    assert pace.ready_at_ns() == (10**6 + 1) * SECOND


@given(
    gaps=st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=200),
    per_second=st.floats(0.2, 50),
    burst=st.integers(1, 8),
)
def test_no_stretch_of_time_holds_more_than_its_share(
    gaps: list[int], per_second: float, burst: int
) -> None:
    pace = ChannelPace(per_second=per_second, burst=burst)
    now_ns, taken = 0, []
    for gap in gaps:
        now_ns += gap
        if pace.take(now_ns):
            taken.append(now_ns)

    interval_ns = round(SECOND / per_second)
    for first, begin in enumerate(taken):
        for last, end in enumerate(taken[first:], first):
            assert last - first + 1 <= burst + (end - begin) // interval_ns
