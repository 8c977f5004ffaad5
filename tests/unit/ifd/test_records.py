"""Bytes become chunks in wire order, wherever they are cut."""

from __future__ import annotations

import databento_dbn as dbn
import numpy as np
import pytest

from ifd.errors import CorruptStreamError, UnsupportedDataError
from ifd.records import (
    MBO_DTYPE,
    RTYPE_MBO,
    MboArray,
    RecordSplitter,
    decode_header,
    header_size,
)


def orders(count: int, *, first_id: int = 1) -> MboArray:
    records = np.zeros(count, MBO_DTYPE)
    records["length"] = MBO_DTYPE.itemsize // 4
    records["rtype"] = RTYPE_MBO
    records["instrument_id"] = 7
    records["order_id"] = np.arange(first_id, first_id + count)
    records["action"] = ord("A")
    records["side"] = ord("B")
    return records


def heartbeat() -> bytes:
    return bytes(dbn.SystemMsg(ts_event=1, msg="Heartbeat", code=dbn.SystemCode.HEARTBEAT))


def unknown_record(rtype: int = 0x77, words: int = 6) -> bytes:
    return bytes([words, rtype]) + bytes(words * 4 - 2)


def header(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "dataset": "GLBX.MDP3",
        "start": 1,
        "stype_in": None,
        "stype_out": dbn.SType.INSTRUMENT_ID,
        "schema": None,
        "version": 3,
    }
    return dbn.Metadata(**{**fields, **changes}).encode()  # type: ignore[arg-type]


def test_a_run_of_orders_is_one_array_with_memory_of_its_own() -> None:
    buffer = bytearray(orders(1_000).tobytes())

    chunks = RecordSplitter(version=3).feed(buffer)
    buffer[:] = bytes(len(buffer))

    assert len(chunks) == 1
    assert np.array_equal(chunks[0], orders(1_000))


def test_a_message_between_orders_keeps_its_place() -> None:
    stream = orders(3).tobytes() + heartbeat() + orders(2, first_id=4).tobytes()

    before, message, after = RecordSplitter(version=3).feed(stream)

    assert before["order_id"].tolist() == [1, 2, 3]
    assert message.msg == "Heartbeat"
    assert after["order_id"].tolist() == [4, 5]


def test_a_record_cut_in_two_waits_for_its_other_half() -> None:
    stream = orders(2).tobytes()
    splitter = RecordSplitter(version=3)

    first = splitter.feed(stream[:57])

    assert [len(chunk) for chunk in first] == [1]
    assert splitter.remainder == 1
    assert splitter.feed(stream[57:])[0]["order_id"].tolist() == [2]
    assert splitter.remainder == 0


def test_a_record_of_an_unknown_type_is_passed_over_by_its_length_and_counted() -> None:
    stream = orders(1).tobytes() + unknown_record() + heartbeat() + unknown_record(words=4)
    stream += orders(1, first_id=2).tobytes()
    splitter = RecordSplitter(version=3)

    chunks = splitter.feed(stream)

    assert [chunk["order_id"].tolist() for chunk in (chunks[0], chunks[2])] == [[1], [2]]
    assert splitter.unknown_records == 2
    assert splitter.unknown_rtypes == {0x77: 2}
    assert splitter.records == 3


def test_send_times_are_taken_off() -> None:
    plain = orders(5)
    longer = np.zeros(5, np.dtype([("record", MBO_DTYPE), ("ts_out", "<u8")]))
    longer["record"] = plain
    longer["record"]["length"] = 16
    longer["ts_out"] = 99
    beat = heartbeat()
    beat = bytes([beat[0] + 2]) + beat[1:] + bytes(8)

    array, message = RecordSplitter(version=3, ts_out=True).feed(longer.tobytes() + beat)

    assert np.array_equal(array, plain)
    assert message.msg == "Heartbeat"


@pytest.mark.parametrize(
    "damaged",
    [
        bytes(64),
        unknown_record(words=3),
        bytes([20, RTYPE_MBO]) + bytes(78),
        bytes([4, int(dbn.RType.SYSTEM)]) + bytes(14),
    ],
    ids=["length of nothing", "shorter than its header", "order of a wrong size", "cut message"],
)
def test_bytes_that_cannot_be_a_record_end_it_after_the_good_ones(damaged: bytes) -> None:
    splitter = RecordSplitter(version=3)

    chunks = splitter.feed(orders(4).tobytes() + heartbeat() + damaged + orders(4).tobytes())

    assert [len(chunk) for chunk in chunks[:1]] == [4]
    assert splitter.records == 5
    assert splitter.damage is not None
    assert splitter.feed(orders(1).tobytes()) == []


def test_a_header_is_read_once_it_is_whole() -> None:
    whole = header()

    assert header_size(whole[:3]) == 8
    assert header_size(whole[:8]) == len(whole)
    assert decode_header(whole).dataset == "GLBX.MDP3"


def test_a_version_from_the_future_is_refused() -> None:
    newer = b"DBN\x04" + header()[4:]

    with pytest.raises(UnsupportedDataError, match="version 4"):
        header_size(newer)


@pytest.mark.parametrize(
    "damaged",
    [b"HTTP/1.1 400 Bad Request\r\n", b"DBN\x03\xff\xff\xff\xff"],
    ids=["another protocol", "gigabytes of header"],
)
def test_what_does_not_begin_as_a_stream_is_refused(damaged: bytes) -> None:
    with pytest.raises(CorruptStreamError):
        header_size(damaged)


def test_a_damaged_header_is_refused() -> None:
    whole = header()

    with pytest.raises(CorruptStreamError):
        decode_header(whole[:8] + b"\xff" * (len(whole) - 8))
