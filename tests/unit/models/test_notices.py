"""Notices: told once, whoever notices, and delivered by the outbox."""

from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from models import alerts
from models.base import transaction
from models.notices import count_told, queue_notice
from models.operations import StreamRunRow
from models.signals import AlertOutboxRow, NoticeRow


def notice(key: str = "run-1-ended") -> NoticeRow:
    return NoticeRow(notice_key=key, title="Stream nq", text="it died", created_ns=100)


def queue(engine: Engine, row: NoticeRow, channel: str | None = "#alerts") -> bool:
    with transaction(engine) as session:
        return queue_notice(session, row, channel)


def test_a_notice_is_owed_once_under_its_key(engine: Engine) -> None:
    assert queue(engine, notice())
    assert not queue(engine, notice())
    assert queue(engine, notice("run-2-ended"))

    with Session(engine) as session:
        owed = session.exec(select(AlertOutboxRow.notice_key)).all()
    assert sorted(str(key) for key in owed) == ["run-1-ended", "run-2-ended"]


def test_a_notice_is_claimed_like_any_alert(engine: Engine) -> None:
    queue(engine, notice())

    taken = alerts.claim_due(engine, now_ns=100, lease_ns=30)

    assert taken is not None
    assert taken.signal is None
    assert taken.notice is not None
    assert (taken.notice.title, taken.alert.kind) == ("Stream nq", "notice")


def test_without_slack_a_notice_is_kept_and_not_owed(engine: Engine) -> None:
    assert queue(engine, notice(), None)

    with Session(engine) as session:
        assert session.exec(select(AlertOutboxRow)).all() == []
        assert session.get(NoticeRow, "run-1-ended") is not None


def test_what_was_told_of_a_shards_runs_is_counted(engine: Engine) -> None:
    with transaction(engine) as session:
        for shard in ("nq", "es"):
            session.add(
                StreamRunRow(
                    shard=shard,
                    source="live",
                    profile="default",
                    params_fingerprint="0",
                    session_date="2026-11-24",
                    status="failed",
                    started_ns=1,
                    heartbeat_ns=1,
                )
            )
    for key in ("run-1-ended", "run-1-given-up", "run-2-ended"):
        queue(engine, notice(key))

    with Session(engine) as session:
        assert count_told(session, "nq", "ended", since_ns=100) == 1
        assert count_told(session, "nq", "ended", since_ns=101) == 0
        assert count_told(session, "es", "ended", since_ns=0) == 1
