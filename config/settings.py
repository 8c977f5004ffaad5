"""Read settings: `config/base.yaml` < `config/profiles/NAME.yaml` < environment `IFD_SECTION__KEY`.

Secrets come from the environment alone (`DATABENTO_API_KEY`, `SLACK_BOT_TOKEN`,
`SLACK_WEBHOOK_URL`) and are masked wherever settings are shown. The engine never sees this module:
it is handed the frozen parameters that `Settings.engine_params` builds.
"""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ifd.errors import ConfigurationError
from ifd.params import BaselineParams, DetectionParams, EngineParams, WindowParams
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND

CONFIG_DIR: Final = Path(__file__).resolve().parent
ROOT_DIR: Final = CONFIG_DIR.parent
WEBHOOK_CHANNEL: Final = "webhook"
DATABENTO_KEY_LENGTH: Final = 32
DEFAULT_DATABASE_URL: Final = "sqlite:///var/ifd.db"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FeedSettings(_Section):
    """Where records come from."""

    dataset: str = Field("GLBX.MDP3", description="Databento dataset")
    host: str | None = Field(None, description="gateway host; empty: the dataset's own")
    port: int = Field(13000, ge=1, le=65535, description="gateway port")
    simulated: bool = Field(False, description="true when the gateway is the local exchange")
    shard: str = Field("nq", description="name of this set of parents")
    parents: list[str] = Field(
        default_factory=list, description="option parents, e.g. NQ.OPT; empty: those of the shard"
    )
    futures: list[str] = Field(
        default_factory=list, description="future parents, e.g. NQ.FUT; empty: those of the shard"
    )
    heartbeat_seconds: int = Field(30, ge=5, le=1800, description="gateway heartbeat interval")
    queue_events: int = Field(50_000, ge=1_000, description="events between socket and engine")
    queue_policy: Literal["block", "spill"] = Field(
        "block", description="a full queue stops the socket, or spills to disk"
    )
    spill_directory: Path = Path("var/spill")
    spill_max_gib: float = Field(20.0, gt=0, description="disk for spilled events; then it blocks")
    replay_minutes: int = Field(
        0, ge=0, le=1_380, description="minutes of the running session to replay at the start"
    )
    reconnect_max_seconds: float = Field(30.0, gt=0, description="longest wait between attempts")
    resume_minutes: int = Field(
        60, ge=0, le=1_380, description="longest outage that is replayed; then a snapshot"
    )
    resume_runs_after_ns: int = Field(
        0, ge=0, description="earlier runs are not continued; set by `ifd up` for its exchange"
    )

    @property
    def gateway_host(self) -> str:
        """Host to connect to."""
        return self.host or f"{self.dataset.lower().replace('.', '-')}.lsg.databento.com"


class ShardSettings(_Section):
    """What one shard streams: a stream, an archive and a coverage of its own."""

    parents: list[str] = Field(description="option parents, e.g. ES.OPT")
    futures: list[str] = Field(default_factory=list, description="future parents, e.g. ES.FUT")


class HistoricalSettings(_Section):
    """Where history comes from."""

    gateway: str | None = Field(
        None, description="host:port of the historical API; empty: the provider's own"
    )

    @field_validator("gateway", mode="before")
    @classmethod
    def _empty_is_the_providers_own(cls, value: Any) -> Any:
        # Any: a validator before parsing sees whatever the environment or a caller gave.
        return value or None


class SessionSettings(_Section):
    """When the market is watched."""

    hours: Literal["cash", "globex", "always"] = Field(
        "cash", description="cash 09:30-16:00 ET, Globex, or always (the simulated exchange)"
    )
    calendar_file: Path = Field(
        CONFIG_DIR / "calendar.yaml", description="corrections of the published calendars"
    )


class WindowSettings(_Section):
    """Pressure windows and bars."""

    length_seconds: int = Field(
        60, ge=1, le=3600, description="primary length: what baselines and signals speak of"
    )
    lengths_seconds: list[int] = Field(
        default_factory=lambda: [1, 10, 60, 300],
        description="all lengths, each a multiple of the one before",
    )
    bar_minutes: list[int] = Field(default_factory=lambda: [1, 5])

    @model_validator(mode="after")
    def _lengths_are_nested(self) -> WindowSettings:
        try:
            self.params().nested_lengths_ns()
        except ConfigurationError as error:
            raise ValueError(str(error)) from error
        return self

    def params(self) -> WindowParams:
        """Return the frozen parameters of the windows."""
        return WindowParams(
            length_ns=self.length_seconds * NANOS_PER_SECOND,
            lengths_ns=tuple(length * NANOS_PER_SECOND for length in self.lengths_seconds),
            bar_intervals_ns=tuple(minutes * NANOS_PER_MINUTE for minutes in self.bar_minutes),
        )


