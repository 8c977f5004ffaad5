"""Who may look: loopback without a token, anywhere else only with one; and strict page headers.

On loopback two strangers are kept out all the same: a web page elsewhere that opens a WebSocket to
this machine (its `Origin` is not ours), and a foreign name that resolves to it (its `Host` is not a
name of loopback). With a token, `/?token=…` once gives the browser a cookie; programs send
`Authorization: Bearer …`.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ifd.errors import ConfigurationError

COOKIE: Final = "ifd_dashboard"
SHORTEST_TOKEN: Final = 16
# The one style element that lightweight-charts adds, for its attribution logo.
CHART_STYLE_SHA256: Final = "sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY="
_HOST: Final = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class AccessSettings(BaseSettings):
    """The token, from the environment alone."""

    token: SecretStr | None = Field(None, validation_alias="IFD_DASHBOARD_TOKEN")


def read_token() -> str | None:
    """Return the access token of the environment, None when there is none.

    Raises
    ------
    ConfigurationError
        If it is too short to protect anything.
    """
    secret = AccessSettings().token
    token = secret.get_secret_value().strip() if secret else ""
    if token and len(token) < SHORTEST_TOKEN:
        raise ConfigurationError(
            f"IFD_DASHBOARD_TOKEN must have at least {SHORTEST_TOKEN} characters, it has "
            f"{len(token)}: make one with `openssl rand -hex 24`"
        )
    return token or None


def require_safe_host(host: str, token: str | None) -> None:
    """Return when the dashboard may listen on `host`.

    Raises
    ------
    ConfigurationError
        If others than this machine could reach it and no token protects it.
    """
    if token is None and not is_loopback(host):
        raise ConfigurationError(
            f"the dashboard would be open to everybody who reaches {host}: set IFD_DASHBOARD_TOKEN "
            f"({SHORTEST_TOKEN} characters or more), or use --host 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Return True for `localhost` and the addresses of loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Gate:
    """ASGI middleware in front of everything, for HTTP and WebSocket alike."""

    def __init__(self, app: ASGIApp, *, token: str | None) -> None:
        self._app = app
        self._token = token
        # The cookie is derived, so the token itself is not kept by the browser.
        self._cookie = hmac.new((token or "").encode(), COOKIE.encode(), "sha256").hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        answer = self._refusal(scope)
        if answer is None:
            await self._app(scope, receive, _with_headers(send, Headers(scope=scope).get("host")))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before accept: HTTP 403
        else:
            await answer(scope, receive, _with_headers(send, None))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not _HOST.fullmatch(host):
            return PlainTextResponse("The Host header is not one of a web address.\n", 400)
        if self._token is None and not is_loopback(_name_of(host)):
            return PlainTextResponse(
                "Without IFD_DASHBOARD_TOKEN the dashboard answers to localhost only.\n", 403
            )
        if scope["type"] == "websocket" and not _is_own(headers.get("origin"), host):
            return PlainTextResponse("This WebSocket is for the dashboard's own page.\n", 403)
        return None if self._token is None else self._ask_for_token(scope, headers)

    def _ask_for_token(self, scope: Scope, headers: Headers) -> Response | None:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = next((value for name, value in query if name == "token"), None)
        if given is not None and self._is_token(given):
            if scope["type"] == "websocket":
                return None
            return self._remember(scope, [pair for pair in query if pair[0] != "token"])
        if given is None and (self._has_cookie(headers) or self._has_bearer(headers)):
            return None
        return PlainTextResponse(
            "This dashboard needs its token: open /?token=… once, or send it as "
            "Authorization: Bearer …\n",
            401,
            {"www-authenticate": "Bearer"},
        )

    def _remember(self, scope: Scope, query: Iterable[tuple[str, str]]) -> Response:
        """Give the cookie, and take the token out of the address and so out of the history."""
        rest = urlencode(list(query))
        # A path that begins with two slashes would be an address elsewhere.
        path = "/" + scope["path"].lstrip("/\\")
        answer = RedirectResponse(path + ("?" + rest if rest else ""), 303)
        # Lax, not strict: a link in Slack must open the page.
        answer.set_cookie(
            COOKIE,
            self._cookie,
            max_age=30 * 86_400,
            httponly=True,
            samesite="lax",
            secure=scope.get("scheme") == "https",
        )
        return answer

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self._token or "").encode())

    def _has_bearer(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self._is_token(given.strip())

    def _has_cookie(self, headers: Headers) -> bool:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return morsel is not None and hmac.compare_digest(
            morsel.value.encode(), self._cookie.encode()
        )


def content_security_policy(host: str | None) -> str:
    """Return the policy of the page served to `host`: nothing inline, nothing from elsewhere."""
    # 'self' covers ws:// in current browsers; older ones need it spelt out.
    sockets = f" ws://{host} wss://{host}" if host else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' '{CHART_STYLE_SHA256}'",
            "img-src 'self' data:",
            "font-src 'self'",
            f"connect-src 'self'{sockets}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _with_headers(send: Send, host: str | None) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            _add_headers(message, host)
        await send(message)

    return send_with_headers


def _add_headers(message: MutableMapping[str, object], host: str | None) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in _HEADERS.items():
        headers[name] = value
    headers["content-security-policy"] = content_security_policy(host)
    headers.setdefault("cache-control", "no-store")


def _name_of(host: str) -> str:
    return urlsplit(f"//{host}").hostname or ""


def _is_own(origin: str | None, host: str) -> bool:
    """Programs send no Origin; a browser sends the page's, which must be this server."""
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()
