"""Results of checks of data quality, as the tables hold them."""

from __future__ import annotations

from models.quality import QualityResultRow


def failed_check(**changes: object) -> QualityResultRow:
    """Return a critical check that failed; keywords change what differs."""
    facts: dict[str, object] = {
        "validation_id": "v",
        "checked_ns": 1,
        "shard": "nq",
        "session_date": "2025-11-24",
        "suite": "orders",
        "batch": "1.dbn.zst",
        "check_name": "sizes_are_positive",
        "severity": "critical",
        "success": False,
    }
    return QualityResultRow(**(facts | changes))
