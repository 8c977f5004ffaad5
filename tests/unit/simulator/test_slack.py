"""The stand-in answers as Slack does, keeps what it was told, and shows it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from ifd.errors import EnvironmentProblemError, PortInUseError
from simulator.slack import DEFAULT_TOKEN, SlackStandIn
from simulator.slack_workspace import Fault

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "var" / "slack.jsonl"


@pytest.fixture
def slack(log: Path) -> Iterator[SlackStandIn]:
    with SlackStandIn(log=log) as stand_in:
        yield stand_in


@pytest.fixture
def client(slack: SlackStandIn) -> WebClient:
    return WebClient(DEFAULT_TOKEN, base_url=slack.api_url, retry_handlers=[])


def lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def read(url: str) -> str:
    with urlopen(url, timeout=5) as answer:
        body: str = answer.read().decode()
        return body


def test_each_message_is_one_line_of_the_log(client: WebClient, log: Path) -> None:
    metadata = {"event_type": "ifd_signal", "event_payload": {"signal_id": "a"}}
    first = client.chat_postMessage(channel="#alerts", text="one\ntwo", metadata=metadata)
    client.chat_postMessage(channel="#alerts", text="three")

    assert [line["text"] for line in lines(log)] == ["one\ntwo", "three"]
    assert lines(log)[0]["metadata"] == metadata
    assert lines(log)[0]["ts"] == first["ts"]


def test_a_name_and_the_id_it_stands_for_are_one_channel(client: WebClient) -> None:
    first = client.chat_postMessage(channel="#alerts", text="by name")
    client.chat_postMessage(channel=first["channel"], text="by id")

    history = client.conversations_history(channel=first["channel"])

    assert [message["text"] for message in history["messages"]] == ["by id", "by name"]
    assert client.conversations_list()["channels"] == [{"id": first["channel"], "name": "alerts"}]


def test_history_wants_an_id_and_shows_metadata_on_request(client: WebClient) -> None:
    metadata = {"event_type": "ifd_signal", "event_payload": {"signal_id": "a"}}
    posted = client.chat_postMessage(channel="#alerts", text="x", metadata=metadata)

    with pytest.raises(SlackApiError, match="channel_not_found"):
        client.conversations_history(channel="#alerts")
    (plain,) = client.conversations_history(channel=posted["channel"])["messages"]
    (full,) = client.conversations_history(channel=posted["channel"], include_all_metadata=True)[
        "messages"
    ]

    assert "metadata" not in plain
    assert full["metadata"] == metadata
    assert client.conversations_history(channel=posted["channel"], oldest="9e12")["messages"] == []


@pytest.mark.parametrize(
    ("token", "error"), [(None, "not_authed"), ("xoxb-stolen", "invalid_auth")]
)
def test_a_token_is_checked(slack: SlackStandIn, token: str | None, error: str) -> None:
    with pytest.raises(SlackApiError, match=error):
        WebClient(token, base_url=slack.api_url).auth_test()


def test_a_good_token_is_welcome(client: WebClient) -> None:
    assert client.auth_test()["ok"]


def test_limits_of_slack_hold(client: WebClient) -> None:
    header = {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}

    with pytest.raises(SlackApiError, match="invalid_blocks"):
        client.chat_postMessage(channel="#alerts", text="x", blocks=[header])
    with pytest.raises(SlackApiError, match="invalid_blocks"):
        client.chat_postMessage(channel="#a", text="x", blocks=[{"type": "divider"}] * 51)


def test_a_chart_reaches_the_thread_of_its_message(
    slack: SlackStandIn, client: WebClient, log: Path
) -> None:
    posted = client.chat_postMessage(channel="#alerts", text="x")

    client.files_upload_v2(
        content=PNG,
        filename="chart.png",
        title="chart",
        channel=posted["channel"],
        thread_ts=posted["ts"],
    )

    assert lines(log)[1]["thread_ts"] == posted["ts"]
    assert [m["text"] for m in client.conversations_history(channel=posted["channel"])["messages"]]
    assert 'src="/files/F00000001"' in read(slack.url)
    with urlopen(f"{slack.url}/files/F00000001", timeout=5) as answer:
        assert answer.read() == PNG


def test_a_fault_happens_as_often_as_it_was_ordered(slack: SlackStandIn, client: WebClient) -> None:
    order = json.dumps({"name": "rate_limited", "times": 2, "retry_after": 3}).encode()
    with urlopen(Request(f"{slack.url}/_faults", data=order, method="POST"), timeout=5) as answer:
        assert json.load(answer) == {"ok": True}

    for _ in range(2):
        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel="#alerts", text="x")
        assert caught.value.response.headers["Retry-After"] == "3"

    assert client.chat_postMessage(channel="#alerts", text="x")["ok"]


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no fault 'gremlins'"):
        Fault("gremlins")


def test_a_message_whose_answer_was_lost_is_there(slack: SlackStandIn, client: WebClient) -> None:
    slack.workspace.inject(Fault("close_after", method="chat.postMessage"))

    with pytest.raises(OSError, match="closed connection"):
        client.chat_postMessage(channel="#alerts", text="lost answer")

    assert [message["text"] for message in slack.workspace.messages] == ["lost answer"]


def test_a_person_sees_what_slack_would_show(slack: SlackStandIn, client: WebClient) -> None:
    client.chat_postMessage(
        channel="#alerts",
        text="fallback",
        blocks=[
            {"type": "header", "text": {"type": "plain_text", "text": "BUY <now>"}},
            {
                "type": "section",
                "text": {
                    "type": "mrkdwn",
                    "text": "*Why*\n• 1 &lt; 2 &amp; 3\n<http://x.example/?a=1|Open>",
                },
            },
            {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Size*\n<script>"}]},
        ],
    )

    shown = read(slack.url)

    assert "<h2>BUY &lt;now&gt;</h2>" in shown
    assert "<b>Why</b><br>• 1 &lt; 2 &amp; 3" in shown
    assert '<a href="http://x.example/?a=1" rel="noreferrer">Open</a>' in shown
    assert "<script>" not in shown
    assert "1 messages" in shown


def test_an_empty_workspace_says_so(slack: SlackStandIn) -> None:
    assert "No message yet." in read(slack.url)


def test_messages_of_an_earlier_run_are_remembered(log: Path) -> None:
    with SlackStandIn(log=log) as slack:
        client = WebClient(DEFAULT_TOKEN, base_url=slack.api_url)
        posted = client.chat_postMessage(channel="#alerts", text="before")
    with log.open("a") as file:
        file.write('{"ts": "1.0", "text": "cut sho')

    with SlackStandIn(log=log) as slack:
        client = WebClient(DEFAULT_TOKEN, base_url=slack.api_url)
        client.chat_postMessage(channel="#alerts", text="after")
        history = client.conversations_history(channel=posted["channel"])

    assert [message["text"] for message in history["messages"]] == ["after", "before"]
    assert json.loads(log.read_text().splitlines()[-1])["text"] == "after"


def test_a_port_in_use_is_one_sentence(slack: SlackStandIn, tmp_path: Path) -> None:
    with pytest.raises(PortInUseError, match=f"port {slack.port} is in use"):
        SlackStandIn(log=tmp_path / "other.jsonl", port=slack.port)


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblemError, match="cannot write its log"):
        SlackStandIn(log=tmp_path)


@pytest.mark.integration
def test_the_process_says_when_it_is_ready_and_ends_when_told(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "simulator.slack", "--port", "0"]
    options = ["--log", str(tmp_path / "slack.jsonl"), "--ready-file", str(ready)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.02)

    facts = json.loads(ready.read_text())
    assert WebClient(DEFAULT_TOKEN, base_url=facts["api_url"]).auth_test()["ok"]
    taken = subprocess.run(
        [*command[:-1], str(facts["port"]), "--log", str(tmp_path / "other.jsonl")],
        capture_output=True,
        text=True,
        check=False,
    )
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=10)

    assert process.returncode == 0
    assert taken.returncode == 1
    assert taken.stderr == (
        f"error: port {facts['port']} is in use, and the Slack stand-in needs it: "
        "stop what holds it, or choose another with --port\n"
    )
