"""`ifd up`: every process of the platform on one machine, started in order, stopped in reverse.

What is not configured is embedded: with no Databento key the local exchange serves a simulated
market, with no Slack a local stand-in takes the alerts, and the database is a SQLite file. The
children get what they need through their environment, so that a run which Prefect starts tomorrow
finds the same gateway, database and Slack as the one started now.
"""

from __future__ import annotations

import dataclasses
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.engine import Engine
from sqlmodel import Session, func, select

from config.settings import AlertSettings, Settings
from ifd.clock import SystemClock
from ifd.errors import EnvironmentProblemError
from models.alerts import count_states
from models.base import absolute_url, make_engine, transaction
from models.database import shown, upgrade
from models.market import BarRow
from models.notices import queue_notice
from models.operations import ArchiveFileRow, StreamRunRow
from models.runs import active_run, latest_run, request_stop
from models.signals import NoticeRow
from runtime.children import Child, Program, free_port, require_free_port
from runtime.market_hours import market_hours
from runtime.prefect_services import (
    STREAM_DEPLOYMENT,
    FlowRun,
    PrefectApi,
    api_url,
    server_program,
    worker_program,
)
from runtime.prefect_streams import PrefectRestarts, mend_states
from runtime.summary import summarize
from runtime.supervisor import RunningStream, ask_to_drain, close_run, start_stream
from runtime.watchdog import Watchdog
from simulator.live.control import DEFAULT_KEY
from simulator.slack import DEFAULT_TOKEN