class BaselineSettings(_Section):
    """Rolling baselines."""

    sessions: int = Field(20, ge=1, le=250)
    bucket_minutes: int = Field(30, ge=1, le=390)
    min_sessions: int = Field(3, ge=1)
    directory: Path = Field(
        Path("var/baselines"), description="sessions computed before; shared by all workers"
    )


class DetectionSettings(_Section):
    """When a window becomes a signal."""

    min_confidence: float = Field(0.6, ge=0, le=1)
    min_volume: int = Field(20, ge=1, description="signed lots in a window")
    cooldown_seconds: int = Field(300, ge=0)
    prior_median: float = Field(4.0, ge=0)
    prior_mad: float = Field(4.0, gt=0)
    max_position_multiplier: float = Field(3.0, gt=0)


class AlertSettings(_Section):
    """What is sent to Slack."""

    min_confidence: float = Field(0.8, ge=0, le=1)
    max_age_seconds: int = Field(900, gt=0, description="older alerts are marked as delayed")
    max_held_seconds: int = Field(
        900, gt=0, description="alerts that failed checks hold longer than this expire"
    )
    max_attempts: int = Field(8, ge=1)
    messages_per_second: float = Field(1.0, gt=0, description="a channel, as Slack asks")
    burst: int = Field(3, ge=1, description="messages a quiet channel may be sent at once")
    dashboard_url: str = "http://127.0.0.1:8050"


class ArchiveSettings(_Section):
    """Raw records on disk."""

    directory: Path = Path("var/archive")
    flush_seconds: float = Field(1.0, gt=0)


class BudgetSettings(_Section):
    """What may be spent, in US dollars a UTC day and a calendar month."""

    backfill_daily: Decimal = Field(Decimal(20), ge=0, description="history that fills holes")
    backfill_monthly: Decimal = Field(Decimal(200), ge=0)
    history_daily: Decimal = Field(Decimal(50), ge=0, description="what people fetch by hand")
    history_monthly: Decimal = Field(Decimal(200), ge=0)
    definitions_daily: Decimal = Field(
        Decimal(1), ge=0, description="definitions of all symbols, nightly; 0: never bought"
    )
    definitions_monthly: Decimal = Field(Decimal(25), ge=0)
    streaming_daily: Decimal = Field(Decimal(25), ge=0, description="the live feed")
    streaming_monthly: Decimal = Field(Decimal(250), ge=0)
    when_streaming_spent: Literal["alarm", "stop-backfill", "stop"] = Field(
        "alarm", description="what a live feed that is billed by the byte does at its cap"
    )


class UsagePrices(_Section):
    """US dollars a GiB of the live feed, for accounts that pay for it by the byte."""

    mbo: Decimal = Field(Decimal("2.16"), ge=0)
    definition: Decimal = Field(Decimal("2.04"), ge=0)
    status: Decimal = Field(Decimal("4.80"), ge=0)


class CostSettings(_Section):
    """What the live feed costs."""

    live: Literal["subscription", "usage"] = Field(
        "subscription", description="a flat rate, or billed by the byte as older accounts are"
    )
    subscription_monthly: Decimal = Field(
        Decimal(0), ge=0, description="US dollars a calendar month; 0: nobody said, none is booked"
    )
    usage_per_gib: UsagePrices = UsagePrices()


class QualitySettings(_Section):
    """What the checks of data quality allow; docs/quality.md says why."""

    docs_directory: Path = Field(
        Path("var/quality"), description="Data Docs, a folder a validation"
    )
    keep_days: int = Field(30, ge=1, description="Data Docs and results that are older are deleted")
    recent_minutes: int = Field(10, ge=1, le=390, description="what the stream's checks look back")
    max_clock_skew_seconds: float = Field(
        1.0, gt=0, description="between an event and its capture, and between capture and arrival"
    )
    max_future_silence_seconds: float = Field(
        120.0, gt=0, description="time without a trade of the future while the market is open"
    )
    min_covered_share: float = Field(
        0.99, ge=0, le=1, description="share of a session that was received"
    )
    max_baseline_age_days: int = Field(5, ge=1, description="since the newest session they hold")


