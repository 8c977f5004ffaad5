"""The stand-in for the mock gateway of the vendor's client tests: commands, echo, files, ends."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import pytest
import zstandard
from databento.common.cram import get_challenge_response
from databento.common.error import BentoError
from databento.live.gateway import AuthenticationRequest, SessionStart, SubscriptionRequest
from databento.live.protocol import DatabentoLiveProtocol

from ifd.clock import SystemClock
from ifd.records import MBO_DTYPE
from simulator.live.stand_in import StandIn
from simulator.mock import Commands

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

ROOT = Path(__file__).resolve().parents[2]
KEY = "db-mock-test-00000000000000000000"
DATASET = "GLBX.MDP3"


def dbn_file(path: Path, schema: str, *records: dbn.DBNRecord, version: int = 3) -> bytes:
    """Write a DBN file, compressed if its name says so; return its plain octets."""
    header = dbn.Metadata(
        dataset=DATASET,
        start=1,
        stype_in=dbn.SType.RAW_SYMBOL,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema.from_str(schema),
        version=version,
    ).encode()
    octets = header + b"".join(bytes(record) for record in records)
    compress = path.suffix == ".zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(octets) if compress else octets)
    return octets


def order(number: int) -> dbn.MBOMsg:
    return dbn.MBOMsg(
        publisher_id=1,
        instrument_id=7,
        ts_event=number,
        order_id=number,
        price=1_000_000_000,
        size=1,
        action=dbn.Action.ADD,
        side=dbn.Side.BID,
        ts_recv=number,
    )


def trade(number: int) -> dbn.TradeMsg:
    return dbn.TradeMsg(
        publisher_id=1,
        instrument_id=7,
        ts_event=number,
        price=1_000_000_000,
        size=1,
        action=dbn.Action.TRADE,
        side=dbn.Side.BID,
        depth=0,
        ts_recv=number,
    )


class Mock:
    """A stand-in in this process, and what it was told and wrote down."""

    def __init__(self, gateway: StandIn, port: int, echo: io.BytesIO) -> None:
        self.gateway = gateway
        self.port = port
        self.echo = echo
        self.closed = False
        self.apply = Commands(gateway, self._close).apply

    def _close(self) -> None:
        self.closed = True

    def lines(self) -> list[str]:
        return self.echo.getvalue().decode().splitlines(keepends=True)


@contextlib.asynccontextmanager
async def mock_gateway() -> AsyncIterator[Mock]:
    echo = io.BytesIO()
    gateway = StandIn(echo, SystemClock())
    try:
        yield Mock(gateway, await gateway.start("127.0.0.1", 0), echo)
    finally:
        await gateway.stop()


class Client(DatabentoLiveProtocol):
    """The vendor's protocol; it keeps the records."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"api_key": KEY, "dataset": DATASET} | options))
        self.records: list[Any] = []

    def received_record(self, record: Any) -> None:
        self.records.append(record)


async def connect(mock: Mock, **options: Any) -> Client:
    client = Client(**options)
    await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", mock.port)
    await client.authenticated
    return client


@pytest.mark.asyncio
async def test_the_greeting_comes_first_and_a_good_answer_is_given_a_session() -> None:
    async with mock_gateway() as mock:
        assert mock.apply(f"add_key {KEY}")
        reader, writer = await asyncio.open_connection("127.0.0.1", mock.port)
        greeting = await reader.readline()
        challenge = (await reader.readline()).decode().strip()
        answer = get_challenge_response(challenge.removeprefix("cram="), KEY)
        writer.write(f"auth={answer}|dataset={DATASET}|encoding=dbn|ts_out=0\n".encode())
        accepted = await reader.readline()
        writer.close()

    assert greeting.startswith(b"lsg_version=")
    assert challenge.startswith("cram=")
    assert accepted == b"success=1|session_id=mock-0\n"


@pytest.mark.asyncio
async def test_a_key_is_admitted_from_its_adding_to_its_deleting() -> None:
    async with mock_gateway() as mock:
        with pytest.raises(BentoError, match=r"^Authentication failed\.$"):
            await connect(mock)
        assert mock.apply(f"add_key {KEY}")
        (await connect(mock)).transport.close()
        assert mock.apply(f"del_key {KEY}")
        with pytest.raises(BentoError, match=r"^Authentication failed\.$"):
            await connect(mock)
        assert not mock.apply(f"del_key {KEY}")


@pytest.mark.asyncio
async def test_a_refusal_is_one_line_and_then_the_end() -> None:
    async with mock_gateway() as mock:
        reader, writer = await asyncio.open_connection("127.0.0.1", mock.port)
        await reader.readline()
        await reader.readline()
        writer.write(f"auth={'0' * 64}-00000|dataset={DATASET}|encoding=dbn|ts_out=0\n".encode())
        rest = await reader.read()
        writer.close()

    assert rest == b"success=0|error=Authentication failed.\n"


@pytest.mark.asyncio
async def test_every_control_line_is_written_down_as_the_client_library_reads_it() -> None:
    async with mock_gateway() as mock:
        mock.apply(f"add_key {KEY}")
        client = await connect(mock, heartbeat_interval_s=10)
        client.subscribe("mbo", ["TEST0", "TEST1"], "raw_symbol", start=5, subscription_id=3)
        client.subscribe("trades", "NQ.OPT", "parent", snapshot=True)
        client.start()
        await client.disconnected
        lines = mock.lines()

    authentication = AuthenticationRequest.parse(lines[0])
    assert (authentication.dataset, authentication.heartbeat_interval_s) == (DATASET, "10")
    assert authentication.auth.endswith(f"-{KEY[-5:]}")
    first, second = (SubscriptionRequest.parse(line) for line in lines[1:3])
    assert (first.schema, first.symbols, first.start, first.id) == ("mbo", "TEST0,TEST1", "5", "3")
    assert (second.stype_in, second.snapshot, second.is_last) == ("parent", "1", "1")
    assert SessionStart.parse(lines[3]).start_session == "0"
    assert len(lines) == 4


