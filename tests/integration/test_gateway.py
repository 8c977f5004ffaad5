"""The live gateway against Databento's own client, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import databento
import databento_dbn as dbn
import numpy as np
import pytest
import zstandard
from databento.common.error import BentoError
from databento.live.protocol import DatabentoLiveProtocol

from ifd.clock import SystemClock
from ifd.records import MBO_DTYPE, MboArray
from ifd.reference.order_book import OrderBook
from ifd.replay import read_mbo
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND
from simulator.live import (
    DEFAULT_KEY,
    Fault,
    FaultName,
    FileSource,
    KeyRing,
    LiveGateway,
    SimulatedSource,
)
from simulator.live.sources import RecordSource
from simulator.market import MarketParams
from simulator.session_files import SessionPlan, write_sessions

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
CLOCK = SystemClock()
WRONG_KEY = "db-wrong-key-0000000000000000000000"
PARENTS = ["NQ.FUT", "NQ.OPT", "Q1B.OPT"]


class Client(DatabentoLiveProtocol):
    """The vendor's protocol, unmodified; it only keeps what it is handed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"api_key": DEFAULT_KEY, "dataset": "GLBX.MDP3"} | options))
        self.records: list[Any] = []
        self.metadata: dbn.Metadata | None = None

    def received_metadata(self, metadata: dbn.Metadata) -> None:
        super().received_metadata(metadata)
        self.metadata = metadata

    def received_record(self, record: Any) -> None:
        self.records.append(record)

    def of(self, kind: type) -> list[Any]:
        return [record for record in self.records if isinstance(record, kind)]

    def mbo(self) -> bytes:
        return b"".join(bytes(record)[:56] for record in self.of(dbn.MBOMsg))

    def said(self) -> list[str]:
        return [record.msg for record in self.of(dbn.SystemMsg)]


async def connect(gateway: LiveGateway, **options: Any) -> Client:
    client = Client(**options)
    await asyncio.get_running_loop().create_connection(lambda: client, gateway.host, gateway.port)
    await client.authenticated
    return client


