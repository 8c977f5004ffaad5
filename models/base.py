"""Metadata, naming convention, column types and engines: what every table has in common.

Two traps are held off here: a nanosecond does not fit an INTEGER on PostgreSQL, and an
autoincrementing BIGINT key does not work on SQLite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Engine, make_url
from sqlmodel import Session, SQLModel

from ifd.errors import DatabaseError

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

CONNECT_TIMEOUT_SECONDS: Final = 5
"""libpq's own is as long as TCP's, minutes."""
BigInt = sa.BigInteger
"""Nanoseconds, 1e-9 prices and counts."""
Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""An autoincrementing key."""
Json = sa.JSON().with_variant(postgresql.JSONB, "postgresql")


def parse_url(url: str) -> URL:
    """Return the parts of a database URL.

    Raises
    ------
    DatabaseError
        If it is none; it is not quoted, for it may hold a password anywhere.
    """
    try:
        return make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise DatabaseError(
            "the database URL cannot be read: use sqlite:///PATH or postgresql://USER@HOST/NAME"
        ) from error


def absolute_url(url: str) -> str:
    """Return `url` with a relative SQLite path made absolute, for processes started elsewhere."""
    parsed = parse_url(url)
    path = parsed.database
    if parsed.get_backend_name() != "sqlite" or path in (None, "", ":memory:"):
        return url
    return f"sqlite:///{Path(path).absolute()}"


def make_engine(url: str) -> Engine:
    """Return an engine for `url`, SQLite in WAL mode or PostgreSQL through psycopg 3.

    Raises
    ------
    DatabaseError
        If the URL is not one of SQLAlchemy's or names another kind of database.
    """
    parsed = parse_url(url)
    kind = parsed.get_backend_name()
    if kind == "postgresql":
        return sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
        )
    if kind != "sqlite":
        raise DatabaseError(f"{kind} is not supported: use sqlite:///PATH or postgresql://…")
    if parsed.database and parsed.database != ":memory:":
        try:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(
                f"the directory of {parsed.database} cannot be made: {error.strerror}"
            ) from error
    engine = sa.create_engine(parsed)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Any: the DBAPI connection of whichever driver; SQLAlchemy gives it no type.
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Give a session whose work is committed at the end, or rolled back on any error."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


def upsert(
    session: Session,
    table: type[SQLModel],
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Sequence[str] = (),
    update: bool = True,
) -> None:
    """Insert rows; on a clash of the key update the other columns, or keep what is there.

    Parameters
    ----------
    rows : sequence of mappings
        All with the same columns.
    key : sequence of str
        Columns that are unique together; the primary key when empty.
    update : bool
        False keeps the row that is already there.
    """
    if not rows:
        return
    schema = table.__table__  # type: ignore[attr-defined]
    dialect = session.get_bind().dialect.name
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = make(schema)
    unique = list(key) or [column.name for column in schema.primary_key.columns]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in unique}
    statement = (
        statement.on_conflict_do_update(index_elements=unique, set_=changed)
        if update and changed
        else statement.on_conflict_do_nothing(index_elements=unique)
    )
    session.connection().execute(statement, list(rows))
