"""A PostgreSQL that is away, full of somebody else's work, or busy with another upgrade."""

import threading

import pytest
import sqlalchemy as sa

from ifd.errors import DatabaseError
from models import migrations
from models.base import make_engine
from models.database import Upgrade, current_revision, require_current, upgrade

pytestmark = pytest.mark.integration


def test_an_empty_database_wants_an_upgrade(postgres_url: str) -> None:
    with pytest.raises(DatabaseError, match=r"at revision none.*ifd db upgrade"):
        require_current(postgres_url)

    assert current_revision(postgres_url) is None


def test_a_database_that_does_not_exist_is_named(postgres_url: str) -> None:
    absent = sa.make_url(postgres_url).set(database="no_such_market")

    with pytest.raises(DatabaseError, match="no_such_market"):
        upgrade(absent.render_as_string(hide_password=False))


def test_a_server_that_is_away_is_one_sentence() -> None:
    with pytest.raises(DatabaseError) as caught:
        upgrade("postgresql://ann:sesame@127.0.0.1:1/ifd")

    assert "cannot be used" in str(caught.value)
    assert "Connection refused" in str(caught.value)


def test_tables_of_others_stay_untouched(postgres_url: str) -> None:
    engine = make_engine(postgres_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE theirs (x int); INSERT INTO theirs VALUES (7)")

    upgrade(postgres_url)

    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT x FROM theirs").scalar() == 7
    engine.dispose()


def test_an_upgrade_waits_for_the_one_before_it(postgres_url: str) -> None:
    engine = make_engine(postgres_url)
    done: list[Upgrade] = []
    waiting = threading.Thread(target=lambda: done.append(upgrade(postgres_url)))

    with engine.begin() as other:
        other.exec_driver_sql(f"SELECT pg_advisory_xact_lock({0x1FD_5C4E_3A})")
        waiting.start()
        waiting.join(0.5)
        assert done == []
    waiting.join(20)

    engine.dispose()
    assert done == [Upgrade(None, migrations.head())]


def test_an_upgrade_that_waits_too_long_says_so(postgres_url: str) -> None:
    engine = make_engine(postgres_url)

    with engine.begin() as other:
        other.exec_driver_sql(f"SELECT pg_advisory_xact_lock({0x1FD_5C4E_3A})")
        with pytest.raises(DatabaseError, match="another process is migrating"):
            upgrade(postgres_url, lock_timeout_seconds=0.3)
    engine.dispose()


def test_nanoseconds_and_prices_survive_the_trip(postgres_url: str, make_signal) -> None:  # type: ignore[no-untyped-def]
    from sqlmodel import Session, select

    from models.alerts import store_signals
    from models.base import transaction
    from models.signals import SignalRow

    upgrade(postgres_url)
    engine = make_engine(postgres_url)
    signal = make_signal(underlying_price=2**63 - 2)

    with transaction(engine) as session:
        store_signals(session, [SignalRow.from_signal(signal, source="live", committed_ns=2**62)])
    with Session(engine) as session:
        row = session.exec(select(SignalRow)).one()

    engine.dispose()
    assert row.to_signal_json() == signal.to_json()
    assert row.committed_ns == 2**62
