"""From the outbox to Slack: every alert arrives, none arrives twice, whatever goes wrong."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from config.settings import AlertSettings, PrefectSettings
from ifd.clock import ManualClock, SystemClock
from ifd.signals import Signal
from ifd.units import NANOS_PER_SECOND
from models import alerts
from models.base import transaction
from models.operations import HealthSampleRow, StreamRunRow
from models.runs import claim_run
from models.signals import AlertOutboxRow, SignalRow
from models.validations import store_validation
from runtime.alerts import LEASE_NS, AlertWorker
from simulator.slack import DEFAULT_TOKEN, SlackStandIn
from simulator.slack_workspace import Fault
from sinks.slack import BotSender, Sender, WebhookSender
from tests.checks import failed_check
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

FAULTS = [
    Fault("rate_limited", times=3, retry_after=2),
    Fault("server_error", method="chat.postMessage"),
    Fault("server_error_after", method="chat.postMessage"),
    Fault("close", method="chat.postMessage"),
    Fault("close_after", method="chat.postMessage"),
    Fault("hang_after", method="chat.postMessage", seconds=1.5),
    Fault("error", times=4, error="invalid_auth"),
    Fault("error", times=2, error="service_unavailable"),
]
FAST = AlertSettings(messages_per_second=1_000, burst=1_000)


@pytest.fixture
def slack(tmp_path: Path) -> Iterator[SlackStandIn]:
    with SlackStandIn(log=tmp_path / "slack.jsonl") as stand_in:
        yield stand_in


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(SystemClock().now_ns())


@pytest.fixture
def owe(engine: Engine, make_signal: Callable[..., Signal]) -> Callable[..., None]:
    def owe(*names: str, channel: str = "#alerts") -> None:
        now_ns = SystemClock().now_ns()
        with transaction(engine) as session:
            for name in names:
                row = SignalRow.from_signal(
                    make_signal(signal_id=name), source="simulated", committed_ns=now_ns
                )
                stored = alerts.store_signals(session, [row])
                alerts.queue_alerts(session, stored, channel, now_ns=now_ns)

    return owe


def bot(slack: SlackStandIn, token: str = DEFAULT_TOKEN) -> BotSender:
    return BotSender(token, api_url=slack.api_url, channel="#alerts", timeout_seconds=1)


def deliver(
    engine: Engine,
    sender: Sender | None,
    clock: ManualClock,
    *,
    settings: AlertSettings = FAST,
    seconds: int = 3_600,
) -> None:
    """Let a worker live through `seconds`, without waiting for them."""
    worker = AlertWorker(
        engine,
        sender,
        settings,
        clock=clock,
        flow_run_page=PrefectSettings(port=4200).flow_run_page,
    )
    end_ns = clock.now_ns() + seconds * NANOS_PER_SECOND
    while clock.now_ns() < end_ns:
        if not worker.step():
            clock.advance_to(clock.now_ns() + NANOS_PER_SECOND // 2)
            if alerts.next_due_ns(engine) == alerts.NEVER:
                break
    worker.close()


def arrived(slack: SlackStandIn) -> Counter[str]:
    return Counter(
        message["metadata"]["event_payload"]["signal_id"] for message in slack.workspace.messages
    )


def outbox(engine: Engine) -> list[AlertOutboxRow]:
    with Session(engine) as session:
        return list(session.exec(select(AlertOutboxRow).order_by(col(AlertOutboxRow.id))))


def test_an_alert_owed_is_sent_and_said_to_be(
    engine: Engine, slack: SlackStandIn, clock: ManualClock, owe: Callable[..., None]
) -> None:
    owe("a")

    deliver(engine, bot(slack), clock)

    (row,) = outbox(engine)
    (message,) = slack.workspace.messages
    assert (row.state, row.message_ts, row.attempts, row.error) == ("sent", message["ts"], 1, None)
    assert message["blocks"][0]["text"]["text"].startswith("SIMULATED · BUY pressure")


def test_a_signal_that_a_flow_run_found_leads_to_it(
    engine: Engine, slack: SlackStandIn, clock: ManualClock, make_signal: Callable[..., Signal]
) -> None:
    now_ns = clock.now_ns()
    run = StreamRunRow(
        shard="nq",
        session_date="2025-11-24",
        profile="default",
        source="simulated",
        params_fingerprint="0",
        status="streaming",
        flow_run_id="0b8e-run",
        started_ns=now_ns,
        heartbeat_ns=now_ns,
    )
    run_id = claim_run(engine, run, now_ns=now_ns)
    with transaction(engine) as session:
        row = SignalRow.from_signal(
            make_signal(signal_id="a"), source="simulated", committed_ns=now_ns, run_id=run_id
        )
        alerts.queue_alerts(session, alerts.store_signals(session, [row]), "#alerts", now_ns=now_ns)

    deliver(engine, bot(slack), clock)

    (message,) = slack.workspace.messages
    links = message["blocks"][3]["text"]["text"]
    assert "<http://127.0.0.1:4200/runs/flow-run/0b8e-run|Open its run in Prefect>" in links


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.name}-{fault.error}")
def test_an_alert_arrives_once_whatever_slack_does(
    engine: Engine,
    slack: SlackStandIn,
    clock: ManualClock,
    owe: Callable[..., None],
    fault: Fault,
) -> None:
    owe("a", "b", "c")
    slack.workspace.inject(fault)

    deliver(engine, bot(slack), clock)

    assert arrived(slack) == Counter(("a", "b", "c"))
    assert {row.state for row in outbox(engine)} == {"sent"}
    assert all(row.message_ts for row in outbox(engine))


@pytest.mark.parametrize("seed", range(5))
def test_forty_alerts_arrive_once_through_a_storm_of_faults(
    engine: Engine, slack: SlackStandIn, clock: ManualClock, owe: Callable[..., None], seed: int
) -> None:
    names = [f"signal {number}" for number in range(40)]
    owe(*names)
    chance = random.Random(seed)
    kinds = ("rate_limited", "server_error", "server_error_after", "close", "close_after", "error")
    for name in chance.choices(kinds, k=40):
        method = chance.choice(("chat.postMessage", "chat.postMessage", "conversations.history"))
        slack.workspace.inject(Fault(name, method=method))

    deliver(engine, bot(slack), clock, settings=FAST.model_copy(update={"max_attempts": 50}))

    assert arrived(slack) == Counter(names)
    assert {row.state for row in outbox(engine)} == {"sent"}


def test_a_worker_killed_while_sending_is_followed_by_one_that_looks_first(
    engine: Engine,
    slack: SlackStandIn,
    clock: ManualClock,
    owe: Callable[..., None],
    tmp_path: Path,
) -> None:
    owe("a", "b")
    slack.workspace.inject(Fault("hang_after", method="chat.postMessage", seconds=30))
    process = start_worker(engine, slack)
    wait_until(lambda: len(slack.workspace.messages) == 1)

    process.kill()
    process.communicate()
    assert outbox(engine)[0].state == "sending"
    clock.advance_to(SystemClock().now_ns() + LEASE_NS)
    deliver(engine, bot(slack), clock)

    assert arrived(slack) == Counter(("a", "b"))
    assert {row.state for row in outbox(engine)} == {"sent"}


def test_a_worker_told_to_end_finishes_the_message_in_hand(
    engine: Engine, slack: SlackStandIn, owe: Callable[..., None]
) -> None:
    owe("a", "b")
    slack.workspace.inject(Fault("slow", seconds=1.0))
    process = start_worker(engine, slack)
    wait_until(lambda: "chat.postMessage" in slack.workspace.calls)

    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=10)[0]

    assert process.returncode == 0, said
    assert arrived(slack) == Counter("a")
    assert [row.state for row in outbox(engine)] == ["sent", "pending"]


def test_an_idle_worker_ends_at_once_and_sends_what_comes_later(
    engine: Engine, slack: SlackStandIn, owe: Callable[..., None]
) -> None:
    process = start_worker(engine, slack)
    wait_until(lambda: bool(health(engine)))
    owe("late comer")

    wait_until(lambda: outbox(engine)[0].state == "sent")
    (row,) = outbox(engine)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)

    assert row.sent_ns is not None
    assert (row.sent_ns - row.created_ns) / 1e9 < 2
    assert process.returncode == 0


def test_a_channel_is_sent_a_burst_and_then_one_a_second(
    engine: Engine, slack: SlackStandIn, clock: ManualClock, owe: Callable[..., None]
) -> None:
    owe(*(f"signal {number}" for number in range(8)))

    deliver(engine, bot(slack), clock, settings=AlertSettings(), seconds=2)
    assert 4 <= len(slack.workspace.messages) <= 5  # a burst of three, then one a second
    deliver(engine, bot(slack), clock, settings=AlertSettings())

    assert len(slack.workspace.messages) == 8


def test_a_rate_limit_is_waited_out(
    engine: Engine, slack: SlackStandIn, clock: ManualClock, owe: Callable[..., None]
) -> None:
    owe("a", "b")
    slack.workspace.inject(Fault("rate_limited", retry_after=60))

    deliver(engine, bot(slack), clock, seconds=59)
    assert len(slack.workspace.calls) == 1
    deliver(engine, bot(slack), clock, seconds=5)

    assert arrived(slack) == Counter(("a", "b"))


def test_a_webhook_that_lost_an_answer_is_not_used_again_for_that_alert(
    engine: Engine, slack: SlackStandIn, clock: ManualClock, owe: Callable[..., None]
) -> None:
    owe("a", "b", channel="webhook")
    slack.workspace.inject(Fault("close_after"))

    deliver(engine, WebhookSender(slack.webhook_url), clock)

    first, second = outbox(engine)
    assert arrived(slack) == Counter(("a", "b"))
    assert (first.state, second.state) == ("unknown", "sent")
    assert first.error is not None
    assert "no answer" in first.error


def test_a_webhook_alert_left_over_by_a_crash_is_said_to_be_unknown(
    engine: Engine, slack: SlackStandIn, clock: ManualClock, owe: Callable[..., None]
) -> None:
    owe("a", channel="webhook")
    now_ns = SystemClock().now_ns()
    assert alerts.claim_due(engine, now_ns=now_ns, lease_ns=LEASE_NS)  # and the worker dies

    deliver(engine, WebhookSender(slack.webhook_url), clock)

    (row,) = outbox(engine)
    assert slack.workspace.messages == []
    assert row.state == "unknown"
    assert "a webhook cannot look it up" in str(row.error)


def test_a_wrong_token_keeps_every_alert_until_it_is_mended(
    engine: Engine, slack: SlackStandIn, clock: ManualClock, owe: Callable[..., None]
) -> None:
    owe("a", "b")

    deliver(engine, bot(slack, token="xoxb-old"), clock, seconds=300)
    waiting = outbox(engine)
    deliver(engine, bot(slack), clock)

    assert [row.state for row in waiting] == ["pending", "pending"]
    assert waiting[0].error == "Slack answered invalid_auth"
    assert slack.workspace.calls.count("chat.postMessage") < 15
    assert arrived(slack) == Counter(("a", "b"))


def test_held_alerts_go_out_when_the_checks_pass_and_expire_when_they_do_not(
    engine: Engine, slack: SlackStandIn, clock: ManualClock, owe: Callable[..., None]
) -> None:
    owe("a")
    judge(engine, success=False)

    deliver(engine, bot(slack), clock, seconds=10)
    assert not arrived(slack)

    judge(engine, success=True)
    deliver(engine, bot(slack), clock, seconds=10)
    assert arrived(slack) == Counter("a")

    owe("b")
    judge(engine, success=False)
    clock.advance_to(clock.now_ns() + (FAST.max_held_seconds + 60) * NANOS_PER_SECOND)
    deliver(engine, bot(slack), clock, seconds=10)
    judge(engine, success=True)
    deliver(engine, bot(slack), clock, seconds=10)

    assert arrived(slack) == Counter("a")
    sent, expired = outbox(engine)
    assert (sent.state, expired.state) == ("sent", "expired")
    assert expired.error == "held until it was too old to act on: sizes_are_positive had failed"


def judge(engine: Engine, *, success: bool) -> None:
    """Let a critical check of the signals' session pass or fail."""
    made = failed_check(success=success)
    store_validation(engine, [made], now_ns=1, channel=None)


