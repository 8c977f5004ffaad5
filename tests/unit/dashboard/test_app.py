from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from starlette.websockets import WebSocketDisconnect

from dashboard.app import Dashboard
from dashboard.client import Client
from dashboard.protocol import CLOSE_TRY_AGAIN_LATER, Kind
from ifd.clock import SystemClock


@pytest.fixture
def page(engine: Engine, market: Any, serve: Callable[..., Any]) -> Any:
    market.bar()
    market.run()
    market.health(queue_depth=7, records_per_s=1234.5, feed_state="live")
    market.signal(confidence=0.7)
    market.signal(confidence=0.95)
    dashboard = Dashboard(engine, SystemClock(), prefect_url="http://127.0.0.1:4200")
    return serve(dashboard.app())


def test_signals_are_listed_newest_first(page: Any) -> None:
    signals = page.get("/api/signals", params={"limit": 5}).json()["signals"]

    assert [signal["id"] for signal in signals] == [2, 1]


def test_weak_signals_are_left_out_when_asked(page: Any) -> None:
    signals = page.get("/api/signals", params={"min_confidence": 0.9}).json()["signals"]

    assert [signal["confidence"] for signal in signals] == [0.95]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=x",
        "limit=-1",
        "limit=999999",
        "limit=1e3",
        "min_confidence=2",
        "min_confidence=nan",
        "min_confidence=much",
        "before=0",
        "before=99999999999999999999",
    ],
)
def test_a_query_that_makes_no_sense_is_explained(page: Any, query: str) -> None:
    answer = page.get(f"/api/signals?{query}")

    assert answer.status_code == 400
    assert query.split("=")[0] in answer.json()["error"]


def test_one_signal_has_its_own_address(page: Any) -> None:
    assert page.get("/api/signals/0000000000000001").json()["confidence"] == 0.7


def test_an_unknown_signal_is_told_in_json(page: Any) -> None:
    answer = page.get("/api/signals/ffffffffffffffff")

    assert answer.status_code == 404
    assert "ffffffffffffffff" in answer.json()["error"]


def test_bars_of_an_interval(page: Any) -> None:
    body = page.get("/api/bars", params={"interval": 300}).json()

    assert body["raw_symbol"] == "NQZ5"
    assert body["bars"][0]["close"] == 17_005.25
    assert page.get("/api/bars", params={"interval": 60}).json()["bars"] == []
    assert page.get("/api/bars", params={"interval": 0}).status_code == 400


def test_status_names_source_profile_and_session(page: Any) -> None:
    body = page.get("/api/status").json()

    assert (body["source"], body["profile"], body["session"]) == (
        "simulated",
        "default",
        "2025-11-24",
    )
    assert body["run"]["status"] == "streaming"
    assert body["health"]["metrics"]["queue_depth"] == 7


def test_metrics_show_the_streams_newest_numbers(page: Any) -> None:
    text = page.get("/metrics").text

    assert "ifd_stream_queue_depth 7.0" in text
    assert "ifd_stream_records_per_s 1234.5" in text
    assert "ifd_stream_run_records 1000.0" in text
    assert 'ifd_stream_feed_state{state="live"} 1.0' in text
    assert 'ifd_stream_feed_state{state="reconnecting"} 0.0' in text
    assert "ifd_dashboard_clients 0.0" in text


def test_the_page_its_icon_and_its_health_are_served(page: Any) -> None:
    assert "Institutional Flow" in page.get("/").text
    assert page.get("/favicon.ico").headers["content-type"] == "image/svg+xml"
    assert page.get("/static/main.js").status_code == 200
    assert page.get("/static/%2e%2e/app.py").status_code == 404
    assert page.get("/healthz").json() == {"status": "ok"}
    assert page.get("/nowhere").json() == {"error": "Not Found"}


def test_a_page_is_greeted_then_given_a_snapshot_then_what_happens(page: Any, market: Any) -> None:
    with page.websocket() as socket:
        hello, snap = socket.receive(), socket.receive()
        market.signal(volume=999)
        fresh = socket.receive()

    assert (hello["type"], snap["type"], fresh["type"]) == ("hello", "snap", "signal")
    assert hello["prefect_url"] == "http://127.0.0.1:4200"
    assert hello["source"] == "simulated"
    assert len(snap["signals"]) == 2
    assert fresh["signal"]["volume"] == 999
    assert fresh["seq"] > snap["seq"]


