"""Check a session, or the last minutes of a stream: measure, judge, store, move the gate."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy.engine import Engine
from sqlmodel import Session

from config.settings import Settings
from ifd.clock import Clock
from ifd.gateway.historical import HistoricalSource
from ifd.units import NANOS_PER_SECOND, utc_from_ns
from models.operations import StreamRunRow
from models.quality import QualityResultRow
from models.quality_results import CRITICAL, INFO, forget_results, is_failed_critical
from models.runs import active_run
from models.validations import Judged, store_validation
from runtime.quality.batches import STREAM
from runtime.quality.recent import stream_batch
from runtime.quality.session import SessionBatches
from tasks.quality.validator import Validator, docs_name, prune_docs

_DAY_NS: Final = 86_400 * NANOS_PER_SECOND


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    """One validation: its results, what it did to the gate, and where its Data Docs are."""

    shard: str
    session_date: str
    results: tuple[QualityResultRow, ...]
    judged: Judged
    docs: Path | None

    @property
    def has_failed(self) -> bool:
        """True when a critical check failed."""
        return any(map(is_failed_critical, self.results))


def check_session(
    settings: Settings,
    engine: Engine,
    date: str,
    *,
    clock: Clock,
    source: HistoricalSource | None = None,
    link: str | None = None,
    on_share: Callable[[float], None] = lambda _share: None,
) -> Checked:
    """Check everything of one session of a shard; old Data Docs and results are deleted.

    Raises
    ------
    NothingArchivedError
        If nothing of the session was ever archived.
    """
    quality, now_ns = settings.quality, clock.now_ns()
    validator = _validator(settings, date, now_ns)
    made = SessionBatches(settings, engine, date, clock=clock, source=source).make(on_share)
    results = [row for batch in made for row in validator.validate(batch)]
    folder = docs_name(date, settings.feed.shard, utc_from_ns(now_ns))
    docs = validator.write_docs(quality.docs_directory / folder)
    prune_docs(quality.docs_directory, now_ns=now_ns, keep_days=quality.keep_days)
    forget_results(engine, before_ns=now_ns - quality.keep_days * _DAY_NS)
    judged = store_validation(
        engine,
        results,
        now_ns=now_ns,
        channel=settings.alert_channel,
        link=link,
        replaces=None if _is_streaming(engine, settings, date) else STREAM,
    )
    return Checked(settings.feed.shard, date, tuple(results), judged, docs)


def check_stream(
    settings: Settings,
    engine: Engine,
    run: StreamRunRow,
    *,
    clock: Clock,
    link: str | None = None,
) -> Checked:
    """Check the last minutes of a running stream; seconds, of which few are the checks' own."""
    now_ns = clock.now_ns()
    validator = _validator(settings, run.session_date, now_ns)
    results = validator.validate(stream_batch(engine, settings, run, now_ns=now_ns))
    judged = store_validation(
        engine, results, now_ns=now_ns, channel=settings.alert_channel, link=link
    )
    return Checked(settings.feed.shard, run.session_date, tuple(results), judged, None)


def headline(checked: Checked) -> str:
    """Return one sentence: how many checks were made, what failed, what that means."""
    made = [row for row in checked.results if row.severity != INFO]
    failed = [row for row in made if not row.success]
    words = f"{len(made) - len(failed)} of {len(made)} checks passed"
    for severity in (CRITICAL, "warning"):
        names = dict.fromkeys(row.check_name for row in failed if row.severity == severity)
        if names:
            words += f"; {severity}: {', '.join(names)}"
    absent = [row.suite for row in checked.results if row.severity == INFO and not row.success]
    if absent:
        words += f"; not made: {', '.join(absent)}"
    return f"{words}. Alerts of the session are held" if checked.judged.is_held else words


def _validator(settings: Settings, date: str, now_ns: int) -> Validator:
    return Validator(
        settings.quality,
        validation_id=uuid.uuid4().hex,
        shard=settings.feed.shard,
        session_date=date,
        checked_ns=now_ns,
    )


def _is_streaming(engine: Engine, settings: Settings, date: str) -> bool:
    with Session(engine) as session:
        run = active_run(session, settings.feed.shard)
    return run is not None and run.session_date == date
