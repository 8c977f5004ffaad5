"""What people read of gaps, and of the work on them: rows of a table and one sentence."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

from models.gap_ledger import is_of_all
from models.money import BackfillRequestRow
from models.operations import GapRow
from runtime.gap_scan import SessionGaps
from runtime.wording import counted, duration, market_time, money


@dataclasses.dataclass(frozen=True, slots=True)
class ShardScan:
    """What one look at a shard found; `due` counts the holes that could be filled now.

    `notes` say what kept a part of the look from being taken.
    """

    shard: str
    sessions: tuple[SessionGaps, ...]
    due: int
    notes: tuple[str, ...] = ()

    @property
    def open_gaps(self) -> tuple[GapRow, ...]:
        """Gaps that are not made good and not given up."""
        return tuple(gap for each in self.sessions for gap in each.gaps if gap.state == "open")


def gap_rows(scans: Iterable[ShardScan], *, at_most: int) -> list[dict[str, str]]:
    """Return a row a gap, open ones first, then the newest; longer lists are cut."""
    gaps = [gap for scan in scans for each in scan.sessions for gap in each.gaps]
    gaps.sort(key=lambda gap: (gap.state != "open", not is_of_all(gap), -gap.start_ns))
    return [_gap_row(gap) for gap in gaps[:at_most]]


def scan_words(scans: Iterable[ShardScan]) -> str:
    """Return what was found, a clause a shard."""
    return "; ".join(words for scan in scans for words in (_shard_words(scan), *_notes(scan)))


def request_rows(requests: Iterable[BackfillRequestRow]) -> list[dict[str, str]]:
    """Return a row a hole: how it was filled, what came, what it cost, or why it waits."""
    return [
        {
            "shard": request.shard,
            "session": request.session_date,
            "from (New York)": market_time(request.start_ns),
            "duration": duration(request.end_ns - request.start_ns),
            "state": request.state,
            "instruments": "doubtful books" if request.of_doubts else "all",
            "how": request.method,
            "records added": f"{request.added_records:,}",
            "windows": f"{request.windows:,}",
            "late signals": f"{request.late_signals:,}",
            "quoted": _cost(request.quoted_micro_dollars),
            "spent": money(request.spent_micro_dollars),
            "reason": request.error or "",
        }
        for request in requests
    ]


def request_words(requests: Sequence[BackfillRequestRow]) -> str:
    """Return what was done, in one sentence."""
    states = Counter(request.state for request in requests)
    words = [f"{counted(states[state], 'hole')} {state}" for state in sorted(states)]
    added = sum(request.added_records for request in requests)
    late = sum(request.late_signals for request in requests)
    spent = sum(request.spent_micro_dollars for request in requests)
    reasons = dict.fromkeys(request.error for request in requests if request.error)
    return "; ".join(
        [
            f"{', '.join(words)}: {counted(added, 'record')} added, "
            f"{counted(late, 'late signal')}, {money(spent)}",
            *reasons,
        ]
    )


def _shard_words(scan: ShardScan) -> str:
    if not scan.sessions:
        return f"no stream of shard {scan.shard} has run in that time"
    missing = [gap for gap in scan.open_gaps if is_of_all(gap)]
    doubts = len(scan.open_gaps) - len(missing)
    lasted = sum(gap.end_ns - gap.start_ns for gap in missing if gap.end_ns is not None)
    # Never rounded up to a whole that is none.
    worst = min(scan.sessions, key=lambda each: each.covered_share)
    covered = int(worst.covered_share * 10_000) / 100
    return (
        f"{scan.shard}: {covered:.2f} % of {worst.market.date} covered, "
        f"{counted(len(missing), 'gap')} open ({duration(lasted)}), "
        f"{counted(doubts, 'doubtful book')}, {counted(scan.due, 'hole')} to fill"
    )


def _notes(scan: ShardScan) -> Iterable[str]:
    return (*(each.note for each in scan.sessions if each.note), *scan.notes)


def _gap_row(gap: GapRow) -> dict[str, str]:
    return {
        "shard": gap.shard,
        "session": gap.session_date,
        "from (New York)": market_time(gap.start_ns),
        "duration": "goes on" if gap.end_ns is None else duration(gap.end_ns - gap.start_ns),
        "state": gap.state,
        "cause": gap.cause,
        "instruments": gap.raw_symbol
        or ("all" if gap.instrument_id is None else str(gap.instrument_id)),
        "records": "" if gap.estimated_records is None else f"~{gap.estimated_records:,}",
        "detail": gap.detail,
    }


def _cost(micro_dollars: int | None) -> str:
    return "" if micro_dollars is None else money(micro_dollars)
