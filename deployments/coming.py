"""The coming runs of every deployment, as Prefect's own scheduler will make them.

prefect.yaml is read with the rules its build step would fill in, and each schedule is asked through
Prefect's class for it. No server is needed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from deployments.steps import ROOT, session_schedules
from ifd.units import ns_from_datetime, utc_from_ns

_PLACEHOLDER: Final = re.compile(r"\{\{ sessions\.(\w+) \}\}")
_STEP: Final = "deployments.steps.session_schedules"


@dataclasses.dataclass(frozen=True, slots=True)
class ComingRun:
    """One run that is due: `slug` names its schedule, `parameters` are what the schedule sets."""

    deployment: str
    slug: str
    at_ns: int
    parameters: Mapping[str, Any]  # Any: whatever JSON a flow takes


def coming_runs(now_ns: int, *, days: int) -> list[ComingRun]:
    """Return the runs of every deployment from `now_ns` on, in time order."""
    document = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    rules = _rules(document)
    runs = [
        ComingRun(
            deployment["name"], given["slug"], ns_from_datetime(at), given.get("parameters", {})
        )
        for deployment in document["deployments"]
        for given in deployment.get("schedules", [])
        for at in _moments(given, rules, utc_from_ns(now_ns), days)
    ]
    return sorted(runs, key=lambda run: (run.at_ns, run.deployment, run.slug))


def _rules(document: Mapping[str, Any]) -> dict[str, str]:
    # Any: the document as YAML has it.
    for step in document["build"]:
        if _STEP in step:
            asked = {name: value for name, value in step[_STEP].items() if name != "id"}
            return session_schedules(**asked)
    return {}


def _moments(
    given: Mapping[str, Any], rules: Mapping[str, str], start: dt.datetime, days: int
) -> Iterator[dt.datetime]:
    # Imported here: it takes two seconds.
    from prefect.server.schemas.schedules import CronSchedule, RRuleSchedule

    zone = given["timezone"]
    kind = "rrule" if "rrule" in given else "cron"
    text = _PLACEHOLDER.sub(lambda found: rules[found[1]], given[kind])
    schedule: CronSchedule | RRuleSchedule = (
        RRuleSchedule(rrule=text, timezone=zone)
        if kind == "rrule"
        else CronSchedule(cron=text, timezone=zone)
    )
    # Prefect looks at a thousand moments at most; a rule is read from its beginning each time.
    step = dt.timedelta(days=7) if kind == "rrule" else dt.timedelta(hours=12)
    end = start + dt.timedelta(days=days)
    first = start
    while first < end:
        last = min(first + step, end) - dt.timedelta(microseconds=1)
        yield from asyncio.run(schedule.get_dates(n=1_000, start=first, end=last))
        first += step
