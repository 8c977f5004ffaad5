"""The page in a real browser: what is drawn, what is listed, what survives a restart."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from ifd.clock import SystemClock
from ifd.signals import Side, Tier
from ifd.units import NANOS_PER_MILLISECOND, NANOS_PER_SECOND, PRICE_SCALE
from models.base import make_engine, transaction, upsert
from models.database import upgrade
from models.market import BarRow
from models.operations import HealthSampleRow, StreamRunRow
from models.signals import SignalRow

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
BARS = 60


class Market:
    """A stream that writes an afternoon of 5-minute bars, and signals when told to."""

    def __init__(self, url: str, make_signal: Callable[..., Any]) -> None:
        self.engine = make_engine(url)
        self._make_signal = make_signal
        self._signals = 0
        self.clock = SystemClock()
        step = 300 * NANOS_PER_SECOND
        self.newest_ns = self.clock.now_ns() // step * step

    def open(self) -> None:
        """Write a run, its health and the bars."""
        now_ns = self.clock.now_ns()
        with transaction(self.engine) as session:
            session.add(
                StreamRunRow(
                    shard="nq",
                    source="simulated",
                    profile="conservative",
                    params_fingerprint="feedfacecafebeef",
                    session_date="2025-11-24",
                    status="streaming",
                    started_ns=now_ns,
                    heartbeat_ns=now_ns,
                    last_record_ns=now_ns,
                    records=12_345,
                )
            )
            session.add(
                HealthSampleRow(
                    ts_ns=now_ns,
                    component="stream",
                    metrics={"records_per_s": 4321.0, "queue_depth": 17, "rss_bytes": 250_000_000},
                )
            )
            upsert(session, BarRow, [self._bar(back) for back in range(BARS)])
            upsert(session, BarRow, [self._bar(back, 60) for back in range(BARS)])

    def move(self, close: float) -> None:
        """Let the newest bar trade at a price."""
        bar = self._bar(0) | {
            "close": int(close * PRICE_SCALE),
            "high": int((close + 50) * PRICE_SCALE),
            "updated_ns": self.clock.now_ns(),
        }
        with transaction(self.engine) as session:
            upsert(session, BarRow, [bar])

    def signal(self, *, bars_ago: int = 0, **changes: Any) -> str:
        """Commit a signal and return its id."""
        self._signals += 1
        facts = {
            "signal_id": f"{self._signals:016x}",
            "ts_event": self.newest_ns
            - bars_ago * 300 * NANOS_PER_SECOND
            + self._signals * NANOS_PER_MILLISECOND,
            "underlying": "NQZ5",
        }
        row = SignalRow.from_signal(
            self._make_signal(**(facts | changes)),
            source="simulated",
            committed_ns=self.clock.now_ns(),
            received_ns=self.clock.now_ns(),
        )
        with transaction(self.engine) as session:
            session.add(row)
        return row.signal_id

    def _bar(self, back: int, seconds: int = 300) -> dict[str, Any]:
        middle = 17_000 + 20 * ((back * 7) % 11)
        rising = back % 2 == 0
        return {
            "instrument_id": 1,
            "interval_ns": seconds * NANOS_PER_SECOND,
            "start_ns": self.newest_ns - back * seconds * NANOS_PER_SECOND,
            "raw_symbol": "NQZ5",
            "session_date": "2025-11-24",
            "open": (middle - (8 if rising else -8)) * PRICE_SCALE,
            "high": (middle + 15) * PRICE_SCALE,
            "low": (middle - 15) * PRICE_SCALE,
            "close": (middle + (8 if rising else -8)) * PRICE_SCALE,
            "volume": 100 + back,
            "trades": 10,
            "closed": back > 0,
            "updated_ns": self.clock.now_ns(),
        }


class Server:
    """A dashboard process that can be killed and brought back on the same port."""

    def __init__(self, url: str, directory: Path) -> None:
        self._url = url
        self._ready = directory / "ready.json"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        self._ready.unlink(missing_ok=True)
        environment = {k: v for k, v in os.environ.items() if k != "IFD_DASHBOARD_TOKEN"}
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dashboard", "--database", self._url),
                *("--port", str(self.port), "--ready-file", str(self._ready)),
                *("--prefect-url", "http://127.0.0.1:4200"),
            ],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        eventually(self._ready.exists, seconds=30)
        self.port = int(json.loads(self._ready.read_text())["port"])

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


def eventually(condition: Callable[[], Any], *, seconds: float = 15) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no browser: install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture
def market(sqlite_url: str, make_signal: Callable[..., Any]) -> Iterator[Market]:
    upgrade(sqlite_url)
    market = Market(sqlite_url, make_signal)
    yield market
    market.engine.dispose()


@pytest.fixture
def server(market: Market, sqlite_url: str, tmp_path: Path) -> Iterator[Server]:
    server = Server(sqlite_url, tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser's console complained of, for tests that look at it."""
    return []