@pytest.mark.asyncio
@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("name", ["one.dbn", "one.dbn.zst"])
async def test_a_session_is_sent_its_file_to_the_byte_and_then_fin(
    tmp_path: Path, name: str, compression: str
) -> None:
    octets = dbn_file(tmp_path / name, "mbo", *map(order, range(1, 5)))
    async with mock_gateway() as mock:
        mock.apply(f"add_key {KEY}")
        assert mock.apply(f"add_dbn {DATASET} mbo {tmp_path / name}")
        client = await connect(mock, compression=dbn.Compression.from_str(compression))
        client.subscribe("mbo", "WHATEVER")
        client.start()
        await client.disconnected

    assert b"".join(map(bytes, client.records)) == octets[-4 * MBO_DTYPE.itemsize :]


@pytest.mark.asyncio
async def test_two_schemas_come_one_after_the_other_under_one_header(tmp_path: Path) -> None:
    dbn_file(tmp_path / "orders.dbn", "mbo", order(1), order(2))
    dbn_file(tmp_path / "trades.dbn", "trades", trade(3))
    async with mock_gateway() as mock:
        mock.apply(f"add_key {KEY}")
        mock.apply(f"add_dbn {DATASET} mbo {tmp_path / 'orders.dbn'}")
        mock.apply(f"add_dbn {DATASET} trades {tmp_path / 'trades.dbn'}")
        client = await connect(mock)
        client.subscribe("trades", "TEST")
        client.subscribe("mbo", "TEST")
        client.start()
        await client.disconnected

    assert [(type(one), one.ts_event) for one in client.records] == [
        (dbn.TradeMsg, 3),
        (dbn.MBOMsg, 1),
        (dbn.MBOMsg, 2),
    ]


@pytest.mark.asyncio
async def test_a_session_can_be_broken_by_name() -> None:
    async with mock_gateway() as mock:
        mock.apply(f"add_key {KEY}")
        first, second = await connect(mock), await connect(mock)
        assert not mock.apply("disconnect mock-9")
        assert mock.apply(f"disconnect {first.authenticated.result()}")
        with pytest.raises(ConnectionResetError):
            await first.disconnected

        assert not second.disconnected.done()
        assert mock.apply("active_count")
        assert list(mock.gateway.sessions) == [second.authenticated.result()]
        second.transport.close()
        await second.disconnected


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "line", [b"hello\n", b"schema=mbo|stype_in=parent|symbols=X\n", b"\xff\xfe\n"]
)
async def test_what_may_not_be_said_before_the_key_ends_the_session(line: bytes) -> None:
    async with mock_gateway() as mock:
        reader, writer = await asyncio.open_connection("127.0.0.1", mock.port)
        await reader.readline()
        await reader.readline()
        writer.write(line)

        assert await reader.read() == b""
        writer.close()


@pytest.mark.asyncio
async def test_commands_that_cannot_be_carried_out_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.dbn").write_text("no DBN at all")
    (tmp_path / "cut.dbn.zst").write_bytes(b"\x28\xb5\x2f\xfd cut")
    async with mock_gateway() as mock:
        refused = [
            "",
            "dance",
            "add_key",
            "add_key short",
            "add_key one two",
            f"add_dbn {DATASET} mbo {tmp_path / 'absent.dbn'}",
            f"add_dbn {DATASET} mbo {tmp_path / 'text.dbn'}",
            f"add_dbn {DATASET} mbo {tmp_path / 'cut.dbn.zst'}",
            f"add_dbn {DATASET} nonsense {tmp_path / 'text.dbn'}",
        ]

        assert [command for command in refused if mock.apply(command)] == []
        assert not mock.closed
        assert mock.apply("close")
        assert mock.closed


def test_the_launcher_answers_commands_until_it_is_told_to_close(tmp_path: Path) -> None:
    octets = dbn_file(tmp_path / "one.dbn.zst", "mbo", order(1))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    echo = tmp_path / "echo.txt"
    commands = [
        "active_count", f"add_key {KEY}", f"add_dbn {DATASET} mbo {tmp_path / 'one.dbn.zst'}",
    ]  # fmt: skip
    options = ["--port", str(port), "--echo", str(echo), "--verbose"]
    with subprocess.Popen(
        [sys.executable, "-m", "simulator.mock", "127.0.0.1", *options],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            for command in commands:
                process.stdin.write(f"{command}\n")
                process.stdin.flush()
                assert process.stdout.readline() == f"ack: {command}\n"
            assert fetch(port) == octets
            said, logged = process.communicate("disconnect mock-7\nclose\n", timeout=20)
        finally:
            process.kill()

    assert process.returncode == 0
    assert said == "nack: disconnect mock-7\nack: close\n"
    assert [line.partition("=")[0] for line in echo.read_text().splitlines()] == [
        "auth", "schema", "start_session",
    ]  # fmt: skip
    assert KEY not in logged


def fetch(port: int) -> bytes:
    """Read a whole session over a plain socket."""
    with socket.create_connection(("127.0.0.1", port)) as line, line.makefile("rb") as file:
        file.readline()
        challenge = file.readline().decode().strip().removeprefix("cram=")
        answer = get_challenge_response(challenge, KEY)
        line.sendall(f"auth={answer}|dataset={DATASET}|encoding=dbn|ts_out=0\n".encode())
        file.readline()
        line.sendall(b"schema=mbo|stype_in=raw_symbol|symbols=X\nstart_session=0\n")
        return file.read()