class BackfillSettings(_Section):
    """How holes are filled."""

    directory: Path = Field(Path("var/backfill"), description="downloads until they are archived")
    replay_hours: float = Field(
        23.0, ge=0, le=24, description="younger holes are replayed by the live gateway, free"
    )
    overlap_seconds: float = Field(
        2.0, gt=0, description="asked for on both sides of a hole; what is there is dropped"
    )
    settle_seconds: float = Field(
        60.0, ge=0, description="a hole must have ended so long ago before it is filled"
    )
    max_attempts: int = Field(6, ge=1, description="then a hole is given up, visibly")
    first_wait_seconds: float = Field(60.0, gt=0, description="after a failure; it doubles")
    max_wait_seconds: float = Field(3_600.0, gt=0)


class DashboardSettings(_Section):
    """The web page."""

    host: str = "127.0.0.1"
    port: int = Field(8050, ge=1, le=65535)


class PrefectSettings(_Section):
    """The Prefect server that `ifd up` starts, and how streams and baselines run under it."""

    port: int = Field(4200, ge=1, le=65535)
    work_pool: str = "ifd"
    ui_url: str | None = Field(
        None, description="address of Prefect's pages in links; empty: this machine"
    )
    task_runner: Literal["threads", "processes", "dask"] = Field(
        "processes", description="where the sessions of the baselines are computed"
    )
    task_workers: int | None = Field(
        None, ge=1, description="threads or processes at once; empty: one a core"
    )
    dask_address: str | None = Field(
        None, description="scheduler of a Dask cluster, tcp://HOST:8786; empty: a local cluster"
    )
    restarts_an_hour: int = Field(
        6, ge=0, description="how often the watchdog starts a shard's stream again"
    )

    @property
    def pages(self) -> str:
        """Address of Prefect's pages, without a slash at the end."""
        return (self.ui_url or f"http://127.0.0.1:{self.port}").rstrip("/")

    def flow_run_page(self, flow_run_id: str | None) -> str | None:
        """Return the address of a flow run's page, None for a run without Prefect."""
        return None if flow_run_id is None else f"{self.pages}/runs/flow-run/{flow_run_id}"