def test_an_alert_that_never_gets_through_is_given_up_with_its_reason(
    engine: Engine, slack: SlackStandIn, clock: ManualClock, owe: Callable[..., None]
) -> None:
    owe("a", channel="webhook")
    slack.workspace.inject(Fault("server_error", times=100))

    deliver(engine, WebhookSender(slack.webhook_url), clock)

    (row,) = outbox(engine)
    assert (row.state, row.attempts) == ("failed", AlertSettings().max_attempts)
    assert row.error == "given up after 8 attempts: Slack answered 500"


def test_without_slack_alerts_wait_and_health_says_so(
    engine: Engine, clock: ManualClock, owe: Callable[..., None]
) -> None:
    owe("a")

    deliver(engine, None, clock, seconds=11)

    (row,) = outbox(engine)
    assert (row.state, row.attempts) == ("pending", 0)
    assert len(health(engine)) == 3
    assert health(engine)[-1] == {
        "pending": 1,
        "sending": 0,
        "sent": 0,
        "unknown": 0,
        "failed": 0,
        "expired": 0,
        "configured": False,
        "last_delivery_ms": None,
    }


def test_a_worker_without_a_database_says_one_sentence(sqlite_url: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "runtime.alerts", "--database", sqlite_url],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert "there is no database" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def health(engine: Engine) -> list[dict[str, object]]:
    with Session(engine) as session:
        return list(
            session.exec(
                select(HealthSampleRow.metrics)
                .where(HealthSampleRow.component == "alerts")
                .order_by(col(HealthSampleRow.id))
            )
        )


def start_worker(engine: Engine, slack: SlackStandIn) -> subprocess.Popen[str]:
    url = engine.url.render_as_string(hide_password=False)
    environment = {
        "SLACK_BOT_TOKEN": DEFAULT_TOKEN,
        "SLACK_CHANNEL": "#alerts",
        "SLACK_API_URL": slack.api_url,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "runtime.alerts", "--database", url],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
