"""The parts of the live edge: exact-once ledger, waits, gaps, stretches, subscriptions."""

from __future__ import annotations

import databento_dbn as dbn
import numpy as np
import pytest

from ifd.clock import ManualClock
from ifd.errors import FeedInterruptedError, InputError
from ifd.gateway import FeedGap, Subscription
from ifd.gateway.backoff import Backoff
from ifd.gateway.ledger import JOINING_NS, OVERLAP_NS, MboLedger, OtherLedger
from ifd.gateway.replays import PendingReplays
from ifd.gateway.stretches import HEARTBEAT_REACH_NS, Stretch, StretchLog
from ifd.gateway.subscription import GapLog
from ifd.records import F_SNAPSHOT, MBO_DTYPE, MboArray

HOUR_NS = 3_600 * 10**9


def orders(*moments: tuple[int, int], first_id: int = 1, snapshot: bool = False) -> MboArray:
    """One order for each (event time, instrument)."""
    records = np.zeros(len(moments), MBO_DTYPE)
    records["order_id"] = np.arange(first_id, first_id + len(moments))
    records["ts_event"] = records["ts_recv"] = [ts for ts, _ in moments]
    records["instrument_id"] = [instrument for _, instrument in moments]
    records["flags"] = F_SNAPSHOT if snapshot else 0
    return records


def ids(records: MboArray) -> list[int]:
    found: list[int] = records["order_id"].tolist()
    return found


def joined(*batches: MboArray, start_ns: int | None = 0, snapshot: bool = False) -> MboLedger:
    ledger = MboLedger()
    ledger.join(start_ns=start_ns, snapshot=snapshot)
    for records in batches:
        ledger.accept(records)
    return ledger


def test_a_replay_begins_a_little_before_the_last_event() -> None:
    """Instruments of several channels are not in event order among each other.

    ```
    received   A:100s  B:101.5s          cut
    on its way                 A:101.4s
    replay from         100.5s ─────────────►
    ```
    """
    ledger = joined(orders((100 * 10**9, 1), (101_500_000_000, 2)))

    assert ledger.resume_ts == 101_500_000_000 - OVERLAP_NS


def test_of_a_replay_each_instrument_loses_what_was_known_and_nothing_else() -> None:
    known = orders((5, 1), (5, 1), (5, 2), (7, 2))
    rest = orders((5, 1), (6, 1), (7, 2), (7, 2), (8, 3), first_id=5)
    ledger = joined(known)
    start = ledger.resume_ts
    assert start is not None

    ledger.begin_replay(start)
    fresh = ledger.accept(np.concatenate([known, rest]))

    assert ids(fresh) == ids(rest)
    assert ledger.dropped == 4
    assert ledger.end_replay() == 0


def test_a_replay_that_starts_too_early_is_cut_to_its_start() -> None:
    old = orders((50 * 10**9, 1), (60 * 10**9, 1))
    new = orders((60_000_000_001, 1), first_id=3)
    ledger = joined(old)
    start = ledger.resume_ts
    assert start is not None

    ledger.begin_replay(start)

    assert ids(ledger.accept(np.concatenate([old, new]))) == [3]


def test_a_known_record_that_comes_after_the_replay_is_said_to_be_over_is_still_known() -> None:
    known = orders((5, 1), (6, 1))
    ledger = joined(known)
    ledger.begin_replay(0)
    ledger.accept(known[:1])

    assert ledger.end_replay() == 1
    assert ids(ledger.accept(np.concatenate([known[1:], orders((7, 1), first_id=3)]))) == [3]


def test_what_a_replay_never_brought_does_not_eat_later_records() -> None:
    ledger = joined(orders((5, 1), (6, 1)))
    ledger.begin_replay(0)
    ledger.end_replay()

    later = orders((HOUR_NS, 1), (HOUR_NS, 1), first_id=3)

    assert ids(ledger.accept(later)) == [3, 4]


