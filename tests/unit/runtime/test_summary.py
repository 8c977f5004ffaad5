"""What people read about a run when it is over."""

from __future__ import annotations

from collections.abc import Sequence

from models.operations import GapRow, StreamRunRow
from runtime.summary import StreamSummary, headline, summarize, summary_markdown, summary_rows

START = 1_795_530_600 * 10**9  # Tuesday 2026-11-24, 09:30 in New York
HOUR = 3_600 * 10**9


def run_row(**values: object) -> StreamRunRow:
    usual = {
        "id": 7,
        "shard": "nq",
        "source": "live",
        "profile": "default",
        "params_fingerprint": "0123456789abcdef",
        "session_date": "2026-11-24",
        "status": "drained",
        "started_ns": START,
        "heartbeat_ns": START + 6 * HOUR,
        "ended_ns": START + 6 * HOUR + 30 * HOUR // 60,
        "stop_reason": "market close",
        "records": 12_345_678,
        "windows": 4_321,
        "signals": 3,
        "gaps": 1,
        "queue_high_water": 1_999,
        "peak_rss_bytes": 300 * 2**20,
    }
    return StreamRunRow(**(usual | values))


def gap_row(**values: object) -> GapRow:
    usual = {
        "run_id": 7,
        "shard": "nq",
        "session_date": "2026-11-24",
        "start_ns": START + HOUR,
        "end_ns": START + 2 * HOUR,
        "cause": "connection | lost",
        "state": "replayed",
        "detected_ns": START + HOUR,
    }
    return GapRow(**(usual | values))


def summary(run: StreamRunRow, gaps: Sequence[GapRow] = ()) -> StreamSummary:
    return StreamSummary(run, {"sent": 2, "pending": 1}, {"HIGH": 2, "EXTREME": 1}, gaps)


def test_a_drained_run_is_told_in_one_sentence() -> None:
    assert headline(summary(run_row())) == (
        "drained (market close): 12,345,678 records, 4,321 windows, 3 signals, 3 alerts, 1 gap "
        "in 6:30:00"
    )


def test_a_failed_run_begins_with_the_reason() -> None:
    run = run_row(status="failed", error="the gateway refused the key")

    assert headline(summary(run)).startswith("the gateway refused the key (12,345,678 records")


def test_a_run_that_still_streams_has_lasted_until_its_last_heartbeat() -> None:
    assert summary(run_row(ended_ns=None)).seconds == 6 * 3_600


def test_every_measure_is_a_row() -> None:
    rows = {row["measure"]: row["value"] for row in summary_rows(summary(run_row()))}

    assert rows["duration"] == "6:30:00"
    assert rows["signals"] == "3 (1 EXTREME, 2 HIGH)"
    assert rows["alerts"] == "3 (1 pending, 2 sent)"
    assert rows["peak memory"] == "300 MiB"
    assert rows["started"] == "Tue 2026-11-24 09:30 EST"
    assert "error" not in rows


def test_the_page_shows_gaps_and_survives_bars_in_words() -> None:
    page = summary_markdown(summary(run_row(), [gap_row(), gap_row(end_ns=None)]), log="a.log")

    assert "| Tue 2026-11-24 10:30 EST | Tue 2026-11-24 11:30 EST | connection \\| lost |" in page
    assert "| open |" in page
    assert "Log: `a.log`" in page


def test_alerts_and_signals_of_other_runs_are_not_counted(engine: object) -> None:
    from models.base import transaction

    with transaction(engine) as session:  # type: ignore[arg-type]
        session.add(run_row())
        session.add(run_row(id=8, shard="es"))
        session.flush()
        session.add(gap_row())
        session.add(gap_row(run_id=8))

    found = summarize(engine, 7)  # type: ignore[arg-type]

    assert found.run.id == 7
    assert len(found.gaps) == 1
    assert found.alerts == {}
    assert found.tiers == {}
