"""A DBN file is read whole, or one clear sentence says why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import databento_dbn as dbn
import numpy as np
import pytest
import zstandard

from ifd.errors import CorruptFileError, InputError, UnsupportedDataError
from ifd.records import MBO_DTYPE, RTYPE_MBO, MboArray
from ifd.replay import read_chunks, read_definitions, read_mbo, read_metadata

RECORDS = 20_000
"""More bytes than one read of a file."""


def orders(count: int) -> MboArray:
    records = np.zeros(count, MBO_DTYPE)
    records["length"] = MBO_DTYPE.itemsize // 4
    records["rtype"] = RTYPE_MBO
    records["order_id"] = np.random.default_rng(5).integers(0, 2**60, count)
    return records


def header(schema: dbn.Schema | None = dbn.Schema.MBO) -> bytes:
    return dbn.Metadata(
        dataset="GLBX.MDP3",
        start=1,
        stype_in=dbn.SType.RAW_SYMBOL,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=schema,
        version=3,
    ).encode()


def definition(instrument_id: int = 9) -> bytes:
    return bytes(
        dbn.InstrumentDefMsg(
            publisher_id=1,
            instrument_id=instrument_id,
            ts_event=1_780_000_000_000_000_000,
            ts_recv=1_780_000_000_000_000_000,
            min_price_increment=250_000_000,
            display_factor=10_000_000,
            raw_symbol="Q3CX6 C25000",
            asset="Q3C",
            security_type="OOF",
            instrument_class=dbn.InstrumentClass.CALL,
            security_update_action=dbn.SecurityUpdateAction.ADD,
        )
    )


def frames(*parts: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor()
    return b"".join(compressor.compress(part) for part in parts)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "pack",
    [
        lambda head, body: head + body,
        lambda head, body: frames(head + body),
        lambda head, body: frames(head, body[:100_000], b"", body[100_000:]),
    ],
    ids=["plain", "one frame", "several frames"],
)
def test_every_record_comes_back(tmp_path: Path, pack: Callable[[bytes, bytes], bytes]) -> None:
    path = write(tmp_path / "day.dbn", pack(header(), orders(RECORDS).tobytes()))

    assert np.array_equal(np.concatenate(list(read_mbo([path]))), orders(RECORDS))


def test_files_follow_each_other(tmp_path: Path) -> None:
    first = write(tmp_path / "1.dbn", header() + orders(3).tobytes())
    second = write(tmp_path / "2.dbn.zst", frames(header() + orders(4).tobytes()))

    assert [len(array) for array in read_mbo([first, second])] == [3, 4]


def test_a_mixed_recording_gives_orders_and_definitions_each_to_its_reader(tmp_path: Path) -> None:
    body = orders(2).tobytes() + definition() + orders(1).tobytes()
    path = write(tmp_path / "live.dbn", header(schema=None) + body)

    assert [len(array) for array in read_mbo([path])] == [2, 1]
    assert [found.raw_symbol for found in read_definitions(path)] == ["Q3CX6 C25000"]
    assert len(list(read_chunks(path))) == 3
    assert read_metadata(path).schema is None


def test_another_schema_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "trades.dbn", header(schema=dbn.Schema.TRADES))

    with pytest.raises(UnsupportedDataError, match="schema trades, but mbo"):
        list(read_mbo([path]))
    with pytest.raises(UnsupportedDataError, match="schema trades, but definition"):
        read_definitions(path)


def whole() -> bytes:
    return header() + orders(RECORDS).tobytes()


@pytest.mark.parametrize(
    ("data", "reason", "good"),
    [
        (b"", "it is empty", 0),
        (b"timestamp,price,size\n1,2,3\n", "does not begin", 0),
        (b"DBN", "ends within its header", 0),
        (whole()[:60], "ends within its header", 0),
        (whole()[:-1], "middle of a record", RECORDS - 1),
        (frames(whole())[:-7], "middle of a zstd frame", None),
        (frames(whole()[:5_000], whole()[5_000:])[:-7], "middle of a zstd frame", None),
        (frames(whole()) + b"not a frame", "compression is damaged", RECORDS),
        (frames(whole()[:-7]), "middle of a record", RECORDS - 1),
        (whole() + bytes(64), "a record of 0 bytes", RECORDS),
    ],
    ids=[
        "empty",
        "csv",
        "three letters",
        "half a header",
        "half a record",
        "half a frame",
        "half of the last frame",
        "rubbish behind",
        "half a record in a whole frame",
        "zeros behind",
    ],
)
def test_a_damaged_file_is_told_with_the_number_of_good_records(
    tmp_path: Path, data: bytes, reason: str, good: int | None
) -> None:
    path = write(tmp_path / "day.dbn", data)

    with pytest.raises(CorruptFileError, match=reason) as caught:
        list(read_mbo([path]))

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    if good is not None:
        assert caught.value.records == good


def test_what_is_good_is_given_before_the_damage_is_told(tmp_path: Path) -> None:
    arrays = read_mbo([write(tmp_path / "day.dbn", whole() + bytes(4))])

    first = next(arrays)

    assert np.array_equal(first, orders(RECORDS)[: len(first)])
    with pytest.raises(CorruptFileError):
        list(arrays)


def test_a_flipped_bit_in_a_checked_frame_is_told(tmp_path: Path) -> None:
    compressor = zstandard.ZstdCompressor(write_checksum=True)
    data = bytearray(compressor.compress(whole()))
    data[-1] ^= 0xFF
    path = write(tmp_path / "day.dbn.zst", bytes(data))

    with pytest.raises(CorruptFileError, match="compression is damaged"):
        list(read_mbo([path]))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"DBN\x04" + header()[4:], "version 4"),
        (b"\x50\x2a\x4d\x18" + bytes(60), "legacy DBZ"),
        (definition(), "fragment without its header"),
        (frames(definition()), "fragment without its header"),
    ],
    ids=["newer version", "dbz", "fragment", "compressed fragment"],
)
def test_what_is_not_read_here_is_named(tmp_path: Path, data: bytes, reason: str) -> None:
    path = write(tmp_path / "day.dbn", data)

    with pytest.raises(UnsupportedDataError, match=reason) as caught:
        list(read_chunks(path))

    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        list(read_chunks(tmp_path / "none.dbn"))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_chunks(tmp_path))
