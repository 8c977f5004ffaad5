"""Notice that another process has committed to SQLite, for the price of one PRAGMA."""

from __future__ import annotations

from sqlalchemy.engine import Engine


class CommitWatch:
    """Holds one connection open, outside any transaction, and asks it for the data version."""

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._seen: int | None = None

    def has_changed(self) -> bool:
        """Return True once after any number of commits, and on the first call."""
        version = int(self._connection.exec_driver_sql("PRAGMA data_version").scalar_one())
        changed = version != self._seen
        self._seen = version
        return changed

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()
