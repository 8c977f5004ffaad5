"""The outbox: every alert owed is in one hand at a time and ends in one state."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from ifd.signals import Signal
from models import alerts
from models.base import make_engine, transaction
from models.database import upgrade
from models.signals import AlertOutboxRow, SignalRow

LEASE_NS = 30


@pytest.fixture
def owe(engine: Engine, make_signal: Callable[..., Signal]) -> Callable[..., None]:
    def owe(name: str = "a", *, channel: str = "#alerts", at_ns: int = 100) -> None:
        signal = make_signal(signal_id=name)
        with transaction(engine) as session:
            row = SignalRow.from_signal(signal, source="simulated", committed_ns=at_ns)
            stored = alerts.store_signals(session, [row])
            alerts.queue_alerts(session, stored, channel, now_ns=at_ns)

    return owe


def claim(engine: Engine, now_ns: int = 100, without: tuple[str, ...] = ()) -> alerts.Claim | None:
    return alerts.claim_due(engine, now_ns=now_ns, lease_ns=LEASE_NS, without=without)


def state(engine: Engine) -> AlertOutboxRow:
    with Session(engine) as session:
        return session.exec(select(AlertOutboxRow)).one()


def test_an_alert_owed_is_claimed_with_its_signal(engine: Engine, owe: Callable[..., None]) -> None:
    owe()

    taken = claim(engine)

    assert taken is not None
    assert (taken.signal.signal_id, taken.uncertain, taken.multiplier) == ("a", False, None)
    assert (taken.alert.state, taken.alert.attempts) == ("sending", 1)


def test_the_oldest_alert_goes_first(engine: Engine, owe: Callable[..., None]) -> None:
    for name in ("first", "second", "third"):
        owe(name)

    order = [taken.signal.signal_id for _ in range(3) if (taken := claim(engine))]

    assert order == ["first", "second", "third"]


def test_an_alert_in_hand_is_nobody_elses(engine: Engine, owe: Callable[..., None]) -> None:
    owe()

    assert claim(engine) is not None
    assert claim(engine) is None


def test_many_workers_share_the_alerts_out(engine: Engine, owe: Callable[..., None]) -> None:
    for number in range(12):
        owe(f"signal {number}")

    with ThreadPoolExecutor(4) as workers:
        taken = [found for found in workers.map(lambda _: claim(engine), range(60)) if found]

    names = [found.signal.signal_id for found in taken]
    assert len(names) == len(set(names)) == 12


def test_an_alert_whose_worker_died_is_uncertain_once_its_lease_is_over(
    engine: Engine, owe: Callable[..., None]
) -> None:
    owe()
    claim(engine)

    assert claim(engine, 100 + LEASE_NS - 1) is None
    taken = claim(engine, 100 + LEASE_NS)

    assert taken is not None
    assert taken.uncertain
    assert (taken.alert.state, taken.alert.attempts) == ("unknown", 1)


def test_a_channel_that_rests_keeps_its_alerts(engine: Engine, owe: Callable[..., None]) -> None:
    owe("a", channel="#busy")
    owe("b", channel="#quiet")

    taken = claim(engine, without=("#busy",))

    assert taken is not None
    assert taken.alert.channel == "#quiet"
    assert claim(engine, without=("#busy",)) is None


def test_a_sent_alert_is_never_due_again(engine: Engine, owe: Callable[..., None]) -> None:
    owe()
    taken = claim(engine)
    assert taken is not None

    alerts.mark_sent(engine, taken.alert, message_ts="1.000001", now_ns=140)

    row = state(engine)
    assert (row.state, row.message_ts, row.sent_ns, row.error) == ("sent", "1.000001", 140, None)
    assert claim(engine, 10**18) is None
    assert alerts.next_due_ns(engine) == alerts.NEVER


def test_an_alert_put_back_is_due_when_it_says(engine: Engine, owe: Callable[..., None]) -> None:
    owe()
    taken = claim(engine)
    assert taken is not None

    alerts.put_back(engine, taken.alert, next_try_ns=500, error="no answer", counted=True)

    assert claim(engine, 499) is None
    assert alerts.next_due_ns(engine) == 500
    again = claim(engine, 500)
    assert again is not None
    assert (again.alert.attempts, again.alert.error, again.uncertain) == (2, "no answer", False)


def test_a_rate_limit_costs_no_attempt(engine: Engine, owe: Callable[..., None]) -> None:
    owe()
    taken = claim(engine)
    assert taken is not None

    alerts.put_back(engine, taken.alert, next_try_ns=100, error="rate limit", counted=False)

    assert state(engine).attempts == 0


def test_an_alert_nobody_can_look_up_stays_unknown(
    engine: Engine, owe: Callable[..., None]
) -> None:
    owe()
    taken = claim(engine)
    assert taken is not None

    alerts.mark_unknown(engine, taken.alert, look_up_ns=alerts.NEVER, error="perhaps delivered")

    assert claim(engine, 10**18) is None
    assert alerts.count_states(engine) == dict.fromkeys(alerts.STATES, 0) | {"unknown": 1}


def test_a_failed_alert_keeps_its_reason(engine: Engine, owe: Callable[..., None]) -> None:
    owe()
    taken = claim(engine)
    assert taken is not None

    alerts.mark_failed(engine, taken.alert, error="Slack answered invalid_blocks")

    assert state(engine).error == "Slack answered invalid_blocks"
    assert claim(engine, 10**18) is None


def test_a_signal_is_stored_and_owed_once(engine: Engine, owe: Callable[..., None]) -> None:
    owe()
    owe()

    assert alerts.count_states(engine)["pending"] == 1


def test_finding_what_is_due_reads_no_settled_alert(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    engine = make_engine(sqlite_url)
    query = (
        "EXPLAIN QUERY PLAN SELECT * FROM alert_outbox WHERE "
        "state IN ('pending', 'sending', 'unknown') AND next_try_ns <= 1 ORDER BY id LIMIT 1"
    )

    with engine.connect() as connection:
        plan = " ".join(str(row) for row in connection.exec_driver_sql(query))

    engine.dispose()
    assert "SEARCH alert_outbox USING INDEX ix_alert_outbox_due" in plan
