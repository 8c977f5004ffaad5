"""The alert worker: takes what the outbox owes, sends it to Slack, notes what became of it.

A process of its own, so that a slow Slack never delays a signal. It ends on SIGTERM or SIGINT after
the message in hand. Killed at any moment it loses nothing and doubles nothing: see `models.alerts`
for the states and `sinks.delivery` for what each answer allows.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Engine

from config.settings import AlertSettings, load_settings
from ifd.clock import Clock, SystemClock
from ifd.errors import ConfigurationError, IfdError
from ifd.units import NANOS_PER_MILLISECOND, NANOS_PER_SECOND
from models import alerts, gates
from models.base import make_engine, transaction
from models.database import require_current
from models.operations import HealthSampleRow
from models.watch import CommitWatch
from sinks.delivery import Delivery, Verdict
from sinks.messages import SlackMessage, notice_message, signal_message
from sinks.pacing import ChannelPace
from sinks.slack import LOOPBACK, Sender, make_sender

log = structlog.get_logger("alerts")

LEASE_NS: Final = 30 * NANOS_PER_SECOND
"""Three times as long as a request may take."""
SETTLE_NS: Final = 5 * NANOS_PER_SECOND
"""An answer was lost: give Slack this long before asking whether the message is there."""
LONGEST_WAIT_NS: Final = 300 * NANOS_PER_SECOND
HEALTH_NS: Final = 5 * NANOS_PER_SECOND
SQLITE_POLL_SECONDS: Final = 0.05
POSTGRES_POLL_SECONDS: Final = 0.1
DATABASE_WAIT_SECONDS: Final = 1.0


class AlertWorker:
    """Delivers alerts one at a time; `sender` is None while Slack is not set up.

    `flow_run_page` returns where Prefect shows the run with this id, None when it shows none.
    """

    def __init__(
        self,
        engine: Engine,
        sender: Sender | None,
        settings: AlertSettings,
        *,
        clock: Clock,
        flow_run_page: Callable[[str | None], str | None],
        lease_ns: int = LEASE_NS,
        settle_ns: int = SETTLE_NS,
    ) -> None:
        self._engine = engine
        self._sender = sender
        self._settings = settings
        self._clock = clock
        self._flow_run_page = flow_run_page
        self._lease_ns = lease_ns
        self._settle_ns = settle_ns
        self._paces: dict[str, ChannelPace] = {}
        self._watch = CommitWatch(engine) if engine.dialect.name == "sqlite" else None
        self._look_ns = 0
        self._health_ns = 0
        self._delivery_ms: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; a database that goes away is waited for."""
        idle_seconds = POSTGRES_POLL_SECONDS if self._watch is None else SQLITE_POLL_SECONDS
        while not stop.is_set():
            try:
                worked = self.step()
            except sa.exc.OperationalError as error:
                log.warning("database away", error=str(error.orig))
                stop.wait(DATABASE_WAIT_SECONDS)
                continue
            if not worked:
                stop.wait(idle_seconds)

    def step(self) -> bool:
        """Deliver or look up one alert; return False when none is due."""
        now_ns = self._clock.now_ns()
        if now_ns >= self._health_ns:
            self._health_ns = now_ns + HEALTH_NS
            self._expire_held(now_ns)
            self._write_health(now_ns)
        if self._sender is None or not self._may_have_work(now_ns):
            return False
        resting = [name for name, pace in self._paces.items() if now_ns < pace.ready_at_ns()]
        claim = alerts.claim_due(
            self._engine, now_ns=now_ns, lease_ns=self._lease_ns, without=resting
        )
        if claim is None:
            self._plan_next_look(resting)
            return False
        self._look_ns = 0
        self._pace(claim.alert.channel).take(now_ns)
        self._handle(self._sender, claim)
        return True

    def close(self) -> None:
        """Give back the connection that watches the database."""
        if self._watch is not None:
            self._watch.close()

    def _may_have_work(self, now_ns: int) -> bool:
        if self._watch is None:
            return True
        return self._watch.has_changed() or now_ns >= self._look_ns

    def _plan_next_look(self, resting: list[str]) -> None:
        if self._watch is not None:
            wake_ns = [self._paces[name].ready_at_ns() for name in resting]
            self._look_ns = min([alerts.next_due_ns(self._engine, without=resting), *wake_ns])

    def _pace(self, channel: str) -> ChannelPace:
        if channel not in self._paces:
            self._paces[channel] = ChannelPace(
                per_second=self._settings.messages_per_second, burst=self._settings.burst
            )
        return self._paces[channel]

    def _handle(self, sender: Sender, claim: alerts.Claim) -> None:
        message = self._message(claim)
        if claim.uncertain:
            delivery = self._look_up(sender, claim, message)
        else:
            delivery = sender.send(message, claim.alert.channel)
        self._settle_patiently(sender, claim, delivery)
        tell = log.info if delivery.verdict is Verdict.DELIVERED else log.warning
        tell(
            "alert " + delivery.verdict.value,
            signal_id=claim.alert.signal_id,
            notice_key=claim.alert.notice_key,
            channel=claim.alert.channel,
            attempt=claim.alert.attempts,
            reason=delivery.reason,
        )

    def _message(self, claim: alerts.Claim) -> SlackMessage:
        if claim.notice is not None:
            return notice_message(claim.notice)
        assert claim.signal is not None
        return signal_message(
            claim.signal,
            kind=claim.alert.kind,
            dashboard_url=self._settings.dashboard_url,
            now_ns=self._clock.now_ns(),
            max_age_ns=self._settings.max_age_seconds * NANOS_PER_SECOND,
            multiplier=claim.multiplier,
            flow_run_url=self._flow_run_page(claim.flow_run_id),
        )

    def _look_up(self, sender: Sender, claim: alerts.Claim, message: SlackMessage) -> Delivery:
        if not sender.finds:
            return Delivery(
                Verdict.UNCERTAIN,
                "perhaps delivered: the worker ended while it was sending, and a webhook cannot "
                "look it up; see the channel",
            )
        found = sender.find(message, claim.alert.channel, since_ns=claim.alert.created_ns)
        if found.verdict in (Verdict.DELIVERED, Verdict.ABSENT):
            return found
        # Whatever kept us from looking, the alert is as unknown as it was.
        return Delivery(
            Verdict.UNCERTAIN,
            f"perhaps delivered, not looked up yet: {found.reason}",
            retry_after_seconds=found.retry_after_seconds,
        )

    def _settle_patiently(self, sender: Sender, claim: alerts.Claim, delivery: Delivery) -> None:
        """Write down the outcome; while the lease lasts, a database that is away is waited for."""
        deadline_ns = self._clock.now_ns() + self._lease_ns // 2
        while True:
            try:
                self._settle(sender, claim, delivery)
            except sa.exc.OperationalError as error:
                if self._clock.now_ns() > deadline_ns:
                    raise
                log.warning("outcome not written yet", error=str(error.orig))
                time.sleep(DATABASE_WAIT_SECONDS)
            else:
                return

    def _settle(self, sender: Sender, claim: alerts.Claim, delivery: Delivery) -> None:
        engine, alert, reason = self._engine, claim.alert, delivery.reason
        now_ns = self._clock.now_ns()
        pace = self._pace(alert.channel)
        exhausted = alert.attempts >= self._settings.max_attempts
        match delivery.verdict:
            case Verdict.DELIVERED:
                pace.recovered()
                self._delivery_ms = (now_ns - alert.created_ns) / NANOS_PER_MILLISECOND
                alerts.mark_sent(engine, alert, message_ts=delivery.message_ts, now_ns=now_ns)
            case Verdict.LIMITED:
                wait_ns = round((delivery.retry_after_seconds or 0) * NANOS_PER_SECOND)
                pace.rest(now_ns + wait_ns)
                alerts.put_back(
                    engine, alert, next_try_ns=now_ns + wait_ns, error=reason, counted=False
                )
            case Verdict.UNREACHABLE | Verdict.MISCONFIGURED:
                pace.rest_after_trouble(now_ns)
                alerts.put_back(engine, alert, next_try_ns=now_ns, error=reason, counted=False)
            case Verdict.UNCERTAIN:
                alerts.mark_unknown(
                    engine, alert, look_up_ns=self._look_up_ns(sender, claim, now_ns), error=reason
                )
            case Verdict.REFUSED:
                alerts.mark_failed(engine, alert, error=reason)
            case _ if exhausted:  # not delivered, or looked for and absent
                alerts.mark_failed(
                    engine, alert, error=f"given up after {alert.attempts} attempts: {reason}"
                )
            case Verdict.NOT_DELIVERED:
                next_ns = now_ns + _backoff_ns(alert.attempts)
                alerts.put_back(engine, alert, next_try_ns=next_ns, error=reason, counted=True)
            case Verdict.ABSENT:
                alerts.put_back(engine, alert, next_try_ns=now_ns, error=None, counted=True)

    def _look_up_ns(self, sender: Sender, claim: alerts.Claim, now_ns: int) -> int:
        if not sender.finds:
            return alerts.NEVER
        if not claim.uncertain:
            return now_ns + self._settle_ns
        return now_ns + _backoff_ns(claim.alert.attempts + 2)

    def _expire_held(self, now_ns: int) -> None:
        limit_ns = self._settings.max_held_seconds * NANOS_PER_SECOND
        expired = gates.expire_held(self._engine, now_ns=now_ns, max_held_ns=limit_ns)
        if expired:
            log.warning("alerts expired while they were held", alerts=expired)

    def _write_health(self, now_ns: int) -> None:
        with transaction(self._engine) as session:
            session.add(
                HealthSampleRow(
                    ts_ns=now_ns,
                    component="alerts",
                    metrics={
                        **alerts.count_states(self._engine),
                        "configured": self._sender is not None,
                        "last_delivery_ms": self._delivery_ms,
                    },
                )
            )


