"""Bringing a database up to date, and saying clearly why one cannot be used."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from ifd.errors import DatabaseError, NewerDatabaseError
from models import migrations
from models.base import make_engine
from models.database import (
    Upgrade,
    alembic_config,
    current_revision,
    require_current,
    shown,
    upgrade,
)


@pytest.fixture
def path(sqlite_url: str) -> Path:
    return Path(sqlite_url.removeprefix("sqlite:///"))


@pytest.fixture
def holder(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program that holds the file's write lock."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
        connection.execute("BEGIN EXCLUSIVE")
        yield connection


def test_an_absent_database_is_created_and_migrated(migrated_url: str) -> None:
    assert upgrade(migrated_url) == Upgrade(migrations.head(), migrations.head())
    assert current_revision(migrated_url) == migrations.head()
    require_current(migrated_url)


def test_tables_and_migrations_say_the_same(migrated_url: str) -> None:
    from alembic import command

    engine = make_engine(migrated_url)
    with engine.begin() as connection:
        command.check(alembic_config(connection))
    engine.dispose()


def test_the_first_upgrade_says_where_it_came_from(sqlite_url: str) -> None:
    assert upgrade(sqlite_url) == Upgrade(None, migrations.head())


def test_migrations_can_be_undone_and_done_again(migrated_url: str) -> None:
    from alembic import command

    engine = make_engine(migrated_url)
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
        left = set(sa.inspect(connection).get_table_names())
    engine.dispose()

    assert left == {"alembic_version"}
    assert upgrade(migrated_url) == Upgrade(None, migrations.head())


def test_a_current_database_is_only_read(sqlite_url: str, path: Path) -> None:
    upgrade(sqlite_url)
    before = path.read_bytes()

    started = time.perf_counter()
    upgrade(sqlite_url)

    assert time.perf_counter() - started < 0.1
    assert path.read_bytes() == before


def test_a_newer_database_is_refused_and_left_alone(migrated_url: str) -> None:
    engine = make_engine(migrated_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()

    with pytest.raises(NewerDatabaseError, match=r"newer version .*9999"):
        upgrade(migrated_url)
    with pytest.raises(NewerDatabaseError, match=r"newer version .*9999"):
        require_current(migrated_url)
    assert current_revision(migrated_url) == "9999"


def test_asking_for_an_absent_database_creates_nothing(sqlite_url: str, path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"there is no database .*ifd db upgrade"):
        require_current(sqlite_url)

    assert list(path.parent.iterdir()) == []


def test_a_database_without_tables_wants_an_upgrade(sqlite_url: str, path: Path) -> None:
    path.touch()

    with pytest.raises(DatabaseError, match=r"at revision none.*ifd db upgrade"):
        require_current(sqlite_url)


def test_a_file_that_is_no_database_is_named_and_left_alone(sqlite_url: str, path: Path) -> None:
    path.write_text("once upon a time there was a market " * 40)
    before = path.read_bytes()

    with pytest.raises(DatabaseError, match="is not a SQLite database"):
        upgrade(sqlite_url)
    with pytest.raises(DatabaseError, match="is not a SQLite database"):
        require_current(sqlite_url)
    assert path.read_bytes() == before


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="cannot be opened"):
        upgrade(f"sqlite:///{tmp_path}")


def test_a_path_through_a_file_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DatabaseError, match=r"Not a directory|File exists"):
        upgrade(f"sqlite:///{tmp_path}/file/ifd.db")


@pytest.mark.usefixtures("holder")
def test_a_locked_database_says_who_is_in_the_way(sqlite_url: str) -> None:
    with pytest.raises(DatabaseError, match="another process holds the database"):
        upgrade(sqlite_url, lock_timeout_seconds=0.2)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(DatabaseError, match="in memory"):
        upgrade(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:sesame@127.0.0.1:1/ifd",
        "postgresql://ann@127.0.0.1:1/ifd?password=sesame",
        "postgresql//ann:sesame@127.0.0.1:1/ifd",
        "postgresql://ann:sesame@127.0.0.1:port/ifd",
        "mysql://ann:sesame@127.0.0.1/ifd",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        upgrade(url)

    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_shown_address_still_tells_which_database() -> None:
    assert shown("postgresql://ann:sesame@host/ifd") == "postgresql://ann:***@host/ifd"


def test_a_failed_migration_leaves_what_was_there(
    sqlite_url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE gap (theirs)")  # clashes with the last table we make

    with pytest.raises(DatabaseError, match="table gap already exists"):
        upgrade(sqlite_url)

    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert tables.fetchall() == [("gap",)]


def test_processes_that_upgrade_at_once_take_turns(migrated_url: str) -> None:
    from alembic import command

    engine = make_engine(migrated_url)
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    engine.dispose()
    code = "import sys; from models.database import upgrade; print(upgrade(sys.argv[1]).before)"

    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, migrated_url], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    found = sorted(process.communicate()[0].strip() for process in processes)

    assert found == [migrations.head(), migrations.head(), "None"]


def test_rows_of_the_first_schema_survive_the_second(migrated_url: str) -> None:
    from alembic import command

    engine = make_engine(migrated_url)
    with engine.begin() as connection:
        # As `upgrade` does it, which is asked for the whole way alone.
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        command.downgrade(alembic_config(connection), "0001")
        for statement in _ROWS_OF_0001.split(";"):
            connection.exec_driver_sql(statement)
    engine.dispose()

    assert upgrade(migrated_url) == Upgrade("0001", migrations.head())

    with engine.begin() as connection:

        def rows(query: str) -> list[tuple[object, ...]]:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

        assert rows("SELECT id, feed_state, caught_up FROM stream_run ORDER BY id") == [
            (1, "", False),
            (2, "", False),
        ]
        assert rows(
            "SELECT run_id, number, origin, is_open, records FROM coverage ORDER BY id"
        ) == [(1, 1, "live", False, 7), (2, 1, "live", False, 8), (1, 2, "live", False, 9)]
        assert rows("SELECT start_ns, missing_ns, instrument_id FROM gap ORDER BY id") == [
            (100, 50, None),
            (300, None, None),
        ]
    engine.dispose()


_ROWS_OF_0001 = """
INSERT INTO stream_run (id, shard, source, profile, params_fingerprint, session_date, status,
  started_ns, heartbeat_ns, records, windows, signals, gaps, queue_high_water, peak_rss_bytes)
VALUES (1, 'nq', 'live', 'default', 'f', '2026-11-24', 'drained', 1, 2, 3, 0, 0, 0, 0, 0),
       (2, 'nq', 'live', 'default', 'f', '2026-11-25', 'drained', 1, 2, 3, 0, 0, 0, 0, 0);
INSERT INTO coverage (run_id, shard, session_date, dbn_schema, start_ns, end_ns, records)
VALUES (1, 'nq', '2026-11-24', 'mbo', 10, 20, 7), (2, 'nq', '2026-11-25', 'mbo', 30, 40, 8),
       (1, 'nq', '2026-11-24', 'mbo', 20, 25, 9);
INSERT INTO gap (run_id, shard, session_date, start_ns, end_ns, cause, state, detail, detected_ns)
VALUES (1, 'nq', '2026-11-24', 100, 150, 'reset', 'open', '', 160),
       (1, 'nq', '2026-11-24', 300, NULL, 'closed', 'open', '', 310)
"""
