from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from dashboard.app import STATIC
from dashboard.security import CHART_STYLE_SHA256, Gate, read_token, require_safe_host
from ifd.errors import ConfigurationError

TOKEN = "correct-horse-battery"


@pytest.fixture
def visit(serve: Callable[..., Any]) -> Callable[..., Any]:
    """Serve one page behind the gate, and visit it under a name."""

    async def page(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("the page")

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text('{"type": "hello"}')
        await websocket.close()

    def start(token: str | None, name: str = "localhost") -> Any:
        app = Starlette(
            routes=[Route("/{path:path}", page), WebSocketRoute("/ws", socket)],
            middleware=[Middleware(Gate, token=token)],
        )
        return serve(app).under(name)

    return start


@pytest.mark.parametrize("host", ["127.0.0.1:8050", "localhost:8050", "[::1]:8050"])
def test_without_a_token_this_machine_is_served(host: str, visit: Callable[..., Any]) -> None:
    assert visit(None, host).get("/").status_code == 200


def test_a_foreign_name_that_resolves_to_this_machine_is_refused(visit: Callable[..., Any]) -> None:
    answer = visit(None, "evil.example:8050").get("/")

    assert answer.status_code == 403
    assert "IFD_DASHBOARD_TOKEN" in answer.text


def test_a_malformed_host_is_refused(visit: Callable[..., Any]) -> None:
    assert visit(None).get("/", headers={"host": "a; script-src *"}).status_code == 400


def test_another_sites_page_may_not_listen(visit: Callable[..., Any]) -> None:
    page = visit(None)

    assert page.hears()
    assert page.hears(origin="http://localhost")
    assert not page.hears(origin="http://evil.example")
    assert not page.hears(origin="http://127.0.0.1:9999")
    assert not page.hears(origin="null")


def test_with_a_token_nothing_is_served_without_it(visit: Callable[..., Any]) -> None:
    page = visit(TOKEN, "flow.example")

    assert page.get("/").status_code == 401
    assert page.get("/?token=wrong").status_code == 401
    assert page.get("/", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert page.get("/", headers={"cookie": f"ifd_dashboard={TOKEN}"}).status_code == 401
    assert not page.hears()


def test_the_token_opens_once_in_the_address_and_then_by_cookie(visit: Callable[..., Any]) -> None:
    page = visit(TOKEN, "flow.example")

    first = page.get(f"/?signal=abc&token={TOKEN}")

    assert first.status_code == 303
    assert first.headers["location"] == "/?signal=abc"
    assert TOKEN not in first.headers["set-cookie"]
    assert "HttpOnly" in first.headers["set-cookie"]
    assert page.get("/?signal=abc").text == "the page"
    assert page.hears(origin="http://flow.example")
    assert not page.hears(origin="http://evil.example")


def test_a_program_sends_the_token_as_bearer(visit: Callable[..., Any]) -> None:
    page = visit(TOKEN, "flow.example")

    assert page.get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert page.hears(authorization=f"Bearer {TOKEN}")
    assert page.hears(f"/ws?token={TOKEN}")


def test_the_token_in_the_address_never_leads_to_another_site(visit: Callable[..., Any]) -> None:
    answer = visit(TOKEN).get(f"//evil.example/?token={TOKEN}")

    assert answer.headers.get("location", "/").startswith("/")
    assert not answer.headers.get("location", "/").startswith("//")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "flow.example"])
def test_an_open_host_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigurationError, match="IFD_DASHBOARD_TOKEN"):
        require_safe_host(host, None)

    require_safe_host(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.0.1"])
def test_loopback_needs_none(host: str) -> None:
    require_safe_host(host, None)


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IFD_DASHBOARD_TOKEN", raising=False)
    assert read_token() is None
    monkeypatch.setenv("IFD_DASHBOARD_TOKEN", "  ")
    assert read_token() is None
    monkeypatch.setenv("IFD_DASHBOARD_TOKEN", TOKEN)
    assert read_token() == TOKEN
    monkeypatch.setenv("IFD_DASHBOARD_TOKEN", "short")
    with pytest.raises(ConfigurationError, match="16 characters"):
        read_token()


def test_pages_allow_nothing_inline_and_nothing_from_elsewhere(visit: Callable[..., Any]) -> None:
    headers = visit(None).get("/").headers

    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_the_policy_names_the_one_style_the_chart_library_adds() -> None:
    library = STATIC / "vendor" / "lightweight-charts.standalone.production.mjs"
    style = re.search(
        r'createElement\("style"\),this\.\w+\.innerText="([^"]+)"', library.read_text("utf-8")
    )
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()

    assert f"sha256-{digest}" == CHART_STYLE_SHA256
