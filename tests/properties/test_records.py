"""The splitter against the official decoder, on any mixture of records cut anywhere."""

from __future__ import annotations

import itertools

import databento_dbn as dbn
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ifd.records import Chunk, RecordSplitter

UNKNOWN_RTYPE = 0x77


def order(number: int) -> bytes:
    return bytes(
        dbn.MBOMsg(
            publisher_id=1,
            instrument_id=number % 5,
            ts_event=number,
            order_id=number * 7,
            price=number * 1_000_000_000,
            size=number % 90,
            action=dbn.Action.ADD,
            side=dbn.Side.BID,
            ts_recv=number + 1,
        )
    )


def system(number: int) -> bytes:
    return bytes(dbn.SystemMsg(ts_event=number, msg=f"message {number}"))


def trade(number: int) -> bytes:
    return bytes(
        dbn.TradeMsg(
            publisher_id=1,
            instrument_id=number % 5,
            ts_event=number,
            price=number,
            size=1,
            action=dbn.Action.TRADE,
            side=dbn.Side.ASK,
            depth=0,
            ts_recv=number,
        )
    )


def mapping(number: int) -> bytes:
    return bytes(
        dbn.SymbolMappingMsg(
            publisher_id=0,
            instrument_id=number,
            ts_event=number,
            stype_in=dbn.SType.PARENT,
            stype_in_symbol="NQ.OPT",
            stype_out=dbn.SType.RAW_SYMBOL,
            stype_out_symbol=f"NQZ6 C{number}",
            start_ts=0,
            end_ts=0,
        )
    )


def unknown(number: int) -> bytes:
    words = 4 + number % 60
    return bytes([words, UNKNOWN_RTYPE]) + bytes(words * 4 - 2)


KINDS = {"order": order, "system": system, "trade": trade, "mapping": mapping, "unknown": unknown}

runs = st.lists(
    st.tuples(st.sampled_from(sorted(KINDS)), st.integers(1, 200)), min_size=1, max_size=12
)


def stream_of(kinds: list[tuple[str, int]]) -> list[tuple[str, bytes]]:
    numbers = itertools.count(1)
    return [(kind, KINDS[kind](next(numbers))) for kind, count in kinds for _ in range(count)]


def with_send_time(record: bytes) -> bytes:
    return bytes([record[0] + 2]) + record[1:] + (123).to_bytes(8, "little")


def split(stream: bytes, cuts: list[int], *, ts_out: bool) -> tuple[list[Chunk], RecordSplitter]:
    splitter = RecordSplitter(version=3, ts_out=ts_out)
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    chunks = [
        chunk
        for begin, end in itertools.pairwise(edges)
        for chunk in splitter.feed(stream[begin:end])
    ]
    return chunks, splitter


def octets_of(chunks: list[Chunk], *, ts_out: bool) -> list[bytes]:
    found: list[bytes] = []
    for chunk in chunks:
        if isinstance(chunk, np.ndarray):
            found += [record.tobytes() for record in chunk]
        else:
            data = bytes(chunk)
            found.append(bytes([data[0] - 2]) + data[1:-8] if ts_out else data)
    return found


@given(runs, st.lists(st.integers(0, 2**20), max_size=30), st.booleans())
def test_any_cutting_gives_the_bytes_of_the_official_decoder(
    kinds: list[tuple[str, int]], cuts: list[int], ts_out: bool
) -> None:
    records = stream_of(kinds)
    known = [record for kind, record in records if kind != "unknown"]
    wire = [with_send_time(record) if ts_out else record for _, record in records]
    official = dbn.DBNDecoder(has_metadata=False, ts_out=False, input_version=3)

    chunks, splitter = split(b"".join(wire), cuts, ts_out=ts_out)

    decoded = [bytes(record) for record in official.write_and_decode(b"".join(known))]
    assert octets_of(chunks, ts_out=ts_out) == decoded
    assert splitter.remainder == 0
    assert splitter.records == len(known)
    assert splitter.unknown_records == len(records) - len(known)


@given(runs, st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=8))
def test_garbage_is_refused_or_read_but_never_breaks_the_decoder(
    kinds: list[tuple[str, int]], hits: list[tuple[int, int]]
) -> None:
    stream = bytearray(b"".join(record for _, record in stream_of(kinds)))
    for place, value in hits:
        stream[place % len(stream)] = value

    for version in (1, 2, 3):
        splitter = RecordSplitter(version=version)
        read = sum(
            len(chunk) if isinstance(chunk, np.ndarray) else 1 for chunk in splitter.feed(stream)
        )
        assert read == splitter.records


@given(runs, st.integers(1, 5_000))
def test_what_is_not_whole_stays_until_it_is(kinds: list[tuple[str, int]], missing: int) -> None:
    stream = b"".join(record for _, record in stream_of(kinds))
    cut = max(0, len(stream) - missing)
    splitter = RecordSplitter(version=3)

    first = splitter.feed(stream[:cut])
    kept = splitter.remainder
    second = splitter.feed(stream[cut:])

    whole, _ = split(stream, [], ts_out=False)
    assert kept <= cut
    joined = octets_of(first, ts_out=False) + octets_of(second, ts_out=False)
    assert joined == octets_of(whole, ts_out=False)