async def until(condition: Callable[[], Any], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def serving(source: RecordSource, **options: Any) -> AsyncIterator[LiveGateway]:
    async with LiveGateway(source, keys=KeyRing([DEFAULT_KEY]), clock=CLOCK, **options) as gateway:
        yield gateway


def simulated(*, history_minutes: float = 0.5, episode_seconds: float = 1_000.0) -> SimulatedSource:
    return SimulatedSource(
        dt.date(2026, 11, 23),
        seed=3,
        clock=CLOCK,
        params=MarketParams(),
        history_minutes=history_minutes,
        episode_seconds=episode_seconds,
    )


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One simulated minute on disk: definitions and MBO of 241 instruments."""
    directory = tmp_path_factory.mktemp("sessions") / "out"
    params = MarketParams(records_per_second=100.0, episode_seconds=20.0)
    write_sessions(directory, SessionPlan(days=1, seed=5, minutes=1, params=params))
    return directory


@pytest.fixture(scope="module")
def recorded(sessions: Path) -> MboArray:
    return np.concatenate(list(read_mbo(sessions.glob("*.mbo.dbn.zst"))))


def books_of(octets: bytes) -> dict[int, dict[str, Any]]:
    books: dict[int, OrderBook] = {}
    for record in np.frombuffer(octets, dtype=MBO_DTYPE):
        fields = ("action", "side", "order_id", "price", "size", "flags")
        book = books.setdefault(int(record["instrument_id"]), OrderBook())
        book.apply(*(int(record[name]) for name in fields))
    assert all(book.unknown_orders == 0 for book in books.values())
    return {
        ident: {str(order_id): (order.price, order.size) for order_id, order in book.orders.items()}
        for ident, book in books.items()
    }


@pytest.mark.asyncio
async def test_the_real_protocol_gets_names_definitions_and_the_market() -> None:
    async with serving(simulated()) as gateway:
        client = await connect(gateway)
        client.subscribe("definition", ["NQ.FUT", "NQ.OPT"], "parent", start=0, subscription_id=4)
        client.subscribe("mbo", ["NQ.FUT", "NQ.OPT"], "parent", start=0, subscription_id=5)
        client.start()
        await until(lambda: "Finished mbo replay" in client.said())
        replayed = len(client.of(dbn.MBOMsg))
        await until(lambda: len(client.of(dbn.MBOMsg)) > replayed + 100)

    metadata = client.metadata
    assert metadata is not None
    assert (metadata.schema, metadata.stype_in, metadata.symbols) == (None, None, [])
    assert (metadata.version, metadata.stype_out) == (3, dbn.SType.INSTRUMENT_ID)
    assert abs(metadata.start - CLOCK.now_ns()) < NANOS_PER_MINUTE
    assert client.said() == [
        "Subscription request 4 for definition data succeeded",
        "Finished definition replay",
        "Subscription request 5 for mbo data succeeded",
        "Finished mbo replay",
    ]
    mappings = client.of(dbn.SymbolMappingMsg)
    definitions = {one.instrument_id: one for one in client.of(dbn.InstrumentDefMsg)}
    assert len(definitions) == 61
    assert len(mappings) == 2 * 61
    assert all(
        definitions[one.instrument_id].raw_symbol == one.stype_out_symbol
        and one.stype_in_symbol in ("NQ.FUT", "NQ.OPT")
        and (one.stype_in, one.stype_out) == (255, 255)
        for one in mappings
    )
    assert {record.instrument_id for record in client.of(dbn.MBOMsg)} == definitions.keys()
    assert books_of(client.mbo()).keys() == definitions.keys()


@pytest.mark.asyncio
async def test_a_wrong_key_is_refused_with_the_vendors_own_error() -> None:
    async with serving(simulated()) as gateway:
        with pytest.raises(BentoError, match=r"^Authentication failed\.$"):
            await connect(gateway, api_key=WRONG_KEY)


@pytest.mark.asyncio
async def test_a_dataset_that_is_not_served_is_refused() -> None:
    async with serving(simulated()) as gateway:
        with pytest.raises(BentoError, match=r"OPRA\.PILLAR"):
            await connect(gateway, dataset="OPRA.PILLAR")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "options",
    [{}, {"ts_out": True}, {"compression": dbn.Compression.ZSTD}],
    ids=["plain", "ts_out", "zstd"],
)
async def test_a_recorded_file_comes_out_byte_for_byte(
    data_dir: Path, options: dict[str, Any]
) -> None:
    source = FileSource([data_dir / "glbx" / "esm4_20240508"], speed=0, clock=CLOCK)
    async with serving(source, close_at_end=True) as gateway:
        client = await connect(gateway, **options)
        client.subscribe("definition", "ES.FUT", "parent", start=0)
        client.subscribe("mbo", "ES.FUT", "parent")
        client.start()
        await client.disconnected

    (path,) = (data_dir / "glbx" / "esm4_20240508").glob("*mbo*")
    expected = np.concatenate(list(read_mbo([path])))
    assert len(expected) == 13_796
    found = np.frombuffer(client.mbo(), dtype=MBO_DTYPE).copy()
    found["length"] = MBO_DTYPE.itemsize // 4
    assert found.tobytes() == expected.tobytes()
    assert [one.raw_symbol for one in client.of(dbn.InstrumentDefMsg)] == ["ESM4"]
    if "ts_out" in options:
        sent = [record.ts_out for record in client.of(dbn.MBOMsg)]
        assert max(CLOCK.now_ns() - at_ns for at_ns in sent) < NANOS_PER_MINUTE


@pytest.mark.asyncio
@pytest.mark.parametrize("share", [0.0, 0.4, 1.1])
async def test_a_replay_begins_at_the_event_time_that_was_asked_for(
    sessions: Path, recorded: MboArray, share: float
) -> None:
    first, last = int(recorded["ts_event"][0]), int(recorded["ts_event"][-1])
    start_ns = first + int(share * (last - first))
    async with serving(FileSource([sessions], speed=0, clock=CLOCK)) as gateway:
        client = await connect(gateway)
        client.subscribe("mbo", PARENTS, "parent", start=start_ns)
        client.start()
        await until(lambda: "Finished mbo replay" in client.said())

    known = {one.instrument_id for one in client.of(dbn.SymbolMappingMsg)}
    wanted = np.isin(recorded["instrument_id"], list(known)) & (recorded["ts_event"] >= start_ns)
    assert client.mbo() == recorded[wanted].tobytes()


@pytest.mark.asyncio
async def test_a_client_that_comes_back_misses_nothing_by_replaying_from_its_last_event() -> None:
    async with serving(simulated()) as gateway:
        before = await connect(gateway)
        before.subscribe("mbo", "ALL_SYMBOLS", start=0)
        before.start()
        await until(lambda: len(before.of(dbn.MBOMsg)) > 2_000)
        gateway.cut()
        await asyncio.wait([before.disconnected])
        last_ns = before.of(dbn.MBOMsg)[-1].ts_event
        await asyncio.sleep(0.3)
        after = await connect(gateway)
        after.subscribe("mbo", "ALL_SYMBOLS", start=last_ns)
        after.start()
        await until(lambda: "Finished mbo replay" in after.said())
        whole = await connect(gateway)
        whole.subscribe("mbo", "ALL_SYMBOLS", start=0)
        whole.start()
        await until(lambda: "Finished mbo replay" in whole.said())

    assert isinstance(before.disconnected.exception(), ConnectionResetError)
    kept = [bytes(one) for one in before.of(dbn.MBOMsg) if one.ts_event < last_ns]
    joined = b"".join(kept) + after.mbo()
    assert joined == whole.mbo()[: len(joined)]


@pytest.mark.asyncio
async def test_a_client_without_replay_is_sent_only_what_happens_from_now_on() -> None:
    async with serving(simulated()) as gateway:
        await gateway.ready()
        begun_ns = CLOCK.now_ns()
        client = await connect(gateway)
        client.subscribe("mbo", "NQ.FUT", "parent")
        client.subscribe("definition", "NQ.FUT", "parent")
        client.start()
        await until(lambda: len(client.of(dbn.MBOMsg)) > 50)

    records = client.of(dbn.MBOMsg)
    assert records[0].ts_recv > begun_ns - NANOS_PER_SECOND
    assert records[-1].ts_recv <= CLOCK.now_ns()
    assert {record.instrument_id for record in records} == {941593810}
    assert client.of(dbn.InstrumentDefMsg) == []


@pytest.mark.asyncio
async def test_who_joins_with_a_snapshot_ends_with_the_book_of_who_was_there() -> None:
    async with serving(simulated()) as gateway:
        present = await connect(gateway)
        present.subscribe("mbo", "NQ.OPT", "parent", start=0)
        present.start()
        await until(lambda: "Finished mbo replay" in present.said())
        joining = await connect(gateway)
        joining.subscribe("mbo", "NQ.OPT", "parent", snapshot=True)
        joining.start()
        await until(lambda: len([r for r in joining.of(dbn.MBOMsg) if not r.flags & 0x20]) > 100)

    first = joining.of(dbn.MBOMsg)[0]
    assert (str(first.action), int(first.flags)) == ("R", 40)
    end = joining.of(dbn.MBOMsg)[-1].sequence
    until_end = [bytes(one) for one in present.of(dbn.MBOMsg) if one.sequence <= end]
    assert books_of(b"".join(until_end)) == books_of(joining.mbo())


@pytest.mark.asyncio
async def test_definitions_come_before_the_orders_whatever_was_asked_for_first() -> None:
    async with serving(simulated()) as gateway:
        client = await connect(gateway)
        client.subscribe("mbo", "NQ.OPT", "parent", snapshot=True)
        client.subscribe("definition", "NQ.OPT", "parent", start=0)
        client.start()
        await until(lambda: client.of(dbn.MBOMsg))

    first = client.records.index(client.of(dbn.MBOMsg)[0])
    before = {one.instrument_id for one in client.records[:first] if hasattr(one, "strike_price")}
    assert before == {one.instrument_id for one in client.of(dbn.InstrumentDefMsg)} != set()


@pytest.mark.asyncio
async def test_symbols_that_mean_nothing_are_named_and_the_others_served() -> None:
    async with serving(simulated()) as gateway:
        client = await connect(gateway)
        client.subscribe("mbo", ["Q9Z.OPT", "NQ.FUT", "XX.FUT"], "parent", start=0)
        client.start()
        await until(lambda: len(client.of(dbn.MBOMsg)) > 10)

    errors = client.of(dbn.ErrorMsg)
    assert [str(one.code) for one in errors] == ["symbol_resolution_failed"] * 2
    assert [one.is_last for one in errors] == [0, 1]
    assert "Q9Z.OPT" in errors[0].err
    assert "XX.FUT" in errors[1].err


@pytest.mark.asyncio
async def test_a_long_list_of_symbols_in_several_lines_is_one_subscription() -> None:
    symbols = [f"NOTHING{number}" for number in range(900)] + ["NQZ6"]
    async with serving(simulated()) as gateway:
        client = await connect(gateway)
        lines = client.subscribe("mbo", symbols, start=0, subscription_id=1)
        client.start()
        await until(lambda: len(client.of(dbn.MBOMsg)) > 10)

    assert len(lines) == 2
    assert client.said()[0] == "Subscription request 1 for mbo data succeeded"
    assert len(client.of(dbn.ErrorMsg)) == 900


@pytest.mark.asyncio
async def test_a_schema_that_is_not_served_ends_the_session_with_an_error() -> None:
    async with serving(simulated()) as gateway:
        client = await connect(gateway)
        client.subscribe("mbp-10", "NQ.FUT", "parent")
        client.start()
        with pytest.raises(BentoError, match="mbp-10"):
            await client.disconnected

    (error,) = client.of(dbn.ErrorMsg)
    assert str(error.code) == "invalid_subscription"


@pytest.mark.asyncio
async def test_nonsense_after_the_start_ends_the_session_with_an_error() -> None:
    async with serving(simulated()) as gateway:
        client = await connect(gateway)
        client.subscribe("mbo", "NQ.FUT", "parent")
        client.start()
        client.transport.write(b"hello\n")
        with pytest.raises(BentoError, match="hello"):
            await client.disconnected


@pytest.mark.asyncio
async def test_a_subscription_after_the_start_begins_with_the_present() -> None:
    async with serving(simulated()) as gateway:
        client = await connect(gateway)
        client.subscribe("mbo", "NQZ6", start=0)
        client.start()
        await until(lambda: "Finished mbo replay" in client.said())
        asked_ns = CLOCK.now_ns()
        client.subscribe("mbo", "NQ.OPT", "parent", subscription_id=9)
        options = lambda: [r for r in client.of(dbn.MBOMsg) if r.instrument_id != 941593810]  # noqa: E731
        await until(lambda: len(options()) > 20)

    assert "Subscription request 9 for mbo data succeeded" in client.said()
    assert options()[0].ts_recv > asked_ns - NANOS_PER_SECOND


@pytest.mark.asyncio
async def test_silence_is_filled_with_heartbeats() -> None:
    async with serving(simulated()) as gateway:
        client = await connect(gateway, heartbeat_interval_s=5)
        client.subscribe("status", "NQ.FUT", "parent")
        client.start()
        begun = time.monotonic()
        await until(lambda: any(one.is_heartbeat() for one in client.of(dbn.SystemMsg)))

    assert 4.5 < time.monotonic() - begun < 7.0


@pytest.mark.asyncio
async def test_a_client_that_does_not_read_holds_up_nobody_else(
    tmp_path: Path, sessions: Path, recorded: MboArray
) -> None:
    # The same minute over and over, until it is far more than the buffers of a socket hold.
    (path,) = sessions.glob("*.mbo.dbn.zst")
    minute = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    copies = 40_000_000 // recorded.nbytes + 1
    big = tmp_path / "big.dbn"
    big.write_bytes(minute + recorded.tobytes() * (copies - 1))
    async with serving(FileSource([big], speed=0, clock=CLOCK)) as gateway:
        stuck = await connect(gateway)
        stuck.subscribe("mbo", "ALL_SYMBOLS")
        stuck.transport.pause_reading()
        stuck.start()
        received = await asyncio.to_thread(read_everything, gateway.port, len(recorded) * copies)
        stuck.transport.abort()
        await stuck.disconnected

    assert stuck.records == []
    assert received == len(recorded) * copies


def read_everything(port: int, records: int) -> int:
    """Read `records` MBO records over a plain socket, as any other program would."""
    from databento.common.cram import get_challenge_response

    with socket.create_connection(("127.0.0.1", port)) as line, line.makefile("rb") as file:
        assert file.readline().startswith(b"lsg_version=")
        challenge = file.readline().decode().strip().removeprefix("cram=")
        answer = get_challenge_response(challenge, DEFAULT_KEY)
        line.sendall(f"auth={answer}|dataset=GLBX.MDP3|encoding=dbn|ts_out=0\n".encode())
        assert file.readline().startswith(b"success=1|session_id=")
        line.sendall(b"schema=mbo|stype_in=raw_symbol|symbols=ALL_SYMBOLS\nstart_session=0\n")
        return len(file.read(records * 56)) // 56


@pytest.mark.asyncio
async def test_nothing_binary_comes_before_the_session_is_started() -> None:
    from databento.common.cram import get_challenge_response

    async with serving(simulated()) as gateway:
        await gateway.ready()
        reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
        greeting = await reader.readline()
        challenge = (await reader.readline()).decode().strip().removeprefix("cram=")
        answer = get_challenge_response(challenge, DEFAULT_KEY)
        writer.write(f"auth={answer}|dataset=GLBX.MDP3|encoding=dbn|ts_out=0\n".encode())
        accepted = await reader.readline()
        writer.write(b"schema=mbo|stype_in=parent|symbols=NQ.FUT|start=0\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read(1)
        writer.write(b"start_session=0\n")
        begin = await reader.readexactly(3)
        writer.close()
        await writer.wait_closed()

    assert greeting.split(b"=")[0] == b"lsg_version"
    assert accepted.split(b"|")[0] == b"success=1"
    assert begin == b"DBN"


@pytest.mark.asyncio
async def test_closing_is_polite_and_cutting_is_not() -> None:
    async with serving(simulated()) as gateway:
        closed, cut = await connect(gateway), await connect(gateway)
        for client in (closed, cut):
            client.subscribe("mbo", "NQ.FUT", "parent")
        closed.start()
        await until(lambda: closed.records)
        assert gateway.close_sessions() == 2
        await closed.disconnected
        cut = await connect(gateway)
        cut.subscribe("mbo", "NQ.FUT", "parent")
        cut.start()
        await until(lambda: cut.records)
        gateway.cut()
        with pytest.raises(ConnectionResetError):
            await cut.disconnected
        await until(lambda: gateway.sessions == 0)


@pytest.mark.asyncio
async def test_a_gateway_told_to_refuse_keys_refuses_good_ones() -> None:
    async with serving(simulated()) as gateway:
        gateway.strike(Fault.parse("auth-fail"))
        with pytest.raises(BentoError, match="Authentication failed"):
            await connect(gateway)
        gateway.lift(FaultName.AUTH_FAIL)
        client = await connect(gateway)

        assert client.authenticated.result()


@pytest.mark.asyncio
async def test_a_paced_recording_keeps_its_rhythm(sessions: Path, recorded: MboArray) -> None:
    async with serving(FileSource([sessions], speed=30, clock=CLOCK)) as gateway:
        client = await connect(gateway)
        client.subscribe("mbo", "ALL_SYMBOLS")
        client.start()
        begun = time.monotonic()
        await until(lambda: len(client.of(dbn.MBOMsg)) > len(recorded) // 2)
        late = await connect(gateway)
        late.subscribe("mbo", "ALL_SYMBOLS", start=0)
        late.start()
        await until(lambda: len(client.of(dbn.MBOMsg)) == len(recorded))
        took = time.monotonic() - begun
        await until(lambda: len(late.of(dbn.MBOMsg)) == len(recorded))

    assert client.mbo() == late.mbo() == recorded.tobytes()
    assert 1.8 < took < 4.0


@pytest.mark.asyncio
async def test_a_sweep_is_planted_soon_after_the_start() -> None:
    source = simulated(history_minutes=0.1, episode_seconds=2.0)
    async with serving(source) as gateway:
        client = await connect(gateway)
        client.subscribe("mbo", "ALL_SYMBOLS")
        client.start()
        await until(lambda: source.labels, seconds=15)
        label = source.labels[0]
        traded = lambda: sum(  # noqa: E731
            record.size
            for record in client.of(dbn.MBOMsg)
            if str(record.action) == "T"
            and record.instrument_id in {leg.instrument_id for leg in label.legs}
            and label.start_ns <= record.ts_event <= label.end_ns
        )
        await until(lambda: traded() >= label.lots)

    assert label.lots >= 150


@contextlib.contextmanager
def gateway_process(tmp_path: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    ready = tmp_path / "ready.json"
    with subprocess.Popen(
        [sys.executable, "-m", "simulator", "--ready-file", str(ready), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            deadline = time.monotonic() + 30
            while not ready.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            content = json.loads(ready.read_text())
            assert content["pid"] == process.pid
            yield process, content["port"]
        finally:
            process.kill()


def test_the_real_client_streams_from_a_gateway_process(tmp_path: Path) -> None:
    with gateway_process(tmp_path, "--history-minutes", "20") as (process, port):
        begun = time.monotonic()
        client = databento.Live(key=DEFAULT_KEY, gateway="127.0.0.1", port=port)
        records: list[Any] = []
        client.add_callback(records.append)
        client.subscribe("GLBX.MDP3", "definition", "ALL_SYMBOLS", start=0)
        client.subscribe("GLBX.MDP3", "mbo", "ALL_SYMBOLS", start=0)
        client.start()
        while not any(
            isinstance(one, dbn.SystemMsg) and one.msg == "Finished mbo replay" for one in records
        ):
            assert time.monotonic() - begun < 30
            time.sleep(0.05)
        names = dict(client.symbology_map)
        client.terminate()
        client.block_for_close(timeout=10)
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=10) == 0
    assert len(names) == 241
    mbo = [one for one in records if isinstance(one, dbn.MBOMsg)]
    assert len(mbo) > 100_000
    assert (mbo[-1].ts_event - mbo[0].ts_event) / NANOS_PER_MINUTE > 19.9


def test_a_process_takes_commands_and_answers_them(tmp_path: Path) -> None:
    arguments = ("--control", "--history-minutes", "0.1")
    with gateway_process(tmp_path, *arguments) as (process, port):
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == f"listening on 127.0.0.1:{port}\n"
        commands = ("auth-fail", "dance", "auth-fail off", "slow:9:5", "slow off", "cut:x", "close")
        for command in commands:
            process.stdin.write(f"{command}\n")
        process.stdin.flush()
        answers = [process.stdout.readline() for _ in commands]
        process.stdin.close()

        refused = {"dance", "cut:x"}
        assert answers == [
            f"{'nack' if command in refused else 'ack'}: {command}\n" for command in commands
        ]
        client = databento.Live(key=DEFAULT_KEY, gateway="127.0.0.1", port=port)
        client.subscribe("GLBX.MDP3", "mbo", "NQ.FUT", "parent")
        client.terminate()


def test_a_process_can_be_started_with_faults(tmp_path: Path) -> None:
    faults = ("--fault", "close:200", "--fault", "auth-fail:1")
    with gateway_process(tmp_path, "--history-minutes", "0.1", *faults) as (_, port):
        records: list[Any] = []
        client = databento.Live(key=DEFAULT_KEY, gateway="127.0.0.1", port=port)
        client.add_callback(records.append)
        client.subscribe("GLBX.MDP3", "mbo", "ALL_SYMBOLS", start=0)
        client.start()
        client.block_for_close(timeout=10)
        with pytest.raises(BentoError, match="Authentication failed"):
            client.subscribe("GLBX.MDP3", "mbo", "ALL_SYMBOLS", start=0)
        client.subscribe("GLBX.MDP3", "mbo", "ALL_SYMBOLS", start=0)
        client.terminate()

    assert sum(isinstance(one, dbn.MBOMsg) for one in records) == 200


def run(*arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    finished = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return finished.returncode, finished.stderr


def test_a_port_in_use_is_one_sentence_and_exit_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = run("simulator", "--port", str(port))

    assert code == 1
    assert said.strip().splitlines() == [
        f"error: port {port} is in use, and the simulated exchange needs it: stop what holds it, "
        "or choose another with --port"
    ]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--key", "db-short"), "API key"),
        (("--serve", "/nonexistent-directory"), "/nonexistent-directory"),
        (("--instruments-session-date", "soon"), "soon"),
        (("--rate", "0"), "--rate"),
        (("--max-sessions", "-1"), "limit"),
        (("--fault", "dance"), "hang-at-connect"),
        (("--fault", "error:99"), "error:CODE[:AFTER]"),
    ],
)
def test_options_that_cannot_be_used_are_one_sentence(
    arguments: tuple[str, ...], word: str
) -> None:
    code, said = run("simulator", *arguments)

    assert code in (1, 2)
    assert word in said
    assert len(said.strip().splitlines()) == 1


def test_a_file_cut_short_ends_the_gateway_with_one_sentence(
    tmp_path: Path, sessions: Path
) -> None:
    (path,) = sessions.glob("*.mbo.dbn.zst")
    plain = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    damaged = tmp_path / "damaged.dbn"
    damaged.write_bytes(plain[:-20])

    code, said = run("simulator", "--serve", str(damaged))

    assert code == 1
    assert "damaged.dbn is not a whole DBN file" in said.splitlines()[-1]