class Settings(BaseSettings):
    """Everything a person may set; see docs/settings.md."""

    model_config = SettingsConfigDict(
        env_prefix="IFD_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        populate_by_name=True,
    )

    profile: str = "default"
    database_url: str = DEFAULT_DATABASE_URL
    log_directory: Path = Path("var/log")
    feed: FeedSettings = FeedSettings()
    shards: dict[str, ShardSettings] = Field(default_factory=dict)
    historical: HistoricalSettings = HistoricalSettings()
    session: SessionSettings = SessionSettings()
    windows: WindowSettings = WindowSettings()
    baseline: BaselineSettings = BaselineSettings()
    detection: DetectionSettings = DetectionSettings()
    alerts: AlertSettings = AlertSettings()
    archive: ArchiveSettings = ArchiveSettings()
    budget: BudgetSettings = BudgetSettings()
    costs: CostSettings = CostSettings()
    backfill: BackfillSettings = BackfillSettings()
    quality: QualitySettings = QualitySettings()
    dashboard: DashboardSettings = DashboardSettings()
    prefect: PrefectSettings = PrefectSettings()

    databento_api_key: SecretStr | None = Field(None, validation_alias="DATABENTO_API_KEY")
    slack_bot_token: SecretStr | None = Field(None, validation_alias="SLACK_BOT_TOKEN")
    slack_webhook_url: SecretStr | None = Field(None, validation_alias="SLACK_WEBHOOK_URL")
    slack_channel: str | None = Field(None, validation_alias="SLACK_CHANNEL")
    slack_api_url: str = Field("https://slack.com/api/", validation_alias="SLACK_API_URL")

    @field_validator("databento_api_key", "slack_bot_token", "slack_webhook_url", mode="before")
    @classmethod
    def _empty_is_absent(cls, value: Any) -> Any:
        # Any: a validator before parsing sees whatever the environment or a caller gave.
        return None if isinstance(value, str) and not value.strip() else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over everything that `load_settings` read from YAML."""
        return (env_settings, init_settings)

    @property
    def shard_names(self) -> tuple[str, ...]:
        """Every shard that is configured."""
        return tuple(sorted({*self.shards, self.feed.shard}))

    def of_shard(self, name: str) -> Settings:
        """Return these settings for another shard, with its parents.

        Raises
        ------
        ConfigurationError
            If no such shard is configured.
        """
        if name == self.feed.shard:
            return self
        if name not in self.shards:
            raise ConfigurationError(
                f"there is no shard {name!r}: add its parents under shards, or choose one of "
                f"{', '.join(self.shard_names)}"
            )
        chosen = self.shards[name].model_dump()
        return self.model_copy(
            update={"feed": self.feed.model_copy(update={"shard": name, **chosen})}
        )

    def require_databento_key(self) -> str:
        """Return the Databento key, for the one place that needs it in the clear.

        Raises
        ------
        ConfigurationError
            If there is none, or what is set cannot be one.
        """
        if self.databento_api_key is None:
            raise ConfigurationError(
                "DATABENTO_API_KEY is not set: export it, or run `ifd up`, which starts the local "
                "exchange when there is no key"
            )
        key = self.databento_api_key.get_secret_value()
        if len(key) != DATABENTO_KEY_LENGTH or not key.startswith("db-"):
            raise ConfigurationError(
                f"DATABENTO_API_KEY is not a key: one has {DATABENTO_KEY_LENGTH} characters and "
                "begins with db-"
            )
        return key

    def engine_params(self) -> EngineParams:
        """Return the frozen parameters the engine is built with."""
        return EngineParams(
            profile=self.profile,
            windows=self.windows.params(),
            baseline=BaselineParams(
                sessions=self.baseline.sessions,
                bucket_ns=self.baseline.bucket_minutes * NANOS_PER_MINUTE,
                min_sessions=self.baseline.min_sessions,
            ),
            detection=DetectionParams(
                min_confidence=self.detection.min_confidence,
                min_volume=self.detection.min_volume,
                cooldown_ns=self.detection.cooldown_seconds * NANOS_PER_SECOND,
                prior_median=self.detection.prior_median,
                prior_mad=self.detection.prior_mad,
                max_position_multiplier=self.detection.max_position_multiplier,
            ),
        )

    @property
    def alert_channel(self) -> str | None:
        """Where alerts are owed: a Slack channel, `webhook`, or None when Slack is not set up."""
        if self.slack_bot_token is not None:
            return self.slack_channel
        return None if self.slack_webhook_url is None else WEBHOOK_CHANNEL

    @property
    def source(self) -> str:
        """`simulated` or `live`: the word every screen shows."""
        return "simulated" if self.feed.simulated else "live"


def profile_names() -> list[str]:
    """Return the profiles that exist, in order."""
    return sorted(path.stem for path in (CONFIG_DIR / "profiles").glob("*.yaml"))


def load_settings(*, profile: str | None = None, database_url: str | None = None) -> Settings:
    """Return the settings in force; arguments (the command line) win over the environment.

    Raises
    ------
    ConfigurationError
        If the profile is unknown or any value is out of range, naming each.
    """
    base = _read_yaml(CONFIG_DIR / "base.yaml")
    name = profile or os.environ.get("IFD_PROFILE") or base.get("profile") or "default"
    path = CONFIG_DIR / "profiles" / f"{name}.yaml"
    if name not in profile_names():
        raise ConfigurationError(
            f"there is no profile {name!r}; choose one of {', '.join(profile_names())}"
        )
    values = _merge(base, _read_yaml(path)) | {"profile": name}
    try:
        settings = _with_parents(Settings(**values))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors()
        )
        raise ConfigurationError(f"these settings cannot be used: {problems}") from None
    given: dict[str, Any] = {"profile": name}
    if database_url:
        given["database_url"] = database_url
    return settings.model_copy(update=given)


def _with_parents(settings: Settings) -> Settings:
    """Fill in the parents of the shard where the feed names none of its own."""
    feed = settings.feed
    shard = settings.shards.get(feed.shard)
    if shard is None:
        if not feed.parents:
            raise ConfigurationError(
                f"nobody says what shard {feed.shard!r} streams: add it under shards, or set "
                "feed.parents"
            )
        return settings
    filled = {
        "parents": feed.parents or shard.parents,
        "futures": feed.futures or shard.futures,
    }
    return settings.model_copy(update={"feed": feed.model_copy(update=filled)})


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path} must hold sections and keys, found {values!r}")
    return values


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = _merge(inner, value) if isinstance(inner, dict) else value
    return merged
