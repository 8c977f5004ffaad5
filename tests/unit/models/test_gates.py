"""The gate: alerts of a session that failed its checks wait, go out later, or expire."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.errors import InputError
from ifd.signals import Signal
from models import alerts
from models.base import transaction
from models.gates import closed_gates, expire_held, quarantined
from models.operations import StreamRunRow
from models.quality import QualityResultRow, QuarantineRow
from models.quality_results import forget_results, results_of
from models.signals import AlertOutboxRow, NoticeRow, SignalRow
from models.validations import Judged, release_session, store_validation
from tests.checks import failed_check

DATE = "2025-11-24"
"""Session date of the fixture's signal."""


@pytest.fixture
def owe(engine: Engine, make_signal: Callable[..., Signal]) -> Callable[..., None]:
    """Owe an alert for a signal of a run of `shard`."""

    def owe(name: str, *, shard: str = "nq", date: str = DATE, at_ns: int = 100) -> None:
        with transaction(engine) as session:
            run = StreamRunRow(
                shard=shard,
                source="live",
                profile="default",
                params_fingerprint="0",
                session_date=date,
                status="streaming",
                started_ns=1,
                heartbeat_ns=1,
            )
            session.add(run)
            session.flush()
            signal = make_signal(signal_id=name, session_date=date)
            row = SignalRow.from_signal(signal, source="live", committed_ns=at_ns, run_id=run.id)
            alerts.queue_alerts(
                session, alerts.store_signals(session, [row]), "#alerts", now_ns=at_ns
            )

    return owe


def result(check: str = "sizes_are_positive", **changes: object) -> QualityResultRow:
    facts: dict[str, object] = {
        "validation_id": "v1",
        "checked_ns": 100,
        "session_date": DATE,
        "batch": "1-093000.dbn.zst",
        "check_name": check,
        "success": True,
    }
    return failed_check(**(facts | changes))


def judge(engine: Engine, *results: QualityResultRow, at_ns: int = 100) -> Judged:
    return store_validation(engine, results, now_ns=at_ns, channel="#alerts")


def claim(engine: Engine, now_ns: int = 100) -> alerts.Claim | None:
    return alerts.claim_due(engine, now_ns=now_ns, lease_ns=30)


def claimed(engine: Engine, now_ns: int = 100) -> list[str]:
    found = []
    while (taken := claim(engine, now_ns)) is not None:
        assert taken.signal is not None or taken.notice is not None
        found.append(taken.signal.signal_id if taken.signal else "notice")
    return found


def test_a_failed_critical_check_holds_the_alerts_of_its_session_and_of_no_other(
    engine: Engine, owe: Callable[..., None]
) -> None:
    owe("held")
    owe("other shard", shard="es")
    owe("other day", date="2025-11-25")

    judged = judge(engine, result(success=False))

    assert judged.is_held
    assert [row.checks for row in judged.quarantined] == [["sizes_are_positive"]]
    assert claimed(engine) == ["other shard", "other day", "notice"]
    assert alerts.next_due_ns(engine) == 130  # the leases of those in hand, not what is held


def test_a_warning_holds_nothing(engine: Engine, owe: Callable[..., None]) -> None:
    owe("a")

    judged = judge(engine, result(success=False, severity="warning"))

    assert not judged.is_held
    assert claimed(engine) == ["a"]


def test_a_check_that_could_not_be_made_counts_as_failed(engine: Engine) -> None:
    assert judge(engine, result(success=False, error="no such column")).is_held


def test_held_alerts_go_out_when_the_same_checks_pass(
    engine: Engine, owe: Callable[..., None]
) -> None:
    owe("a")
    judge(engine, result(success=False))
    assert claimed(engine) == ["notice"]

    judged = judge(engine, result(validation_id="v2"), at_ns=110)

    assert not judged.is_held
    assert claimed(engine, 110) == ["a", "notice"]


def test_one_batch_that_is_well_again_does_not_open_the_gate_for_another(engine: Engine) -> None:
    judge(engine, result(success=False), result(success=False, batch="2"))

    judged = judge(engine, result(validation_id="v2"))

    assert judged.is_held
    assert [row.batch for row in judged.released] == ["1-093000.dbn.zst"]


def test_an_alert_held_too_long_expires_with_its_reason(
    engine: Engine, owe: Callable[..., None]
) -> None:
    owe("old", at_ns=100)
    owe("young", at_ns=1_000)
    judge(engine, result(success=False))

    assert expire_held(engine, now_ns=1_100, max_held_ns=1_000) == 1

    with Session(engine) as session:
        old = session.exec(select(AlertOutboxRow).where(AlertOutboxRow.signal_id == "old")).one()
        assert session.exec(select(SignalRow).where(SignalRow.signal_id == "old")).one()
    assert (old.state, old.error) == (
        "expired",
        "held until it was too old to act on: sizes_are_positive had failed",
    )
    judge(engine, result(validation_id="v2"), at_ns=1_200)
    assert "old" not in claimed(engine, 1_200)