def test_the_link_to_prefect_leads_to_the_run_that_streams(page: Any, market: Any) -> None:
    with page.websocket() as socket:
        socket.receive(), socket.receive()
        market.run(flow_run_id="0f8e", heartbeat_ns=2 * 10**18)
        while socket.receive()["type"] != "run":
            pass
    with page.websocket() as socket:
        hello = socket.receive()

    assert hello["prefect_url"] == "http://127.0.0.1:4200/runs/flow-run/0f8e"


def test_a_page_that_comes_back_gets_only_what_it_missed(page: Any, market: Any) -> None:
    with page.websocket() as socket:
        socket.receive()
        seen = socket.receive()["seq"]
        market.signal()
        socket.receive()

    with page.websocket(f"/ws?since={seen}") as socket:
        hello, missed = socket.receive(), socket.receive()

    assert missed["type"] == "signal"
    assert missed["signal"]["id"] == 3
    assert missed["seq"] <= hello["last_seq"]


@pytest.mark.parametrize("since", ["1", "x", "-5", "9" * 30, ""])
def test_a_number_of_another_server_leads_to_a_snapshot(page: Any, since: str) -> None:
    with page.websocket(f"/ws?since={since}") as socket:
        assert socket.receive()["type"] == "hello"
        assert socket.receive()["type"] == "snap"


def test_pings_are_answered_and_nonsense_is_ignored(page: Any) -> None:
    with page.websocket() as socket:
        socket.receive()
        socket.receive()
        for nonsense in ("", "[]", "{", '{"type": "lag", "paint_ms": "x"}'):
            socket.send(nonsense)
        socket.send({"type": "lag", "paint_ms": [12.5, -1, None, True, "x", 30]})
        socket.send({"type": "ping", "echo": 42})
        pong = socket.receive()

    assert (pong["type"], pong["echo"]) == ("pong", 42)
    assert pong["ts"] > 0
    assert "ifd_dashboard_paint_lag_seconds_count 2.0" in page.get("/metrics").text


def test_a_page_is_told_when_the_database_goes_away_and_when_it_is_back(
    page: Any, market: Any
) -> None:
    with page.websocket() as socket:
        socket.receive()
        socket.receive()
        market.execute("ALTER TABLE health_sample RENAME TO away")
        away = socket.receive()
        answer = page.get("/api/bars")
        market.execute("ALTER TABLE away RENAME TO health_sample")
        back = socket.receive()

    assert away["type"] == back["type"] == "notice"
    assert "does not answer" in away["text"]
    assert back["text"] is None
    assert answer.status_code == 200


class _StuckSocket:
    """A browser that has stopped reading: the third send never returns."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.caught_up = asyncio.Event()
        self.stuck = asyncio.Event()
        self.close_code: int | None = None

    async def accept(self) -> None:
        pass

    async def send_text(self, text: str) -> None:
        self.sent.append(text)
        if len(self.sent) == 2:
            self.caught_up.set()
        if len(self.sent) > 2:
            self.stuck.set()
            await asyncio.Event().wait()

    async def receive_text(self) -> str:
        await asyncio.Event().wait()
        raise WebSocketDisconnect(1006)

    async def close(self, code: int, _reason: str) -> None:
        self.close_code = code


def test_a_client_that_reads_too_slowly_is_cut_off_and_told_to_come_back(engine: Engine) -> None:
    async def scene() -> tuple[_StuckSocket, Dashboard]:
        dashboard = Dashboard(engine, SystemClock(), client_messages=3)
        socket = _StuckSocket()
        client = Client(
            socket,  # type: ignore[arg-type]
            hub=dashboard.hub,
            follower=dashboard.follower,
            metrics=dashboard.metrics,
            greeting=dict,
        )
        serving = asyncio.create_task(client.serve(None))
        async with asyncio.timeout(10):
            await socket.caught_up.wait()
            dashboard.hub.publish(Kind.SIGNAL, {"signal": {}})
            await socket.stuck.wait()
            for _ in range(5):
                dashboard.hub.publish(Kind.SIGNAL, {"signal": {}})
            await serving
        return socket, dashboard

    socket, dashboard = asyncio.run(scene())

    assert socket.close_code == CLOSE_TRY_AGAIN_LATER
    assert dashboard.hub.clients == 0
