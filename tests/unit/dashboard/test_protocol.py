from __future__ import annotations

import asyncio

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.hub import Hub
from dashboard.protocol import ClientQueue, Journal, Kind, Message, encode
from ifd.clock import ManualClock


def bar(seq: int, start: int = 0) -> Message:
    return Message(seq, f"bar {start}", f"bar {start} at {seq}")


def signal(seq: int) -> Message:
    return Message(seq, None, f"signal {seq}")


def seqs(messages: list[Message] | None) -> list[int] | None:
    return None if messages is None else [message.seq for message in messages]


def test_every_message_names_its_type_number_and_time() -> None:
    text = encode(Kind.SIGNAL, {"signal": {"volume": 312}}, seq=7, ts=1_764_000_000_123_456_789)

    assert orjson.loads(text) == {
        "type": "signal",
        "seq": 7,
        "ts": 1_764_000_000_123_456_789,
        "signal": {"volume": 312},
    }


def test_a_client_that_missed_two_states_of_a_bar_is_sent_the_newer_one_only() -> None:
    journal = Journal(capacity=10, first_seq=0)
    for message in (signal(1), bar(2), signal(3), bar(4)):
        journal.add(message)

    assert seqs(journal.since(0)) == [1, 3, 4]
    assert seqs(journal.since(3)) == [4]
    assert seqs(journal.since(4)) == []


def test_a_client_from_before_the_journal_or_from_another_server_needs_a_snapshot() -> None:
    journal = Journal(capacity=2, first_seq=100)
    for seq in (101, 102, 103):
        journal.add(signal(seq))

    assert journal.since(100) is None
    assert seqs(journal.since(101)) == [102, 103]
    assert journal.since(104) is None
    assert journal.since(5) is None


def test_after_a_change_of_future_every_client_that_comes_back_needs_a_snapshot() -> None:
    journal = Journal(capacity=10, first_seq=0)
    journal.add(signal(1))

    journal.begin_again(2)
    journal.add(signal(3))

    assert journal.since(1) is None
    assert seqs(journal.since(2)) == [3]


@given(
    kinds=st.lists(st.integers(0, 4), max_size=60),
    cut=st.integers(0, 60),
    capacity=st.integers(1, 80),
)
def test_a_page_that_resumes_knows_what_a_page_never_cut_knows(
    kinds: list[int], cut: int, capacity: int
) -> None:
    """0 stands for a signal, 1 to 4 for states of four bars."""
    journal = Journal(capacity=capacity, first_seq=0)
    sent = []
    for seq, kind in enumerate(kinds, start=1):
        message = Message(seq, f"bar {kind}" if kind else None, str(seq))
        journal.add(message)
        sent.append(message)
    cut = min(cut, len(sent))

    missed = journal.since(cut)

    if missed is not None:
        assert seqs(missed) == sorted(message.seq for message in missed)
        assert _knowledge(sent[:cut] + missed) == _knowledge(sent)
    else:
        assert len(sent) > capacity


def _knowledge(messages: list[Message]) -> tuple[dict[str, str], set[str]]:
    bars = {message.key: message.text for message in messages if message.key is not None}
    return bars, {message.text for message in messages if message.key is None}


async def _read(queue: ClientQueue) -> list[int]:
    async with asyncio.timeout(1):
        return [message.seq for message in await queue.get()]


def test_a_reader_gets_everything_that_waits_in_order() -> None:
    async def scene() -> None:
        queue = ClientQueue(capacity=10)
        waiting = asyncio.create_task(_read(queue))
        await asyncio.sleep(0)
        queue.put(bar(1))
        queue.put(signal(2))

        assert await waiting == [1, 2]

    asyncio.run(scene())


def test_bars_never_fill_a_sleeping_clients_queue() -> None:
    queue = ClientQueue(capacity=3)

    for seq in range(1, 1_000):
        queue.put(bar(seq, start=seq % 2))

    assert len(queue) == 2
    assert not queue.overflowed.is_set()


def test_a_queue_full_of_signals_overflows_instead_of_dropping_one() -> None:
    queue = ClientQueue(capacity=3)

    for seq in range(1, 5):
        queue.put(signal(seq))

    assert queue.overflowed.is_set()
    assert len(queue) == 0


def test_numbers_grow_over_a_restart_of_the_server() -> None:
    clock = ManualClock(1_764_000_000_000_000_000)
    before = Hub(clock)
    for _ in range(1_000):
        before.publish(Kind.SIGNAL, {})
    clock.advance_to(1_764_000_000_010_000_000)

    after = Hub(clock)

    assert after.last_seq > before.last_seq
    assert after.missed(before.last_seq) is None


def test_a_message_is_encoded_once_for_all_clients() -> None:
    hub = Hub(ManualClock(1))
    first, second = hub.join(), hub.join()

    hub.publish(Kind.SIGNAL, {"signal": {}})

    one, other = asyncio.run(first.get()), asyncio.run(second.get())
    assert one[0] is other[0]


def test_a_page_that_left_is_sent_nothing() -> None:
    hub = Hub(ManualClock(1))
    queue = hub.join()

    hub.leave(queue)
    hub.publish(Kind.SIGNAL, {})

    assert len(queue) == 0
    assert hub.clients == 0


@pytest.mark.parametrize("kind", list(Kind))
def test_types_are_plain_words_in_the_json(kind: Kind) -> None:
    assert orjson.loads(encode(kind, {}, seq=1, ts=2))["type"] == kind.value