LOCAL_SLACK_CHANNEL: Final = "#ifd-alerts"
HISTORY_MINUTES: Final = 12
"""Minutes of simulated market before now, so that the chart has a past."""
REPLAY_MINUTES: Final = HISTORY_MINUTES + 10
"""Asked for by the stream: from before the simulated open, or its opening orders were missed."""
EPISODE_SECONDS: Final = 20
"""Seconds between planted flows: a demonstration needs more of them than a market has."""
READY_SECONDS: Final = 90.0
DRAIN_SECONDS: Final = 20.0
ALERT_SECONDS: Final = 10.0
WATCH_SECONDS: Final = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Something a person may open."""

    name: str
    address: str


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """What one `ifd up` did: numbers by name, and a sentence for each station that saw nothing."""

    numbers: dict[str, int | str]
    missing: tuple[str, ...]


def _with_dashboard_url(settings: Settings) -> AlertSettings:
    """Return the alert settings with a link to this dashboard, unless another one was set."""
    alerts = settings.alerts
    if "dashboard_url" in alerts.model_fields_set:
        return alerts
    url = f"http://127.0.0.1:{settings.dashboard.port}"
    return alerts.model_copy(update={"dashboard_url": url})


class Platform:
    """All processes of one machine.

    Parameters
    ----------
    settings : Settings
        As loaded; what is missing in them is embedded.
    var : Path
        Directory of what is kept: logs, Prefect's own state, the stand-in's messages.
    say : callable
        Told in one line what happens.
    """

    def __init__(
        self, settings: Settings, *, var: Path, with_prefect: bool, say: Callable[[str], None]
    ) -> None:
        self._var = var.absolute()
        self.simulated = settings.databento_api_key is None
        self.local_slack = settings.slack_bot_token is None and settings.slack_webhook_url is None
        self.settings = settings.model_copy(
            update={
                "database_url": absolute_url(settings.database_url),
                "log_directory": self._var / "log",
                "feed": settings.feed.model_copy(
                    update={"simulated": self.simulated or settings.feed.simulated}
                ),
                "alerts": _with_dashboard_url(settings),
                "session": settings.session.model_copy(
                    update={"hours": "always" if self.simulated else settings.session.hours}
                ),
            }
        )
        self._say = say
        self._clock = SystemClock()
        self._started_ns = self._clock.now_ns()
        self._children: list[Child] = []
        self._api = PrefectApi(api_url(settings)) if with_prefect else None
        self._restarts = None if self._api is None else PrefectRestarts(self._api)
        self._direct: RunningStream | None = None
        self._watchdog: Watchdog | None = None
        self._watch_due = 0.0
        self._answered: str | None = None
        self._slack_url: str | None = None
        self.flow_run: FlowRun | None = None
        self.engine: Engine = make_engine(self.settings.database_url)
        self._environment = {
            "IFD_DATABASE_URL": self.settings.database_url,
            "IFD_PROFILE": settings.profile,
            "IFD_ARCHIVE__DIRECTORY": str(settings.archive.directory.absolute()),
            "IFD_LOG_DIRECTORY": str(self._var / "log"),
            "IFD_PREFECT__PORT": str(settings.prefect.port),
            "IFD_ALERTS__DASHBOARD_URL": self.settings.alerts.dashboard_url,
            "PYTHONUNBUFFERED": "1",
        }

    @property
    def places(self) -> list[Place]:
        """What a person may open, in the order of interest."""
        dashboard = self.settings.dashboard
        places = [Place("dashboard", f"http://{dashboard.host}:{dashboard.port}")]
        if self._api is not None:
            places.append(Place("Prefect", self._api.url.removesuffix("/api")))
        if self._slack_url is not None:
            places.append(Place("Slack stand-in", self._slack_url))
            places.append(Place("its messages", str(self._var / "slack.jsonl")))
        places.append(Place("database", shown(self.settings.database_url)))
        places.append(Place("logs", str(self._var / "log")))
        return places

    def start(self) -> None:
        """Bring everything up; on any failure what was started is stopped again.

        Raises
        ------
        ConfigurationError
            If the Databento key is none.
        PortInUseError
            If the dashboard's or Prefect's port is taken.
        EnvironmentProblemError
            If a program ends or is not ready in time.
        DatabaseError
            If the database cannot be used.
        AlreadyStreamingError
            If the shard streams already (without Prefect; with it the run says so).
        """
        if not self.simulated:
            self.settings.require_databento_key()
        require_free_port(self.settings.dashboard.port, "dashboard", "--port")
        if self._api is not None:
            require_free_port(
                self.settings.prefect.port, "Prefect server", "IFD_PREFECT__PORT=NUMBER"
            )
        done = upgrade(self.settings.database_url)
        if done.before != done.after:
            self._say(f"database migrated to {done.after}")
        try:
            self._start_all()
        except BaseException:
            self._drain("the start failed")
            self._end_children()
            raise

    def _start_all(self) -> None:
        """Start the longest way first: Prefect's server, its worker, the flow, then the stream.

        What is ready sooner starts while the flow's process is being made.
        """
        server = None
        if self._api is not None:
            server = self._start(
                server_program(self.settings, var=self._var, environment=self._environment)
            )
        self._start_embedded()
        if self._api is None:
            self._stream_directly()
        else:
            assert server is not None
            self._stream_through_prefect(self._api, server)
        dashboard = self._start_dashboard()
        dashboard.wait_ready(timeout_seconds=READY_SECONDS)
        self._start_python("alerts", "runtime.alerts")
        self._watchdog = Watchdog(
            self.engine,
            self._alerting(),
            self,
            clock=self._clock,
            since_ns=self._started_ns,
        )

    def _alerting(self) -> Settings:
        """Return the settings with the channel that the children got."""
        if self._slack_url is None:
            return self.settings
        token = SecretStr(DEFAULT_TOKEN)
        return self.settings.model_copy(
            update={"slack_bot_token": token, "slack_channel": LOCAL_SLACK_CHANNEL}
        )

    def _start_dashboard(self) -> Child:
        return self._start_python(
            "dashboard",
            "dashboard",
            *("--host", self.settings.dashboard.host),
            *("--port", str(self.settings.dashboard.port)),
            *(() if self._api is None else ("--prefect-url", self._api.url.removesuffix("/api"))),
            announces=True,
        )

    def _start_embedded(self) -> None:
        """Start what stands in for services that are not configured, and tell the others of it."""
        gateway = slack = None
        exchange_begins_ns = SystemClock().now_ns()
        if self.simulated:
            self._say("no DATABENTO_API_KEY: starting the local exchange, everything is SIMULATED")
            gateway = self._start_python(
                "gateway",
                "simulator",
                # Its port is chosen here: should it die, it must come back on the same one.
                *("--port", str(free_port()), "--key", DEFAULT_KEY),
                *("--history-minutes", str(HISTORY_MINUTES)),
                *("--episode-every", str(EPISODE_SECONDS)),
                announces=True,
            )
        if self.local_slack:
            self._say("no Slack configured: alerts go to a local stand-in")
            slack = self._start_python(
                "slack",
                "simulator.slack",
                *("--port", str(free_port()), "--token", DEFAULT_TOKEN),
                *("--log", str(self._var / "slack.jsonl")),
                announces=True,
            )
        if gateway is not None:
            port = gateway.wait_ready(timeout_seconds=READY_SECONDS)["port"]
            self._environment |= {
                "DATABENTO_API_KEY": DEFAULT_KEY,
                "IFD_FEED__HOST": "127.0.0.1",
                "IFD_FEED__PORT": str(port),
                "IFD_FEED__SIMULATED": "true",
                "IFD_FEED__REPLAY_MINUTES": str(REPLAY_MINUTES),
                # What an earlier exchange traded is not continued by this one.
                "IFD_FEED__RESUME_RUNS_AFTER_NS": str(exchange_begins_ns),
                "IFD_SESSION__HOURS": "always",
            }
        if slack is not None:
            port = slack.wait_ready(timeout_seconds=READY_SECONDS)["port"]
            self._slack_url = f"http://127.0.0.1:{port}"
            self._environment |= {
                "SLACK_API_URL": f"{self._slack_url}/api/",
                "SLACK_BOT_TOKEN": DEFAULT_TOKEN,
                "SLACK_CHANNEL": LOCAL_SLACK_CHANNEL,
            }

    def _stream_through_prefect(self, api: PrefectApi, server: Child) -> None:
        worker = self._start(
            worker_program(self.settings, var=self._var, environment=self._environment)
        )
        api.wait_healthy(timeout_seconds=READY_SECONDS, is_alive=lambda: server.exit_code is None)
        worker.wait_ready(timeout_seconds=READY_SECONDS)
        self.flow_run = api.create_run(
            STREAM_DEPLOYMENT, {"shard": self.settings.feed.shard, "profile": self.settings.profile}
        )
        self._say(f"stream started through Prefect: {api.page_of(self.flow_run)}")

    def was_cancelled(self, run: StreamRunRow) -> bool:
        """Return True when a person cancelled the run in Prefect; asked by the watchdog."""
        return self._restarts is not None and self._restarts.was_cancelled(run)

    def restart(self, run: StreamRunRow) -> None:
        """Start the run's shard again, and follow the new run; asked for by the watchdog."""
        if self._restarts is None:
            self._stream_directly()
        else:
            self._restarts.restart(run)
            self.flow_run = self._restarts.newest

    def _stream_directly(self) -> None:
        hours = market_hours(
            self.settings.session.hours,
            self._clock.now_ns(),
            calendar_file=self.settings.session.calendar_file,
        )
        if not hours.is_open:
            raise EnvironmentProblemError(hours.reason)
        self._direct = start_stream(
            self.engine,
            self.settings,
            now_ns=self._clock.now_ns(),
            session_date=hours.date,
            environment=self._environment,
        )

    def _start_python(self, name: str, *arguments: str, announces: bool = False) -> Child:
        ready = self._var / "run" / f"{name}.json" if announces else None
        if ready is not None:
            ready.parent.mkdir(parents=True, exist_ok=True)
        return self._start(
            Program(
                name=name,
                arguments=[
                    sys.executable,
                    "-m",
                    *arguments,
                    *(() if ready is None else ("--ready-file", str(ready))),
                ],
                log=self._var / "log" / f"{name}.log",
                environment=dict(self._environment),
                ready_file=ready,
            )
        )

    def _start(self, program: Program) -> Child:
        child = Child(program)
        self._children.append(child)
        return child

    def refresh(self) -> None:
        """Look after the children, and after the flow run: to be called about once a second.

        Raises
        ------
        EnvironmentProblemError
            If a program keeps dying.
        """
        for child in self._children:
            word = child.keep_alive()
            if word is not None:
                self._say(word)
                self._tell_operators(child, word)
        if self._api is not None and self.flow_run is not None and not self.flow_run.has_ended:
            try:
                self.flow_run = self._api.flow_run(self.flow_run.id)
            except EnvironmentProblemError as error:  # the stream goes on without the server
                self._say(str(error))
        self._look_after_stream()

    def _look_after_stream(self) -> None:
        if self._watchdog is None or time.monotonic() < self._watch_due:
            return
        self._watch_due = time.monotonic() + WATCH_SECONDS
        try:
            for word in self._watchdog.look():
                self._say(word)
            if self._api is not None:
                for word in mend_states(self.engine, self._api, clock=self._clock):
                    self._say(word)
        except (sa.exc.OperationalError, EnvironmentProblemError) as error:  # the next look may
            self._say(f"the streams were not looked after: {error}")

    def _tell_operators(self, child: Child, word: str) -> None:
        now_ns = self._clock.now_ns()
        notice = NoticeRow(
            notice_key=f"{child.program.name}-{now_ns}",
            title=f"{child.program.name} on {platform.node()}",
            text=word,
            created_ns=now_ns,
        )
        try:
            with transaction(self.engine) as session:
                queue_notice(session, notice, self._alerting().alert_channel)
        except sa.exc.OperationalError as error:
            self._say(f"operators were not told of it: {error.orig}")

    def current_run(self) -> StreamRunRow | None:
        """Return the live run of the shard, or None."""
        with Session(self.engine, expire_on_commit=False) as session:
            return active_run(session, self.settings.feed.shard)

    def why_ended(self) -> str | None:
        """Return why nothing streams any more, or None while something does or is about to."""
        reason = self._end_of_stream()
        if reason is None or self._followed == self._answered:
            return reason
        # Once for each end, at once: the watchdog may start the stream again.
        self._answered = self._followed
        self._watch_due = 0.0
        self._look_after_stream()
        return self._end_of_stream()

    @property
    def _followed(self) -> str | None:
        """Name of the run that is followed."""
        if self._direct is not None:
            return str(self._direct.run_id)
        return None if self.flow_run is None else self.flow_run.id

    def _end_of_stream(self) -> str | None:
        if self._direct is not None:
            code = self._direct.process.poll()
            if code is None:
                return None
            run = close_run(self._direct, self.engine, now_ns=self._clock.now_ns())
            return run.error or f"its process ended with exit code {code}"
        if self.flow_run is None or not self.flow_run.has_ended or self.current_run() is not None:
            return None
        return f"{self.flow_run.state_name}: {self.flow_run.message}"

    def close(self, reason: str) -> Summary:
        """Drain, let the alerts that are owed go out, sum up, and end every process."""
        drained = self._drain(reason)
        if drained:
            self._let_alerts_go()
        summary = self._summarize(drained)
        self._end_children()
        return summary

    def _drain(self, reason: str) -> bool:
        """Ask the stream to stop; wait for it, and for Prefect to have noticed."""
        self._watchdog = None
        request_stop(self.engine, self.settings.feed.shard, reason, now_ns=self._clock.now_ns())
        if self._direct is not None:
            drained = ask_to_drain(self._direct.process, wait_seconds=DRAIN_SECONDS)
            if drained:
                close_run(self._direct, self.engine, now_ns=self._clock.now_ns())
            return drained
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline:
            self.refresh()
            noticed = self.flow_run is None or self.flow_run.has_ended
            if noticed and self.current_run() is None:
                break
            time.sleep(0.2)
        return self.current_run() is None

    def _let_alerts_go(self) -> None:
        deadline = time.monotonic() + ALERT_SECONDS
        while time.monotonic() < deadline:
            states = count_states(self.engine)
            if not states.get("pending") and not states.get("sending"):
                return
            time.sleep(0.1)

    def _summarize(self, drained: bool) -> Summary:
        with Session(self.engine, expire_on_commit=False) as session:
            run = latest_run(session)
            if run is None or run.started_ns < self._started_ns:
                return Summary({}, ("no stream ran",))
            assert run.id is not None
            bars = session.exec(
                select(func.count()).where(BarRow.updated_ns >= self._started_ns)
            ).one()
            archived = session.exec(
                select(func.coalesce(func.sum(ArchiveFileRow.records), 0)).where(
                    ArchiveFileRow.run_id == run.id
                )
            ).one()
        done = summarize(self.engine, run.id)
        numbers: dict[str, int | str] = {
            "source": run.source,
            "records": run.records,
            "records_archived": int(archived),
            "candles": bars,
            "windows": run.windows,
            "signals": run.signals,
            "alerts_sent": done.alerts.get("sent", 0),
            "gaps": run.gaps,
            "queue_high_water": run.queue_high_water,
            "memory_mb": round(run.peak_rss_bytes / 1e6),
            "seconds": round(done.seconds),
            "status": run.status,
        }
        missing = [
            f"the {station} saw nothing"
            for station, count in (
                ("feed", run.records),
                ("archive", archived),
                ("chart", bars),
                ("windows", run.windows),
                ("detection", run.signals),
                ("alerts", numbers["alerts_sent"]),
            )
            if not count
        ]
        if not drained or run.status != "drained":
            missing.append(f"the stream did not drain: {run.error or run.status}")
        missing += [
            f"the {child.program.name} does not run: {child.last_words()}"
            for child in self._children
            if child.exit_code is not None
        ]
        return Summary(numbers, tuple(missing))

    def _end_children(self) -> None:
        for child in reversed(self._children):
            child.stop()
        self._children.clear()
        if self._api is not None:
            self._api.close()
        self.engine.dispose()
