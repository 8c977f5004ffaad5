"""Deliver messages to Slack and say what became of each, never sending one twice by itself.

The client's own retries are off: it repeats a request whose answer was lost, and chat.postMessage
has no idempotency key, so that a lost answer would become a second alert. A verdict tells the
worker which of its moves is safe; where nobody can know, a bot can look the message up.
"""

from __future__ import annotations

import http.client
import logging
from collections.abc import Iterator
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError
from slack_sdk.webhook import WebhookClient

from config.settings import WEBHOOK_CHANNEL, Settings
from ifd.errors import ConfigurationError
from ifd.units import NANOS_PER_SECOND
from sinks.delivery import Delivery, Verdict, delivery_after, delivery_from
from sinks.messages import SlackMessage

TIMEOUT_SECONDS: Final = 10
CLOCK_TOLERANCE_SECONDS: Final = 60
PAGE_MESSAGES: Final = 200
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")

_log = logging.getLogger("slack_sdk.quiet")
# The client would print what the verdict says already, and builds its debug texts at level 0.
_log.setLevel(logging.CRITICAL)


class Sender(Protocol):
    """Sends messages; `finds` says whether it can look one up."""

    finds: bool

    def send(self, message: SlackMessage, channel: str) -> Delivery:
        """Send once and say what became of it."""
        ...

    def find(self, message: SlackMessage, channel: str, *, since_ns: int) -> Delivery:
        """Look for a message that may have been sent since `since_ns`."""
        ...


def make_sender(settings: Settings) -> Sender | None:
    """Return what sends with these settings, or None when Slack is not set up.

    Raises
    ------
    ConfigurationError
        If an address is no http(s) URL.
    """
    if settings.slack_bot_token is not None:
        if settings.slack_channel is None:
            return None
        _require_http("SLACK_API_URL", settings.slack_api_url)
        return BotSender(
            settings.slack_bot_token.get_secret_value(),
            api_url=settings.slack_api_url,
            channel=settings.slack_channel,
        )
    if settings.slack_webhook_url is not None:
        url = settings.slack_webhook_url.get_secret_value()
        _require_http("SLACK_WEBHOOK_URL", url)
        return WebhookSender(url)
    return None


class BotSender:
    """Sends with a bot token, and finds what it sent by the metadata it gave it.

    Parameters
    ----------
    channel : str
        Where alerts go that were owed while only a webhook was set up.
    """

    finds = True

    def __init__(
        self, token: str, *, api_url: str, channel: str, timeout_seconds: int = TIMEOUT_SECONDS
    ) -> None:
        self._channel = channel
        self._ids: dict[str, str] = {}
        self._client = WebClient(
            token,
            base_url=api_url,
            timeout=timeout_seconds,
            retry_handlers=[],
            logger=_log,
        )
        if urlsplit(api_url).hostname in LOOPBACK:
            self._client.proxy = None

    def send(self, message: SlackMessage, channel: str) -> Delivery:
        """Post once. `channel` is a name (#alerts) or an id; the answer tells its id."""
        name = self._named(channel)
        try:
            answer = self._client.chat_postMessage(
                channel=name,
                text=message.text,
                blocks=message.blocks,
                metadata=message.metadata,
                unfurl_links=False,
            )
        except (SlackClientError, OSError, http.client.HTTPException) as error:
            return delivery_after(error)
        self._ids[name] = str(answer["channel"])
        return Delivery(Verdict.DELIVERED, message_ts=str(answer["ts"]))

    def find(self, message: SlackMessage, channel: str, *, since_ns: int) -> Delivery:
        """Read the channel's history for the message's metadata.

        Needs the scope channels:history (groups:history for a private channel), and channels:read
        when the channel is configured by name.
        """
        oldest = since_ns // NANOS_PER_SECOND - CLOCK_TOLERANCE_SECONDS
        try:
            for found in self._history(self._channel_id(self._named(channel)), oldest):
                if found.get("metadata") == message.metadata:
                    return Delivery(Verdict.DELIVERED, message_ts=str(found["ts"]))
        except (SlackClientError, OSError, http.client.HTTPException) as error:
            return delivery_after(error)
        return Delivery(Verdict.ABSENT)

    def _named(self, channel: str) -> str:
        return self._channel if channel == WEBHOOK_CHANNEL else channel

    def _history(self, channel_id: str, oldest: int) -> Iterator[dict[str, Any]]:
        # Any: messages as Slack's JSON has them.
        cursor: str | None = None
        while True:
            page = self._client.conversations_history(
                channel=channel_id,
                oldest=str(oldest),
                include_all_metadata=True,
                limit=PAGE_MESSAGES,
                cursor=cursor,
            )
            yield from page["messages"]
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return

    def _channel_id(self, channel: str) -> str:
        """Return the id that conversations.history wants; a channel's name will not do there."""
        cursor: str | None = None
        while channel.startswith("#") and channel not in self._ids:
            page = self._client.conversations_list(
                types="public_channel,private_channel",
                exclude_archived=True,
                limit=PAGE_MESSAGES,
                cursor=cursor,
            )
            self._ids |= {f"#{found['name']}": str(found["id"]) for found in page["channels"]}
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
        return self._ids.get(channel, channel)


class WebhookSender:
    """Sends through an incoming webhook: no channel to choose, no way to look back."""

    finds = False

    def __init__(self, url: str, *, timeout_seconds: int = TIMEOUT_SECONDS) -> None:
        self._client = WebhookClient(url, timeout=timeout_seconds, retry_handlers=[], logger=_log)
        if urlsplit(url).hostname in LOOPBACK:
            self._client.proxy = None

    def send(self, message: SlackMessage, channel: str) -> Delivery:
        """Post once; `channel` is the webhook's own, whatever is asked for."""
        try:
            answer = self._client.send_dict(
                {"text": message.text, "blocks": message.blocks, "metadata": message.metadata}
            )
        except (SlackClientError, OSError, http.client.HTTPException) as error:
            return delivery_after(error)
        body = answer.body.strip()
        if answer.status_code == 200 and body == "ok":
            return Delivery(Verdict.DELIVERED)
        if answer.status_code in (500, 503):  # the webhook's own: it says that it did not post
            return Delivery(Verdict.NOT_DELIVERED, f"Slack answered {answer.status_code}")
        return delivery_from(answer.status_code, body, dict(answer.headers))

    def find(self, message: SlackMessage, channel: str, *, since_ns: int) -> Delivery:
        """Say that a webhook cannot look back."""
        return Delivery(Verdict.MISCONFIGURED, "a webhook cannot look up what it sent")


def _require_http(name: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{name} must be an http or https address")