def _backoff_ns(attempts: int) -> int:
    return min(NANOS_PER_SECOND << 2 * (attempts - 1), LONGEST_WAIT_NS)


def _reach_this_machine_directly() -> None:
    # Where a proxy is set for the web, a stand-in on this machine is not behind it.
    for name in ("no_proxy", "NO_PROXY"):
        others = [os.environ[name]] if os.environ.get(name) else []
        os.environ[name] = ",".join([*others, *LOOPBACK])


def main() -> int:
    """Run the worker until SIGTERM or SIGINT; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runtime.alerts", description=__doc__)
    parser.add_argument("--database", default=None)
    parser.add_argument("--profile", default=None)
    arguments = parser.parse_args()
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    try:
        _work(arguments.profile, arguments.database, stop)
    except IfdError as error:
        log.error("alerts stopped", reason=str(error))  # noqa: TRY400 a sentence, no traceback
        return 2 if isinstance(error, ConfigurationError) else 1
    return 0


def _work(profile: str | None, database_url: str | None, stop: threading.Event) -> None:
    settings = load_settings(profile=profile, database_url=database_url)
    require_current(settings.database_url)
    _reach_this_machine_directly()
    sender = make_sender(settings)
    if sender is None:
        log.warning(
            "no alert is sent, they wait in the outbox: set SLACK_BOT_TOKEN and SLACK_CHANNEL, "
            "or SLACK_WEBHOOK_URL, and start again"
        )
    engine = make_engine(settings.database_url)
    worker = AlertWorker(
        engine,
        sender,
        settings.alerts,
        clock=SystemClock(),
        flow_run_page=settings.prefect.flow_run_page,
    )
    log.info("alerts started", channel=settings.alert_channel)
    worker.run(stop)
    worker.close()
    engine.dispose()
    log.info("alerts ended")


if __name__ == "__main__":
    sys.exit(main())
