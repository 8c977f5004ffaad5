"""The provider's protocol class as we use it, against its own decoder: byte for byte.

Held for the installed version of the client, so that a new one cannot break the live edge quietly:
every schema a gateway sends, DBN versions 1 to 3, with and without send times, cut anywhere.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import databento_dbn as dbn
import numpy as np
import pytest
import zstandard

from ifd.gateway.protocol import BulkProtocol
from ifd.records import Chunk, decode_header, header_size

GREETING = b"lsg_version=0.6.1\ncram=challenge\n"
ACCEPTED = b"success=1|session_id=5\n"
SEND_TIME = (1_795_729_500_000_000_000).to_bytes(8, "little")
SCHEMAS = ("mbo", "trades", "definition", "status", "statistics", "mbp-1", "ohlcv-1m", "imbalance")


class Wire(asyncio.Transport):
    """Takes what the client says, and counts nothing but that."""

    def __init__(self) -> None:
        super().__init__()
        self.said = b""

    def write(self, data: bytes) -> None:
        self.said += data

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None: ...


def plain(path: Path) -> bytes:
    data = path.read_bytes()
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def recordings(data_dir: Path) -> list[Path]:
    """Official files: per schema every version there is."""
    folder = data_dir / "databento_official/dbn_tests_data"
    return [
        path
        for schema in SCHEMAS
        for path in sorted(folder.glob(f"test_data.{schema}.*dbn*"))
        if "frag" not in path.name and not path.name.endswith(".dbz")
    ]


def with_send_times(records: bytes) -> bytes:
    sent, place = b"", 0
    while place < len(records):
        size = records[place] * 4
        sent += bytes([records[place] + 2]) + records[place + 1 : place + size] + SEND_TIME
        place += size
    return sent


def as_session(header: dbn.Metadata, *, ts_out: bool) -> bytes:
    """The header as a live session of that version begins with it."""
    return dbn.Metadata(
        dataset=header.dataset,
        start=header.start,
        stype_in=None,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=None,
        ts_out=ts_out,
        version=header.version,
    ).encode()


async def take(wire: bytes, cut: Callable[[], int]) -> list[bytes]:
    """Give the protocol the bytes in pieces, as a kernel would; return the records it gives."""
    received: list[bytes] = []

    def receive(chunks: list[Chunk]) -> None:
        for chunk in chunks:
            if isinstance(chunk, np.ndarray):
                received.extend(record.tobytes() for record in chunk)
            else:
                received.append(bytes(chunk))

    protocol = BulkProtocol(
        key="db-contract-00000000000000000000",
        dataset="GLBX.MDP3",
        heartbeat_seconds=30,
        receive=receive,
        room_bytes=lambda: 2**20,
    )
    protocol.connection_made(Wire())
    for said in (GREETING, ACCEPTED):
        give(protocol, said, cut)
        await asyncio.sleep(0)
    assert protocol.authenticated.done()
    give(protocol, wire, cut)
    assert protocol.failure is None
    return received


def give(protocol: BulkProtocol, data: bytes, cut: Callable[[], int]) -> None:
    while data:
        buffer = memoryview(protocol.get_buffer(-1))
        count = min(cut(), len(buffer), len(data))
        buffer[:count] = data[:count]
        data = data[count:]
        protocol.buffer_updated(count)


@pytest.mark.asyncio
@pytest.mark.parametrize("ts_out", [False, True], ids=["plain", "ts_out"])
@pytest.mark.parametrize("largest", [3, 90, 5_000], ids=lambda size: f"up to {size} bytes")
async def test_every_byte_is_what_the_official_decoder_gives(
    data_dir: Path, largest: int, ts_out: bool
) -> None:
    chance = random.Random(largest)
    versions = set()
    for path in recordings(data_dir):
        data = plain(path)
        size = header_size(data)
        header, records = decode_header(data[:size]), data[size:]
        official = dbn.DBNDecoder(
            has_metadata=False,
            input_version=header.version,
            upgrade_policy=dbn.VersionUpgradePolicy.UPGRADE_TO_V3,
        )
        expected = [bytes(record) for record in official.write_and_decode(records)]
        sent = with_send_times(records) if ts_out else records

        wire = as_session(header, ts_out=ts_out) + sent
        received = await take(wire, lambda: chance.randint(1, largest))

        if ts_out:  # the decoder keeps the send time behind its records, we take it off orders
            received = [
                one if len(one) == len(bare) else one[:-8]
                for one, bare in zip(received, expected, strict=True)
            ]
            received = [bare[:1] + one[1:] for one, bare in zip(received, expected, strict=True)]
        assert received == expected, path.name
        versions.add(header.version)
    assert versions == {1, 2, 3}
