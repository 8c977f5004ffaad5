"""What a stream did, read from its row and tables, as rows and Markdown for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, func, select

from ifd.units import NANOS_PER_SECOND
from models.operations import GapRow, StreamRunRow
from models.signals import AlertOutboxRow, SignalRow
from runtime.market_hours import new_york


@dataclasses.dataclass(frozen=True, slots=True)
class StreamSummary:
    """One run, its alerts by state, its signals by tier, and its gaps in time order."""

    run: StreamRunRow
    alerts: dict[str, int]
    tiers: dict[str, int]
    gaps: Sequence[GapRow]

    @property
    def seconds(self) -> float:
        """How long the run lasted, or has lasted by its last heartbeat."""
        end_ns = self.run.ended_ns or self.run.heartbeat_ns
        return (end_ns - self.run.started_ns) / NANOS_PER_SECOND


def summarize(engine: Engine, run_id: int) -> StreamSummary:
    """Return what run `run_id` did so far."""
    with Session(engine, expire_on_commit=False) as session:
        return StreamSummary(
            run=session.get_one(StreamRunRow, run_id),
            alerts=_counts(
                session,
                sa.select(col(AlertOutboxRow.state), func.count())
                .join(SignalRow, col(SignalRow.signal_id) == col(AlertOutboxRow.signal_id))
                .where(col(SignalRow.run_id) == run_id)
                .group_by(col(AlertOutboxRow.state)),
            ),
            tiers=_counts(
                session,
                sa.select(col(SignalRow.tier), func.count())
                .where(col(SignalRow.run_id) == run_id)
                .group_by(col(SignalRow.tier)),
            ),
            gaps=session.exec(
                select(GapRow).where(GapRow.run_id == run_id).order_by(col(GapRow.start_ns))
            ).all(),
        )


def _counts(session: Session, statement: sa.Select[tuple[str, int]]) -> dict[str, int]:
    return {str(name): int(count) for name, count in session.connection().execute(statement)}


def summary_rows(summary: StreamSummary) -> list[dict[str, str]]:
    """Return the summary as rows of `measure` and `value`, ready for a table."""
    run = summary.run
    rows = {
        "shard": run.shard,
        "trading date": run.session_date,
        "source": run.source,
        "profile": run.profile,
        "status": run.status,
        "started": new_york(run.started_ns),
        "duration": _duration(summary.seconds),
        "records": f"{run.records:,}",
        "windows": f"{run.windows:,}",
        "signals": f"{run.signals:,}{_breakdown(summary.tiers)}",
        "alerts": f"{sum(summary.alerts.values()):,}{_breakdown(summary.alerts)}",
        "gaps": f"{run.gaps:,}",
        "queue high water": f"{run.queue_high_water:,} events",
        "peak memory": f"{run.peak_rss_bytes / 2**20:,.0f} MiB",
        "stopped by": run.stop_reason or "nobody",
    }
    if run.error:
        rows["error"] = run.error
    return [{"measure": measure, "value": value} for measure, value in rows.items()]


def summary_markdown(summary: StreamSummary, *, log: str) -> str:
    """Return the summary as a Markdown page; `log` names the file with the whole log."""
    run = summary.run
    lines = [
        f"# Stream {run.shard}, {run.session_date}",
        "",
        f"**{headline(summary)}**",
        "",
        "| | |",
        "|---|---|",
        *(f"| {row['measure']} | {_cell(row['value'])} |" for row in summary_rows(summary)),
    ]
    if summary.gaps:
        lines += ["", "## Gaps", "", "| from | to | cause | state |", "|---|---|---|---|"]
        lines += [_gap_line(gap) for gap in summary.gaps]
    return "\n".join([*lines, "", f"Log: `{log}`", ""])


def headline(summary: StreamSummary) -> str:
    """Return the one sentence that a list of runs shows."""
    run = summary.run
    facts = (
        f"{_count(run.records, 'record')}, {_count(run.windows, 'window')}, "
        f"{_count(run.signals, 'signal')}, {_count(sum(summary.alerts.values()), 'alert')}, "
        f"{_count(run.gaps, 'gap')} in {_duration(summary.seconds)}"
    )
    if run.status == "failed":
        return f"{run.error or 'failed, and no reason was recorded'} ({facts})"
    return f"{run.status} ({run.stop_reason or 'by itself'}): {facts}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _gap_line(gap: GapRow) -> str:
    until = new_york(gap.end_ns) if gap.end_ns is not None else "open"
    return f"| {new_york(gap.start_ns)} | {until} | {_cell(gap.cause)} | {gap.state} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _breakdown(counts: dict[str, int]) -> str:
    if not counts:
        return ""
    return " (" + ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) + ")"


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3_600)
    minutes, seconds_left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds_left:02}"
