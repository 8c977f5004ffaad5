"""Bring a database to the schema of this version, and tell clearly when it cannot be used.

Whether a database is current is read with plain SQL; Alembic is imported only when there is work.
Two processes that upgrade at once wait for each other: SQLite in `BEGIN IMMEDIATE`, PostgreSQL
behind an advisory lock. The whole upgrade is one transaction, so a failure leaves what was there.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from ifd.errors import DatabaseError, NewerDatabaseError
from models import migrations
from models.base import make_engine, parse_url

LOCK_TIMEOUT_SECONDS: Final = 30.0
_ADVISORY_LOCK: Final = 0x1FD_5C4E_3A
"""Any number, the same in every process of this project."""
_READ_REVISION: Final = "SELECT version_num FROM alembic_version"


@dataclasses.dataclass(frozen=True, slots=True)
class Upgrade:
    """What an upgrade did: `before` is None for an empty database."""

    before: str | None
    after: str


def upgrade(url: str, *, lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> Upgrade:
    """Create the database where it is absent and migrate it to the newest revision.

    A database that is current is only read. Safe to call from several processes at once.

    Raises
    ------
    NewerDatabaseError
        If a newer version of this project wrote it.
    DatabaseError
        If it cannot be reached, opened, locked in time or altered.
    """
    if _exists(url):
        before = _known(url, current_revision(url, lock_timeout_seconds=lock_timeout_seconds))
        if before == migrations.head():
            return Upgrade(before, before)
    with readable_errors(url):
        engine = make_engine(url)
        try:
            return _migrate(engine, url, lock_timeout_seconds)
        finally:
            engine.dispose()


def require_current(url: str) -> None:
    """Return when the database can be used as it is; nothing is created or written.

    Raises
    ------
    NewerDatabaseError
        If a newer version of this project wrote it.
    DatabaseError
        If it is absent, cannot be reached or is not migrated.
    """
    if not _exists(url):
        raise DatabaseError(
            f"there is no database at {shown(url)} yet: start `ifd up`, or create it with "
            "`ifd db upgrade`"
        )
    found = _known(url, current_revision(url))
    if found != migrations.head():
        raise DatabaseError(
            f"the database {shown(url)} is at revision {found or 'none'}, this version needs "
            f"{migrations.head()}: run `ifd db upgrade`"
        )


def current_revision(url: str, *, lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> str | None:
    """Return the revision the database is at, None when it was never migrated.

    Raises
    ------
    DatabaseError
        If it cannot be reached or read.
    """
    path = _sqlite_path(url)
    with readable_errors(url):
        if path is None:
            engine = make_engine(url)
            try:
                with engine.connect() as connection:
                    return _revision_in(connection)
            finally:
                engine.dispose()
        # Without SQLAlchemy: its engine would switch a stranger's file to WAL before we had looked.
        address = f"{path.as_uri()}?mode=rw"
        with closing(sqlite3.connect(address, timeout=lock_timeout_seconds, uri=True)) as file:
            try:
                row = file.execute(_READ_REVISION).fetchone()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return None
                raise
            return None if row is None else str(row[0])


def shown(url: str) -> str:
    """Return `url` as it may be printed, its password hidden."""
    public = parse_url(url).difference_update_query(["password", "sslpassword"])
    return public.render_as_string(hide_password=True)


@contextmanager
def readable_errors(url: str) -> Iterator[None]:
    """Turn what a database driver raises inside into one sentence.

    Raises
    ------
    DatabaseError
        Instead of SQLAlchemy's or sqlite3's own.
    """
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise DatabaseError(_sentence(url, str(error.orig))) from error
    except sqlite3.Error as error:
        raise DatabaseError(_sentence(url, str(error))) from error


def _migrate(engine: Engine, url: str, lock_timeout_seconds: float) -> Upgrade:
    path = _sqlite_path(url)
    if path is not None:
        _enter_wal(path, lock_timeout_seconds)
        _begin_immediately(engine, lock_timeout_seconds)
    with engine.begin() as connection:
        if path is None:
            connection.exec_driver_sql(
                f"SET LOCAL lock_timeout = {int(lock_timeout_seconds * 1000)}"
            )
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
        before = _known(url, _revision_in(connection))
        if before != migrations.head():
            _run_alembic(connection)
        return Upgrade(before, migrations.head())


def _enter_wal(path: Path, lock_timeout_seconds: float) -> None:
    # The one statement that does not wait for a lock: two first comers must take turns by hand.
    deadline = time.monotonic() + lock_timeout_seconds
    with closing(sqlite3.connect(path, timeout=lock_timeout_seconds)) as file:
        while True:
            try:
                file.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return


def _begin_immediately(engine: Engine, lock_timeout_seconds: float) -> None:
    # The driver's own implicit BEGIN neither locks at once nor covers DDL; a table written anew
    # must not be seen by the foreign keys that point at it.
    def prepare(connection: Any, _record: Any) -> None:
        # Any: the DBAPI connection of whichever driver; SQLAlchemy gives it no type.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={int(lock_timeout_seconds * 1000)}")
        connection.execute("PRAGMA foreign_keys=OFF")

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    sa.event.listen(engine, "connect", prepare)
    sa.event.listen(engine, "begin", begin)


def _run_alembic(connection: Connection) -> None:
    from alembic import command

    command.upgrade(alembic_config(connection), "head")


def alembic_config(connection: Connection) -> Any:
    """Return an Alembic configuration that works in `connection`, without any ini file."""
    # Any: alembic.config.Config, imported only when it is needed.
    from alembic.config import Config

    config = Config(stdout=sys.stdout)  # its own default is whatever stdout was at its import
    config.set_main_option("script_location", str(migrations.DIRECTORY))
    config.attributes["connection"] = connection
    return config


def _revision_in(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql(_READ_REVISION).scalar()
    return None if found is None else str(found)


def _known(url: str, revision: str | None) -> str | None:
    if revision is not None and revision not in migrations.revisions():
        raise NewerDatabaseError(shown(url), revision)
    return revision


def _exists(url: str) -> bool:
    path = _sqlite_path(url)
    return path is None or path.exists()


def _sqlite_path(url: str) -> Path | None:
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    if not parsed.database or parsed.database == ":memory:":
        raise DatabaseError(
            "a database in memory cannot be shared between processes: use sqlite:///PATH"
        )
    return Path(parsed.database).absolute()


def _sentence(url: str, reason: str) -> str:
    name = shown(url)
    known = {
        "file is not a database": f"{name} is not a SQLite database: point --database elsewhere, "
        "or move that file away",
        "malformed": f"the database {name} is damaged: restore it from a copy, or move it away",
        "unable to open": f"the database {name} cannot be opened: check that its directory exists "
        "and that both may be read and written",
        "readonly": f"the database {name} may not be written: check the permissions of the file "
        "and its directory",
        "locked": f"another process holds the database {name}: wait until it is done, or stop it",
        "lock timeout": f"another process is migrating the database {name}: wait until it is done",
        "full": f"there is no room left for the database {name}: free some space on its disk",
    }
    for words, sentence in known.items():
        if words in reason:
            return sentence
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    return f"the database {name} cannot be used: {lines[0] if lines else 'no reason was given'}"