@pytest.fixture
def page(browser: Browser, server: Server, complaints: list[str]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    page = context.new_page()
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    outside = f"127.0.0.1:{server.port}"
    page.on(
        "request",
        lambda request: (
            None if outside in request.url else complaints.append(f"asked {request.url}")
        ),
    )
    yield page
    context.close()


def visit(page: Page, address: str) -> None:
    page.goto(address)
    eventually(lambda: page.evaluate("() => window.__ifd?.state.loaded"))


def markers(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate("() => __ifd.markers.markers()")
    return found


def pixels(page: Page, color: str) -> int:
    """Count pixels of the chart that have a colour of the style sheet."""
    return int(
        page.evaluate(
            """(name) => {
                const probe = document.createElement("i");
                probe.style.color = `var(--${name})`;
                document.body.append(probe);
                const wanted = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
                probe.remove();
                const canvas = __ifd.chart.takeScreenshot();
                const { data } = canvas.getContext("2d")
                    .getImageData(0, 0, canvas.width, canvas.height);
                let count = 0;
                for (let i = 0; i < data.length; i += 4)
                    if (wanted.every((value, k) => Math.abs(data[i + k] - value) < 3)) count++;
                return count;
            }""",
            color,
        )
    )


def test_an_empty_system_says_what_it_waits_for(
    page: Page, server: Server, complaints: list[str]
) -> None:
    visit(page, server.address)

    expect(page.get_by_test_id("chart-empty")).to_contain_text("Waiting for the first records")
    expect(page.get_by_test_id("tape-empty")).to_contain_text("No signals yet")
    expect(page.get_by_test_id("source")).to_have_text("NO STREAM")
    assert complaints == []


def test_the_page_comes_to_life_with_the_first_records(
    page: Page, server: Server, market: Market, complaints: list[str]
) -> None:
    visit(page, server.address)

    market.open()

    expect(page.get_by_test_id("source")).to_have_text("SIMULATED")
    expect(page.get_by_test_id("vital-profile")).to_have_text("conservative")
    expect(page.get_by_test_id("vital-rate")).to_have_text("4,321")
    expect(page.get_by_test_id("vital-queue")).to_have_text("17")
    expect(page.get_by_test_id("vital-memory")).to_have_text("250 MB")
    expect(page.get_by_test_id("vital-stream")).to_contain_text("streaming")
    expect(page.get_by_test_id("link")).to_contain_text("connected")
    expect(page.get_by_test_id("symbol")).to_have_text("NQZ5")
    expect(page.get_by_test_id("chart-empty")).to_be_hidden()
    eventually(lambda: page.evaluate("() => __ifd.candles.data().length") == BARS)
    assert complaints == []


def test_candles_are_drawn_and_move(page: Page, server: Server, market: Market) -> None:
    market.open()
    visit(page, server.address)
    eventually(lambda: page.evaluate("() => __ifd.candles.data().length") == BARS)
    eventually(lambda: pixels(page, "up") > 500 and pixels(page, "down") > 500)

    market.move(17_123.25)

    eventually(lambda: page.evaluate("() => __ifd.candles.data().at(-1).close") == 17_123.25)
    expect(page.locator("#last")).to_have_text("17,123.25")
    assert page.evaluate("() => __ifd.volume.data().length") == BARS


def test_bars_stand_at_new_york_time(page: Page, server: Server, market: Market) -> None:
    market.open()
    visit(page, server.address)

    drawn = page.evaluate("() => __ifd.candles.data().at(-1).time")

    from zoneinfo import ZoneInfo

    from ifd.units import utc_from_ns

    local = utc_from_ns(market.newest_ns).astimezone(ZoneInfo("America/New_York"))
    offset = local.utcoffset()
    assert offset is not None
    assert drawn == market.newest_ns // NANOS_PER_SECOND + offset.total_seconds()


def test_a_signal_appears_in_the_tape_and_on_its_bar(
    page: Page, server: Server, market: Market, complaints: list[str]
) -> None:
    market.open()
    visit(page, server.address)

    market.signal(bars_ago=3, side=Side.BUY, right="P", strike=17_250.0, confidence=0.91)

    row = page.get_by_test_id("row")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("BUY")
    expect(row).to_contain_text("17,250 P")
    expect(row).to_contain_text(".91")
    expect(row).to_contain_text("+6.4")
    (marker,) = eventually(lambda: markers(page))
    bars = page.evaluate("() => __ifd.candles.data()")
    assert marker["time"] == bars[-4]["time"]
    assert (marker["shape"], marker["position"]) == ("arrowDown", "aboveBar")
    assert complaints == []


@pytest.mark.parametrize(
    ("side", "right", "shape"),
    [
        (Side.BUY, "C", "arrowUp"),
        (Side.SELL, "P", "arrowUp"),
        (Side.BUY, "P", "arrowDown"),
        (Side.SELL, "C", "arrowDown"),
    ],
)
def test_arrows_point_where_the_future_is_expected_to_go(
    page: Page, server: Server, market: Market, side: Side, right: str, shape: str
) -> None:
    market.open()
    market.signal(side=side, right=right)

    visit(page, server.address)

    (marker,) = eventually(lambda: markers(page))
    assert marker["shape"] == shape


def test_several_signals_on_one_bar_are_one_arrow(
    page: Page, server: Server, market: Market
) -> None:
    market.open()
    for _ in range(3):
        market.signal(bars_ago=2)
    market.signal(bars_ago=2, side=Side.SELL)
    market.signal(bars_ago=9)

    visit(page, server.address)

    found = eventually(lambda: markers(page))
    assert [marker["shape"] for marker in found] == ["arrowUp", "arrowDown", "arrowUp"]
    assert found == sorted(found, key=lambda marker: marker["time"])
    assert page.get_by_test_id("row").count() == 5


def test_a_click_explains_a_signal_and_its_address_can_be_shared(
    page: Page, server: Server, market: Market, complaints: list[str]
) -> None:
    market.open()
    signal_id = market.signal(tier=Tier.EXTREME)
    market.signal(baseline_zscore=None, percentile_rank=None)
    visit(page, server.address)

    page.locator(f"#signal-{signal_id}").click()

    explain = page.get_by_test_id("explain")
    expect(explain).to_contain_text("17,100 call")
    expect(explain).to_contain_text("swept <4> levels")
    expect(explain).to_contain_text("bullish for NQZ5")
    expect(explain.locator(".factor")).to_have_count(3)
    expect(explain).to_contain_text("14.25 : 1")
    expect(explain).to_contain_text(signal_id)
    assert page.url.endswith(f"?signal={signal_id}")

    page.keyboard.press("k")

    expect(explain).to_contain_text("no baseline yet")

    page.keyboard.press("Escape")

    expect(explain).to_be_hidden()
    assert "signal=" not in page.url
    assert complaints == []


def test_an_arrow_names_its_signals_and_opens_them_one_after_the_other(
    page: Page, server: Server, market: Market
) -> None:
    market.open()
    sure = market.signal(bars_ago=4, confidence=0.9)
    market.signal(bars_ago=4, confidence=0.7)
    visit(page, server.address)
    eventually(lambda: markers(page))
    x, y = page.evaluate(
        """() => {
            const { time } = __ifd.markers.markers()[0];
            const bar = __ifd.candles.data().find((bar) => bar.time === time);
            const box = document.getElementById("chart").getBoundingClientRect();
            return [
                box.left + __ifd.chart.timeScale().timeToCoordinate(time),
                box.top + __ifd.candles.priceToCoordinate(bar.low) + 8,
            ];
        }"""
    )

    page.mouse.move(x, y)
    expect(page.locator("#tip div")).to_have_count(2)
    page.mouse.click(x, y)
    expect(page.get_by_test_id("explain")).to_have_attribute("data-id", sure)
    page.wait_for_timeout(600)  # else the library takes the next for a double click
    page.mouse.click(x, y)

    expect(page.get_by_test_id("explain")).not_to_have_attribute("data-id", sure)


def test_a_link_opens_its_signal(
    page: Page, server: Server, market: Market, complaints: list[str]
) -> None:
    market.open()
    signal_id = market.signal()
    market.signal()

    visit(page, f"{server.address}?signal={signal_id}")

    expect(page.get_by_test_id("explain")).to_contain_text(signal_id)
    expect(page.locator(f"#signal-{signal_id}")).to_have_attribute("aria-selected", "true")
    assert complaints == []


def test_a_link_opens_a_signal_older_than_the_tape(
    page: Page, server: Server, market: Market, make_signal: Callable[..., Any]
) -> None:
    market.open()
    oldest = market.signal(why=("the very first",))
    with transaction(market.engine) as session:
        session.add_all(
            SignalRow.from_signal(
                make_signal(signal_id=f"{number:016x}", ts_event=market.newest_ns + number),
                source="simulated",
                committed_ns=1,
            )
            for number in range(1_000, 1_600)
        )

    visit(page, f"{server.address}?signal={oldest}")

    expect(page.get_by_test_id("explain")).to_contain_text("the very first")
    assert page.evaluate("(id) => __ifd.state.byId.has(id)", oldest) is False


def test_a_link_to_an_unknown_signal_says_so(page: Page, server: Server, market: Market) -> None:
    market.open()

    visit(page, f"{server.address}?signal=ffffffffffffffff")

    expect(page.get_by_test_id("explain")).to_contain_text("Not found")


def test_filter_and_least_confidence_hold_for_tape_and_chart(
    page: Page, server: Server, market: Market
) -> None:
    market.open()
    market.signal(bars_ago=1, confidence=0.65, pattern="iceberg")
    market.signal(bars_ago=2, confidence=0.85, pattern="sweep", right="P")
    market.signal(bars_ago=3, confidence=0.95, pattern="iceberg")
    visit(page, server.address)
    rows = page.get_by_test_id("row")
    expect(rows).to_have_count(3)

    page.keyboard.press("/")
    page.keyboard.type("call iceberg")
    expect(rows).to_have_count(2)
    eventually(lambda: len(markers(page)) == 2)
    page.get_by_test_id("confidence").fill("0.9")
    expect(rows).to_have_count(1)
    expect(page.get_by_test_id("count")).to_have_text("1 of 3")
    page.get_by_test_id("filter").fill("no such thing")
    expect(page.get_by_test_id("tape-empty")).to_contain_text("Nothing passes the filter")
    page.get_by_test_id("filter").press("Escape")
    page.get_by_test_id("confidence").fill("0")

    expect(rows).to_have_count(3)
    eventually(lambda: len(markers(page)) == 3)


def test_the_interval_changes_by_key_and_by_click(
    page: Page, server: Server, market: Market
) -> None:
    market.open()
    visit(page, server.address)

    def step() -> int:
        data = page.evaluate("() => __ifd.candles.data().slice(-2).map((bar) => bar.time)")
        return int(data[1] - data[0])

    assert step() == 300
    page.keyboard.press("1")
    assert step() == 60
    page.get_by_test_id("interval-300").click()
    assert step() == 300


def test_nothing_is_lost_or_doubled_when_the_server_is_killed_and_comes_back(
    page: Page, server: Server, market: Market
) -> None:
    market.open()
    before = market.signal()
    visit(page, server.address)
    rows = page.get_by_test_id("row")
    expect(rows).to_have_count(1)

    server.kill()
    expect(page.get_by_test_id("link")).to_contain_text("stale")
    expect(page.get_by_test_id("notice")).to_contain_text("The page shows what it knew at")
    missed = [market.signal() for _ in range(3)]
    server.start()

    expect(rows).to_have_count(4, timeout=20_000)
    after = market.signal()
    expect(rows).to_have_count(5)
    listed = rows.evaluate_all("(rows) => rows.map((row) => row.dataset.id)")
    assert listed == [after, *reversed(missed), before]
    expect(page.get_by_test_id("link")).to_contain_text("connected")
    expect(page.get_by_test_id("notice")).to_be_hidden()


def test_a_short_break_is_resumed_without_a_snapshot(
    page: Page, server: Server, market: Market
) -> None:
    market.open()
    visit(page, server.address)
    page.evaluate("() => __ifd.connection.socket.close()")

    market.signal()

    expect(page.get_by_test_id("row")).to_have_count(1)
    connections = page.evaluate("async () => (await fetch('/metrics')).text()")
    assert 'ifd_dashboard_connections_total{start="resumed"} 1.0' in connections


def test_the_page_measures_how_late_a_signal_is_painted(
    page: Page, server: Server, market: Market
) -> None:
    market.open()
    visit(page, server.address)
    eventually(lambda: page.evaluate("() => __ifd.connection.roundTrip !== null"))

    for _ in range(20):
        market.signal()

    lags = eventually(
        lambda: (
            len(
                found := page.evaluate(
                    "() => __ifd.lag.filter((lag) => lag.type === 'signal').map((l) => l.paint_ms)"
                )
            )
            == 20
            and found
        )
    )
    assert all(-5 < lag < 10_000 for lag in lags)
