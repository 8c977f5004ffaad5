"""Every answer of Slack, and every lost one, is judged so that nothing is sent twice."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import load_settings
from ifd.errors import ConfigurationError
from simulator.slack import DEFAULT_TOKEN, SlackStandIn
from simulator.slack_workspace import Fault
from sinks.delivery import Verdict, delivery_from
from sinks.messages import EVENT_TYPE, SlackMessage
from sinks.slack import BotSender, Sender, WebhookSender, make_sender

SINCE_NS = 1_764_000_000_000_000_000


@pytest.fixture
def slack(tmp_path: Path) -> Iterator[SlackStandIn]:
    with SlackStandIn(log=tmp_path / "slack.jsonl") as stand_in:
        yield stand_in


@pytest.fixture
def bot(slack: SlackStandIn) -> BotSender:
    return BotSender(DEFAULT_TOKEN, api_url=slack.api_url, channel="#alerts", timeout_seconds=1)


@pytest.fixture
def webhook(slack: SlackStandIn) -> WebhookSender:
    return WebhookSender(slack.webhook_url, timeout_seconds=1)


@pytest.fixture(params=["bot", "webhook"])
def sender(request: pytest.FixtureRequest) -> Sender:
    chosen: Sender = request.getfixturevalue(request.param)
    return chosen


def message(signal_id: str = "0123456789abcdef") -> SlackMessage:
    return SlackMessage(
        text="BUY pressure",
        blocks=[{"type": "section", "text": {"type": "mrkdwn", "text": "*Why*"}}],
        metadata={
            "event_type": EVENT_TYPE,
            "event_payload": {"signal_id": signal_id, "kind": "signal"},
        },
    )


def test_a_message_arrives_whole(slack: SlackStandIn, sender: Sender) -> None:
    sent = sender.send(message(), "#alerts")

    (found,) = slack.workspace.messages
    assert sent.verdict is Verdict.DELIVERED
    assert (found["text"], found["blocks"]) == (message().text, message().blocks)
    assert found["metadata"] == message().metadata


def test_a_bot_learns_the_name_slack_gave_the_message(slack: SlackStandIn, bot: BotSender) -> None:
    assert bot.send(message(), "#alerts").message_ts == slack.workspace.messages[0]["ts"]


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (Fault("rate_limited", retry_after=7), Verdict.LIMITED),
        (Fault("close"), Verdict.UNCERTAIN),
        (Fault("close_after"), Verdict.UNCERTAIN),
        (Fault("hang_after", seconds=2), Verdict.UNCERTAIN),
    ],
    ids=lambda value: value.name,
)
def test_what_goes_wrong_is_judged(
    slack: SlackStandIn, sender: Sender, fault: Fault, verdict: Verdict
) -> None:
    slack.workspace.inject(fault)

    assert sender.send(message(), "#alerts").verdict is verdict
    assert len(slack.workspace.calls) == 1, "the client must not try again by itself"


def test_a_rate_limit_says_how_long(slack: SlackStandIn, sender: Sender) -> None:
    slack.workspace.inject(Fault("rate_limited", retry_after=7))

    assert sender.send(message(), "#alerts").retry_after_seconds == 7


def test_a_server_error_of_the_api_may_have_posted(slack: SlackStandIn, bot: BotSender) -> None:
    slack.workspace.inject(Fault("server_error"))

    assert bot.send(message(), "#alerts").verdict is Verdict.UNCERTAIN


def test_a_server_error_of_a_webhook_has_not(slack: SlackStandIn, webhook: WebhookSender) -> None:
    slack.workspace.inject(Fault("server_error"))

    assert webhook.send(message(), "").verdict is Verdict.NOT_DELIVERED


def test_a_wrong_token_is_for_a_person_to_mend(slack: SlackStandIn) -> None:
    stranger = BotSender("xoxb-of-somebody-else", api_url=slack.api_url, channel="#alerts")

    refused = stranger.send(message(), "#alerts")

    assert (refused.verdict, refused.reason) == (
        Verdict.MISCONFIGURED,
        "Slack answered invalid_auth",
    )


def test_a_wrong_webhook_is_for_a_person_to_mend(slack: SlackStandIn) -> None:
    stranger = WebhookSender(f"{slack.url}/services/T1/B1/wrong")

    assert stranger.send(message(), "").verdict is Verdict.MISCONFIGURED


def test_a_message_slack_cannot_take_is_refused_for_good(
    slack: SlackStandIn, sender: Sender
) -> None:
    wrong = SlackMessage(text="x", blocks=[{"type": "header"}], metadata={})

    assert sender.send(wrong, "#alerts").verdict is Verdict.REFUSED
    assert slack.workspace.messages == []


@pytest.mark.parametrize("kind", ["bot", "webhook"])
def test_nobody_at_the_address_means_not_sent(kind: str) -> None:
    with socket.socket() as taken:  # bound and not listening: refuses, and nobody else gets it
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        sender = BotSender("t", api_url=url, channel="#a") if kind == "bot" else WebhookSender(url)

        assert sender.send(message(), "#alerts").verdict is Verdict.UNREACHABLE


def test_a_name_that_does_not_resolve_means_not_sent() -> None:
    sender = WebhookSender("http://slack.invalid/services/x", timeout_seconds=5)

    assert sender.send(message(), "").verdict is Verdict.UNREACHABLE


def test_a_proxy_for_the_web_is_not_asked_for_this_machine(
    slack: SlackStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")

    for sender in (
        BotSender(DEFAULT_TOKEN, api_url=slack.api_url, channel="#alerts"),
        WebhookSender(slack.webhook_url),
    ):
        assert sender.send(message(), "#alerts").verdict is Verdict.DELIVERED


@pytest.mark.parametrize("channel", ["#alerts", "webhook"])
def test_a_bot_finds_what_it_sent_by_name(slack: SlackStandIn, channel: str) -> None:
    BotSender(DEFAULT_TOKEN, api_url=slack.api_url, channel="#alerts").send(message(), channel)
    for number in range(3):
        BotSender(DEFAULT_TOKEN, api_url=slack.api_url, channel="#alerts").send(
            message(f"other {number}"), channel
        )
    after_a_crash = BotSender(DEFAULT_TOKEN, api_url=slack.api_url, channel="#alerts")

    found = after_a_crash.find(message(), channel, since_ns=SINCE_NS)

    assert found.verdict is Verdict.DELIVERED
    assert found.message_ts == slack.workspace.messages[0]["ts"]


def test_a_bot_looks_through_every_page(
    slack: SlackStandIn, bot: BotSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.slack.PAGE_MESSAGES", 2)
    for number in range(5):
        bot.send(message(f"signal {number}"), "#alerts")

    assert bot.find(message("signal 0"), "#alerts", since_ns=SINCE_NS).verdict is Verdict.DELIVERED
    assert slack.workspace.calls.count("conversations.history") == 3


def test_a_bot_is_sure_that_a_message_is_absent(bot: BotSender) -> None:
    bot.send(message("another"), "#alerts")

    assert bot.find(message(), "#alerts", since_ns=SINCE_NS).verdict is Verdict.ABSENT


def test_a_look_up_without_permission_proves_nothing(slack: SlackStandIn, bot: BotSender) -> None:
    bot.send(message(), "#alerts")
    slack.workspace.inject(Fault("error", method="conversations.history", error="missing_scope"))

    found = bot.find(message(), "#alerts", since_ns=SINCE_NS)

    assert (found.verdict, found.reason) == (Verdict.MISCONFIGURED, "Slack answered missing_scope")


@pytest.mark.parametrize(
    ("status", "error", "verdict"),
    [
        (200, "internal_error", Verdict.UNCERTAIN),
        (200, "fatal_error", Verdict.UNCERTAIN),
        (200, "service_unavailable", Verdict.NOT_DELIVERED),
        (200, "invalid_blocks", Verdict.REFUSED),
        (200, "not_in_channel", Verdict.MISCONFIGURED),
        (200, "<html>Sign in to this café's network</html>", Verdict.UNCERTAIN),
        (502, "Bad Gateway", Verdict.UNCERTAIN),
        (504, "", Verdict.UNCERTAIN),
        (429, "", Verdict.LIMITED),
        (400, "invalid_payload", Verdict.REFUSED),
        (403, "action_prohibited", Verdict.MISCONFIGURED),
        (410, "channel_is_archived", Verdict.MISCONFIGURED),
    ],
)
def test_answers_are_told_apart(status: int, error: str, verdict: Verdict) -> None:
    assert delivery_from(status, error, {}).verdict is verdict


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({}, type(None)),
        ({"SLACK_BOT_TOKEN": "xoxb-1"}, type(None)),
        ({"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_CHANNEL": "C012345678"}, BotSender),
        ({"SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/x"}, WebhookSender),
    ],
    ids=["nothing", "no channel", "bot", "webhook"],
)
def test_the_environment_chooses_the_sender(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], kind: type
) -> None:
    for name in ("SLACK_BOT_TOKEN", "SLACK_CHANNEL", "SLACK_WEBHOOK_URL", "SLACK_API_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert isinstance(make_sender(load_settings()), kind)
    assert (load_settings().alert_channel is None) is (kind is type(None))


def test_an_address_that_is_none_is_said_without_showing_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SLACK_BOT_TOKEN", raising=False)
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "file:///etc/secret")

    with pytest.raises(ConfigurationError, match="SLACK_WEBHOOK_URL must be") as caught:
        make_sender(load_settings())
    assert "secret" not in str(caught.value)