def test_nothing_expires_while_the_gate_is_open(engine: Engine, owe: Callable[..., None]) -> None:
    owe("a")

    assert expire_held(engine, now_ns=10**15, max_held_ns=1) == 0
    assert claimed(engine) == ["a"]


def test_an_alert_that_may_have_gone_out_is_looked_up_although_the_gate_is_closed(
    engine: Engine, owe: Callable[..., None]
) -> None:
    owe("a")
    taken = claim(engine)
    assert taken is not None
    alerts.mark_unknown(engine, taken.alert, look_up_ns=200, error="no answer")
    judge(engine, result(success=False))

    again = [taken for _ in range(2) if (taken := claim(engine, 200)) is not None]

    assert [(one.uncertain, one.notice is None) for one in again] == [(True, True), (False, False)]


def test_operators_are_told_once_of_each_closing_and_opening(engine: Engine) -> None:
    for number in range(3):
        judge(engine, result(success=False, validation_id=f"bad {number}"))
    judge(engine, result(validation_id="good"))
    judge(engine, result(validation_id="good again"))

    with Session(engine) as session:
        titles = session.exec(select(NoticeRow.title).order_by(col(NoticeRow.notice_key))).all()
    assert titles == [
        f"Quality: alerts of nq {DATE} are held",
        f"Quality: alerts of nq {DATE} go out again",
    ]


def test_the_notice_of_an_opening_counts_what_waited_and_what_expired(
    engine: Engine, owe: Callable[..., None]
) -> None:
    owe("old", at_ns=100)
    owe("young", at_ns=1_000)
    judge(engine, result(success=False))
    expire_held(engine, now_ns=1_100, max_held_ns=1_000)

    judge(engine, result(validation_id="v2"), at_ns=1_200)

    with Session(engine) as session:
        text = session.exec(
            select(NoticeRow.text).where(col(NoticeRow.title).contains("go out"))
        ).one()
    assert text.startswith("validation v2. 1 that waited are sent now, 1 had become too old")


def test_validations_that_fail_at_once_tell_of_it_once(engine: Engine) -> None:
    with ThreadPoolExecutor(4) as workers:
        made = list(
            workers.map(
                lambda number: judge(engine, result(success=False, validation_id=f"v{number}")),
                range(4),
            )
        )

    assert sum(len(judged.quarantined) for judged in made) == 1
    with Session(engine) as session:
        assert len(session.exec(select(QuarantineRow)).all()) == 1
        assert len(session.exec(select(NoticeRow)).all()) == 1
        assert len(session.exec(select(QualityResultRow)).all()) == 4


def test_what_an_operator_released_stays_released_until_something_else_fails(
    engine: Engine,
) -> None:
    judge(engine, result(success=False))

    release_session(engine, "nq", DATE, reason="a known print", now_ns=150, channel=None)

    assert not judge(engine, result(success=False, validation_id="v2")).is_held
    worse = judge(
        engine,
        result(success=False, validation_id="v3"),
        result("other", success=False, validation_id="v3"),
    )
    assert worse.is_held
    with Session(engine) as session:
        first = session.exec(select(QuarantineRow).order_by(col(QuarantineRow.id))).first()
    assert first is not None
    assert (first.released_by, first.by_operator) == ("operator: a known print", True)


def test_the_checks_of_a_whole_session_speak_for_those_of_its_stream(engine: Engine) -> None:
    judge(engine, result(suite="stream", success=False))

    judged = store_validation(
        engine, [result(validation_id="v2")], now_ns=110, channel=None, replaces="stream"
    )

    assert not judged.is_held


def test_there_must_be_something_to_release(engine: Engine) -> None:
    with pytest.raises(InputError, match="nothing of shard nq"):
        release_session(engine, "nq", DATE, reason="?", now_ns=1, channel=None)


def test_a_session_is_named_with_what_failed_in_it(engine: Engine) -> None:
    judge(engine, result(success=False))

    with Session(engine) as session:
        dates = [DATE, "2025-11-25"]
        assert quarantined(session, "nq", dates, suites=["orders"]) == {
            DATE: ["sizes_are_positive"]
        }
        assert quarantined(session, "nq", dates, suites=["bars"]) == {}
        assert quarantined(session, "es", dates, suites=["orders"]) == {}
        assert [gate.since_ns for gate in closed_gates(session)] == [100]


def test_the_newest_results_of_each_suite_are_shown(engine: Engine) -> None:
    judge(engine, result(success=False), result(suite="bars"))
    judge(engine, result(validation_id="v2", checked_ns=200))

    with Session(engine) as session:
        found = results_of(session, "nq")

    assert [(one.suite, one.validation_id, one.success) for one in found] == [
        ("bars", "v1", True),
        ("orders", "v2", True),
    ]


def test_old_results_are_forgotten(engine: Engine) -> None:
    judge(engine, result())
    judge(engine, result(validation_id="v2", checked_ns=200))

    assert forget_results(engine, before_ns=200) == 1
    with Session(engine) as session:
        assert [one.validation_id for one in results_of(session, "nq")] == ["v2"]
