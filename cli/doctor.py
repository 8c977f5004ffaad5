"""`ifd doctor`: what is configured, what is missing, and what that means."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import typer

from cli.common import AsJson, Database, Profile, print_json, settings_for
from config.settings import Settings
from ifd.errors import ConfigurationError, DatabaseError

OK, NOTE, FAILED = "ok", "note", "failed"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `state` is ok, note (works with less) or failed."""

    subject: str
    state: str
    found: str
    meaning: str = ""


def doctor(database: Database = None, profile: Profile = None, as_json: AsJson = False) -> None:
    """Check the set-up and say what is missing. Exit 1 when something cannot work.

    Example: ifd doctor --profile conservative
    """
    settings = settings_for(database, profile)
    findings = [finding for check in CHECKS for finding in check(settings)]
    if as_json:
        print_json([dataclasses.asdict(finding) for finding in findings])
    else:
        _print(findings)
    if any(finding.state == FAILED for finding in findings):
        raise typer.Exit(1)


def _print(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("", "what", "found", "what that means"):
        table.add_column(title)
    marks = {OK: "[green]✓[/]", NOTE: "[yellow]·[/]", FAILED: "[red]✗[/]"}
    for finding in findings:
        table.add_row(marks[finding.state], finding.subject, finding.found, finding.meaning)
    Console().print(table)


def _python(settings: Settings) -> Iterator[Finding]:
    del settings
    yield Finding("Python", OK, f"{platform.python_version()} on {platform.system()}")
    versions = {name: importlib.metadata.version(name) for name in ("sqlalchemy", "fastapi")}
    good = versions["sqlalchemy"] < "2.1" and versions["fastapi"] < "0.151"
    yield Finding(
        "Prefect's libraries",
        OK if good else FAILED,
        ", ".join(f"{name} {version}" for name, version in versions.items()),
        "" if good else "Prefect's scheduler or server breaks on these: install from the lock file",
    )


def _profile(settings: Settings) -> Iterator[Finding]:
    params = settings.engine_params()
    yield Finding("profile", OK, settings.profile, f"parameter fingerprint {params.fingerprint()}")


def _database(settings: Settings) -> Iterator[Finding]:
    from sqlalchemy.engine import make_url

    from models.database import require_current

    shown = make_url(settings.database_url).render_as_string(hide_password=True)
    try:
        require_current(settings.database_url)
    except DatabaseError as error:
        path = make_url(settings.database_url).database
        absent = settings.database_url.startswith("sqlite") and not Path(path or "").exists()
        if absent:
            yield Finding("database", NOTE, f"{shown} is not there yet", "`ifd up` creates it")
        else:
            yield Finding("database", FAILED, shown, str(error))
        return
    yield Finding("database", OK, shown, "migrated to this version")
    yield _baselines(settings)


def _baselines(settings: Settings) -> Finding:
    from models.base import make_engine
    from models.baselines import load_baselines

    engine = make_engine(settings.database_url)
    try:
        baselines = load_baselines(engine, settings.engine_params())
    finally:
        engine.dispose()
    count = 0 if baselines is None else len(baselines)
    if count:
        return Finding("baselines", OK, f"{count:,} statistics")
    return Finding(
        "baselines",
        NOTE,
        "none for this profile's windows",
        "signals have no z-score or percentile until `ifd baselines rebuild` or the nightly flow",
    )


def _databento(settings: Settings) -> Iterator[Finding]:
    if settings.databento_api_key is None:
        yield Finding(
            "DATABENTO_API_KEY", NOTE, "not set", "`ifd up` starts the local, SIMULATED exchange"
        )
        return
    try:
        settings.require_databento_key()
    except ConfigurationError as error:
        yield Finding("DATABENTO_API_KEY", FAILED, "set, but not a key", str(error))
        return
    yield Finding("DATABENTO_API_KEY", OK, "set")
    yield _reach("gateway", settings.feed.gateway_host, settings.feed.port)


def _reach(subject: str, host: str, port: int) -> Finding:
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError as error:
        return Finding(
            subject, FAILED, f"{host}:{port}", f"not reached ({error}): no network, or a firewall"
        )
    return Finding(subject, OK, f"{host}:{port}", "answers")


def _slack(settings: Settings) -> Iterator[Finding]:
    if settings.slack_bot_token is not None:
        state = OK if settings.slack_channel else FAILED
        meaning = "" if settings.slack_channel else "set SLACK_CHANNEL too: where alerts go"
        yield Finding("Slack", state, f"bot token, channel {settings.slack_channel}", meaning)
    elif settings.slack_webhook_url is not None:
        yield Finding("Slack", OK, "webhook", "no threads or updates: those need a bot token")
    else:
        yield Finding(
            "Slack",
            NOTE,
            "no SLACK_BOT_TOKEN or SLACK_WEBHOOK_URL",
            "`ifd up` starts a local stand-in; alerts reach nobody's phone",
        )


def _market(settings: Settings) -> Iterator[Finding]:
    from ifd.clock import SystemClock
    from runtime.market_hours import market_hours

    hours = market_hours(settings.session.hours, SystemClock().now_ns())
    yield Finding(
        "market", OK if hours.is_open else NOTE, "open" if hours.is_open else "closed", hours.reason
    )


def _machine(settings: Settings) -> Iterator[Finding]:
    directory = settings.archive.directory
    existing = next(
        path for path in (directory.absolute(), *directory.absolute().parents) if path.exists()
    )
    free = shutil.disk_usage(existing).free / 1e9
    yield Finding(
        "archive",
        OK if free > 20 else NOTE,
        f"{directory}, {free:,.0f} GB free",
        "" if free > 20 else "little room: every raw record of the day is kept",
    )
    for purpose, port in (
        ("dashboard", settings.dashboard.port),
        ("Prefect", settings.prefect.port),
    ):
        with socket.socket() as probe:
            taken = probe.connect_ex(("127.0.0.1", port)) == 0
        yield Finding(
            f"port {port}",
            NOTE if taken else OK,
            "in use" if taken else "free",
            f"the {purpose}'s: it runs already, or choose another"
            if taken
            else f"for the {purpose}",
        )


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _python,
    _profile,
    _database,
    _databento,
    _slack,
    _market,
    _machine,
)