def test_after_joining_a_running_feed_a_replay_keeps_clear_of_what_came_before_us() -> None:
    first = 100 * 10**9
    near = joined(orders((first, 1), (first + JOINING_NS // 2, 1)), start_ns=None)
    far = joined(orders((first, 1), (first + 2 * JOINING_NS, 1)), start_ns=None)

    assert near.resume_ts == first + JOINING_NS // 2
    assert far.resume_ts == first + JOINING_NS


def test_before_the_first_record_there_is_nothing_to_resume() -> None:
    assert joined().resume_ts is None
    assert joined().last_ts is None


def test_a_snapshot_is_no_part_of_a_replay_and_cannot_be_resumed_half() -> None:
    snapshot = orders((5, 1), (6, 1), snapshot=True)
    cut_within = joined(snapshot, start_ns=None, snapshot=True)
    cut_later = joined(snapshot, orders((HOUR_NS, 1), first_id=3), start_ns=None, snapshot=True)
    cut_later.begin_replay(HOUR_NS)

    assert cut_within.resume_ts is None
    assert cut_later.resume_ts == HOUR_NS
    assert ids(cut_later.accept(orders((HOUR_NS, 1), (HOUR_NS, 1), first_id=3))) == [4]


def test_a_wild_second_is_remembered_only_in_part_and_the_replay_begins_later() -> None:
    ledger = MboLedger(max_remembered=100)
    ledger.join(start_ns=0, snapshot=False)
    for number in range(50):
        ledger.accept(orders(*[(10**9 + number, 1)] * 10))

    start = ledger.resume_ts
    assert start is not None
    assert 10**9 + 49 - 10 <= start <= 10**9 + 49
    ledger.begin_replay(start)
    again = orders(*[(10**9 + number, 1) for number in range(50) for _ in range(10)])

    assert len(ledger.accept(again)) == 0


def test_a_clock_far_ahead_does_not_keep_everything_after_it_from_being_forgotten() -> None:
    wrong = orders((HOUR_NS * 10**5, 1))
    wrong["ts_recv"] = 10**9
    ledger = joined(wrong)

    for second in range(100):
        ledger.accept(orders((second * 10**10, 1), first_id=second))

    assert ledger.resume_ts == 99 * 10**10 - OVERLAP_NS


def test_what_is_remembered_is_bounded_even_when_time_stands_still() -> None:
    ledger = MboLedger(max_remembered=100)
    ledger.join(start_ns=0, snapshot=False)

    for number in range(50):
        ledger.accept(orders(*[(10**9, 1)] * 10, first_id=number))

    ledger.begin_replay(10**9)
    assert ledger.end_replay() <= 210


def test_a_definition_sent_again_is_known_and_a_changed_one_is_not() -> None:
    ledger = OtherLedger()
    first, changed = (dbn.SystemMsg(ts_event=1, msg=text) for text in ("listed", "changed"))

    assert ledger.accept(first, replaying=False)
    assert not ledger.accept(first, replaying=True)
    assert ledger.accept(changed, replaying=True)
    assert ledger.accept(first, replaying=False)
    assert ledger.dropped == 1


def test_what_is_remembered_of_others_is_bounded() -> None:
    ledger = OtherLedger(max_remembered=2)
    first, *later = (dbn.SystemMsg(ts_event=number, msg="") for number in range(3))

    for record in (first, *later):
        ledger.accept(record, replaying=False)

    assert ledger.accept(first, replaying=True)
    assert not ledger.accept(later[1], replaying=True)


def test_waits_grow_from_the_first_to_the_cap_and_begin_again() -> None:
    backoff = Backoff(first_seconds=1.0, cap_seconds=30.0)

    waits = [backoff.next_seconds() for _ in range(200)]

    assert all(1.0 <= wait <= 30.0 for wait in waits)
    assert waits[0] <= 2.0
    assert max(waits[6:]) > 15.0
    assert len(set(waits[6:])) > 100
    backoff.reset()
    assert backoff.next_seconds() <= 2.0


def test_a_feed_has_caught_up_when_every_replay_is_complete() -> None:
    replays = PendingReplays()
    replays.expect(["definition", "mbo"])

    replays.complete("Finished mbo replay of every symbol")
    assert replays
    replays.complete("Finished")
    assert not replays
    replays.complete("Finished mbo replay")
    assert not replays


def test_the_letters_of_a_schema_within_a_word_do_not_name_it() -> None:
    replays = PendingReplays()
    replays.expect(["definition", "mbo"])

    replays.complete("All symbols replayed")
    replays.complete("Finished mbo replay")

    assert not replays


def test_an_outage_is_one_gap_however_many_attempts_it_takes() -> None:
    told: list[FeedGap] = []
    gaps = GapLog(ManualClock(77), told.append)

    gaps.open(10, FeedInterruptedError("reset", "connection reset"))
    gaps.open(10, FeedInterruptedError("unreachable", "refused"))
    gaps.close(20, state="replayed")
    gaps.close(30, state="replayed")
    gaps.open(40, FeedInterruptedError("closed", "FIN"))

    assert told == [
        FeedGap(1, 10, None, "reset", "connection reset", "open", 77),
        FeedGap(1, 10, 20, "reset", "connection reset", "replayed", 77),
        FeedGap(2, 40, None, "closed", "FIN", "open", 77),
    ]
    assert gaps.count == 2


def test_what_the_gateway_left_out_is_a_gap_of_its_own() -> None:
    told: list[FeedGap] = []
    gaps = GapLog(ManualClock(77), told.append)

    gaps.open(10, FeedInterruptedError("closed", "FIN"))
    gaps.hole(12, 15, FeedInterruptedError("skipped", "too slow"))
    gaps.close(20, state="replayed")

    assert [(gap.number, gap.start_ns, gap.end_ns, gap.state) for gap in told] == [
        (1, 10, None, "open"),
        (2, 12, 15, "open"),
        (1, 10, 20, "replayed"),
    ]


def test_a_quiet_market_is_no_hole_and_neither_is_what_was_replayed() -> None:
    """
    ```
    records  10──20            25──30  (after a lost connection, continued by a replay)
    beats            21  22                 31
    ```
    """
    log = StretchLog()

    log.records(10, 20, 5)
    log.heartbeat(21)
    log.heartbeat(22)
    log.records(25, 30, 2)
    log.heartbeat(31)

    assert log.take_changed() == [Stretch(1, 10, 31, 7, open=True)]
    assert log.take_changed() == []


def test_a_stretch_ends_where_something_stays_missing() -> None:
    log = StretchLog()

    log.records(10, 20, 5)
    log.end()
    log.records(50, 60, 1)

    assert log.take_changed() == [Stretch(1, 10, 20, 5, open=False), Stretch(2, 50, 60, 1)]


def test_a_stretch_begins_where_its_replay_was_asked_from() -> None:
    log = StretchLog()

    log.begin_at(5)
    log.records(10, 20, 1)

    assert log.take_changed() == [Stretch(1, 5, 20, 1)]


def test_a_heartbeat_of_another_time_than_the_records_covers_nothing() -> None:
    log = StretchLog()

    log.records(10, 20, 1)
    log.heartbeat(21 + HEARTBEAT_REACH_NS)

    assert log.end_ns == 20


def test_a_subscription_has_a_start_or_a_snapshot() -> None:
    with pytest.raises(InputError, match="not both"):
        Subscription("mbo", ("NQ.OPT",), start_ns=0, snapshot=True)
    with pytest.raises(InputError, match="names no symbol"):
        Subscription("mbo", ())
