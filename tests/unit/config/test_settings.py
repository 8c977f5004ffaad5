"""Settings: base under profile under environment under command line; secrets never shown."""

import pytest

from config.settings import load_settings, profile_names
from ifd.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("IFD_", "SLACK_", "DATABENTO_")) and name != "IFD_TEST_DATA":
            monkeypatch.delenv(name)


def test_a_profile_changes_what_it_names_and_nothing_else() -> None:
    default, conservative = load_settings(), load_settings(profile="conservative")

    assert conservative.detection.min_confidence > default.detection.min_confidence
    assert conservative.windows == default.windows
    assert conservative.feed == default.feed


def test_the_environment_wins_over_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IFD_DETECTION__MIN_VOLUME", "77")

    assert load_settings(profile="conservative").detection.min_volume == 77


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IFD_DATABASE_URL", "sqlite:///a.db")
    monkeypatch.setenv("IFD_PROFILE", "default")

    settings = load_settings(profile="conservative", database_url="sqlite:///b.db")

    assert (settings.profile, settings.database_url) == ("conservative", "sqlite:///b.db")


def test_an_unknown_profile_is_named_with_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match="conservative, default"):
        load_settings(profile="bold")


def test_a_mistyped_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IFD_DETECTION__MIN_VOLUM", "77")

    with pytest.raises(ConfigurationError, match=r"detection\.min_volum"):
        load_settings()


def test_a_value_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IFD_ALERTS__MIN_CONFIDENCE", "80")

    with pytest.raises(ConfigurationError, match=r"alerts\.min_confidence"):
        load_settings()


def test_secrets_come_from_the_environment_and_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABENTO_API_KEY", "db-very-secret")
    monkeypatch.setenv("SLACK_BOT_TOKEN", " ")

    settings = load_settings()

    assert settings.databento_api_key is not None
    assert settings.databento_api_key.get_secret_value() == "db-very-secret"
    assert "very-secret" not in repr(settings)
    assert settings.slack_bot_token is None


@pytest.mark.parametrize("key", [None, "db-short", "x" * 32])
def test_what_cannot_be_a_databento_key_is_refused_without_being_shown(
    key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if key is not None:
        monkeypatch.setenv("DATABENTO_API_KEY", key)

    with pytest.raises(ConfigurationError, match="DATABENTO_API_KEY is not") as refusal:
        load_settings().require_databento_key()

    assert key is None or key not in str(refusal.value)


@pytest.mark.parametrize("name", profile_names())
def test_every_shipped_profile_builds_engine_parameters_of_its_own(name: str) -> None:
    params = load_settings(profile=name).engine_params()

    assert params.profile == name
    assert len(params.fingerprint()) == 16
    others = [
        load_settings(profile=other).engine_params() for other in profile_names() if other != name
    ]
    assert params.fingerprint() not in {other.fingerprint() for other in others}


def test_the_gateway_host_follows_the_dataset_unless_one_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_settings().feed.gateway_host == "glbx-mdp3.lsg.databento.com"
    monkeypatch.setenv("IFD_FEED__HOST", "127.0.0.1")
    assert load_settings().feed.gateway_host == "127.0.0.1"


def test_a_shard_streams_its_own_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IFD_SHARDS__ES__PARENTS", '["ES.OPT"]')
    monkeypatch.setenv("IFD_SHARDS__ES__FUTURES", '["ES.FUT"]')
    settings = load_settings()

    other = settings.of_shard("es")

    assert (settings.feed.shard, len(settings.feed.parents)) == ("nq", 26)
    assert settings.feed.futures == ["NQ.FUT"]
    assert (other.feed.shard, other.feed.parents, other.feed.futures) == (
        "es",
        ["ES.OPT"],
        ["ES.FUT"],
    )
    assert other.of_shard("nq").feed == settings.feed


def test_parents_named_for_the_feed_win_over_those_of_its_shard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IFD_FEED__PARENTS", '["NQ.OPT"]')

    assert load_settings().feed.parents == ["NQ.OPT"]
    assert load_settings().feed.futures == ["NQ.FUT"]


def test_a_shard_nobody_configured_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no shard 'rty'.*one of nq"):
        load_settings().of_shard("rty")
    monkeypatch.setenv("IFD_FEED__SHARD", "rty")

    with pytest.raises(ConfigurationError, match="what shard 'rty' streams"):
        load_settings()
