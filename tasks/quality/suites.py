"""The suites, as code: named checks of each batch, and how grave it is when one fails.

Critical is what makes signals untrue; it puts the batch into quarantine. What may be poor and still
true is a warning. docs/quality.md says why each threshold is where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from great_expectations.expectations.core.expect_column_pair_values_a_to_be_greater_than_b import (
    ExpectColumnPairValuesAToBeGreaterThanB,
)
from great_expectations.expectations.core.expect_column_values_to_be_between import (
    ExpectColumnValuesToBeBetween,
)
from great_expectations.expectations.core.expect_column_values_to_be_in_set import (
    ExpectColumnValuesToBeInSet,
)
from great_expectations.expectations.core.expect_column_values_to_be_null import (
    ExpectColumnValuesToBeNull,
)
from great_expectations.expectations.core.expect_column_values_to_be_unique import (
    ExpectColumnValuesToBeUnique,
)
from great_expectations.expectations.core.expect_table_row_count_to_be_between import (
    ExpectTableRowCountToBeBetween,
)
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from config.settings import QualitySettings
from models.quality_results import CRITICAL, WARNING
from runtime.quality import batches

Checks = list[Expectation]

_NEAR_CLOCK_SHARE: Final = 0.001
_FAR_CLOCK_SHARE: Final = 0.01
_CROSSED_SHARE: Final = 0.05
_UNKNOWN_SHARE: Final = 0.001
_PROVIDER_SHARE: Final = 0.001
_PROVIDER_FAR_SHARE: Final = 0.05
_LEAST_COVERED_SHARE: Final = 0.5
_HEARTBEAT_SECONDS: Final = 60
_MISSING_SHARE: Final = 0.01


def suite_of(name: str, settings: QualitySettings) -> Checks:
    """Return the checks of a batch."""
    return _SUITES[name](settings)


def row_name(suite: str) -> str | None:
    """Return the column that names a row of a batch, for telling which rows failed."""
    return _ROW_NAMES.get(suite)


def check_names(settings: QualitySettings) -> dict[str, dict[str, str]]:
    """Return the severity of every check by suite and name."""
    return {
        suite: {str((one.meta or {})["check"]): str(one.severity.value) for one in make(settings)}
        for suite, make in _SUITES.items()
    }


def _check(
    kind: type[Expectation], name: str, *, severity: str = CRITICAL, **values: Any
) -> Expectation:
    # Any: each kind of expectation has its own arguments.
    return kind(meta={"check": name}, severity=FailureSeverity(severity), **values)


def _none(column: str, name: str, *, severity: str = CRITICAL) -> Expectation:
    """Return the check that a count is 0 in every row."""
    kind = ExpectColumnValuesToBeBetween
    return _check(kind, name, severity=severity, column=column, min_value=0, max_value=0)


def _at_most(column: str, name: str, most: float, *, severity: str = CRITICAL) -> Expectation:
    kind = ExpectColumnValuesToBeBetween
    return _check(kind, name, severity=severity, column=column, max_value=most)


def _at_least(column: str, name: str, least: float, *, severity: str = CRITICAL) -> Expectation:
    kind = ExpectColumnValuesToBeBetween
    return _check(kind, name, severity=severity, column=column, min_value=least)


def _is(column: str, name: str, truth: bool, *, severity: str = CRITICAL) -> Expectation:
    kind = ExpectColumnValuesToBeInSet
    return _check(kind, name, severity=severity, column=column, value_set=[truth])


def _nothing_said(column: str, name: str) -> Expectation:
    return _check(ExpectColumnValuesToBeNull, name, column=column)


def _orders(_settings: QualitySettings) -> Checks:
    return [
        _none("zero_sizes", "sizes_are_positive"),
        _none("repeated", "no_order_comes_twice"),
        _none("wrong_sides", "fills_rest_on_the_other_side"),
        _is("defined", "every_instrument_is_defined", True),
        _is("in_archive", "the_archive_defines_it", True, severity=WARNING),
        _is("in_tables", "the_tables_define_it", True, severity=WARNING),
        _none("off_tick", "prices_lie_on_the_tick", severity=WARNING),
    ]


def _archive(_settings: QualitySettings) -> Checks:
    return [
        _nothing_said("problem", "files_are_as_catalogued"),
        _at_most("early_share", "capture_follows_event", _NEAR_CLOCK_SHARE),
        _at_most("slow_share", "capture_is_prompt", _FAR_CLOCK_SHARE),
        _none("steps_back", "time_never_steps_back"),
        _is("misdated", "files_lie_in_their_session", False),
        _is("ahead", "nothing_is_of_the_future", False),
        _at_most("crossed_share", "books_are_not_crossed", _CROSSED_SHARE),
        _at_most("unknown_share", "orders_are_known", _UNKNOWN_SHARE, severity=WARNING),
    ]


def _instruments(_settings: QualitySettings) -> Checks:
    return [
        _check(ExpectTableRowCountToBeBetween, "something_is_listed", min_value=1),
        _is("off_grid", "strikes_lie_on_the_grid", False),
        _is("has_strike", "options_have_strikes", True),
        _check(ExpectColumnValuesToBeUnique, "symbols_are_unique", column="raw_symbol"),
        _at_least("multiplier", "multipliers_are_positive", 1e-9),
        _at_least("min_price_increment", "ticks_are_positive", 1),
        _is("expired", "nothing_listed_has_expired", False, severity=WARNING),
        _is("has_underlying", "underlyings_are_listed", True, severity=WARNING),
    ]


def _windows(_settings: QualitySettings) -> Checks:
    return [
        _none("negative", "volumes_are_not_negative"),
        _none("misshapen", "windows_lie_on_their_grid"),
        _none("print_beyond_volume", "prints_fit_their_window"),
    ]


def _flow(_settings: QualitySettings) -> Checks:
    return [_nothing_said("difference", "windows_match_trades")]


def _bars(_settings: QualitySettings) -> Checks:
    pairs = [("high", "open"), ("high", "close"), ("open", "low"), ("close", "low")]
    ordered = [
        _check(
            ExpectColumnPairValuesAToBeGreaterThanB,
            "bars_are_possible",
            column_A=above,
            column_B=below,
            or_equal=True,
        )
        for above, below in pairs
    ]
    return [_nothing_said("difference", "bars_match_trades"), *ordered]


def _baselines(settings: QualitySettings) -> Checks:
    days = settings.max_baseline_age_days
    return [
        _none("impossible", "statistics_are_possible"),
        _at_most("age_days", "baselines_are_fresh", days, severity=WARNING),
    ]


def _signals(_settings: QualitySettings) -> Checks:
    shares = ("confidence", "percentile_rank", "market_making_probability")
    kind = ExpectColumnValuesToBeBetween
    return [
        *(
            _check(kind, "probabilities_are_shares", column=name, min_value=0, max_value=1)
            for name in shares
        ),
        _check(ExpectColumnValuesToBeUnique, "signals_are_unique", column="signal_id"),
        _at_least("volume", "signals_have_volume", 1),
        _at_least("reasons", "signals_have_reasons", 1),
        _is("of_listed_option", "signals_are_of_listed_options", True),
        _is("in_window", "signals_lie_in_their_window", True),
        _check(
            ExpectColumnPairValuesAToBeGreaterThanB,
            "positions_are_capped",
            column_A="most_multiplier",
            column_B="position_size_multiplier",
            or_equal=True,
        ),
    ]


def _coverage(settings: QualitySettings) -> Checks:
    silence = settings.max_future_silence_seconds
    return [
        _at_most("future_silence_s", "the_future_is_never_stale", silence),
        _at_least("covered_share", "half_of_the_session_is_covered", _LEAST_COVERED_SHARE),
        _at_least(
            "covered_share",
            "the_session_is_covered",
            settings.min_covered_share,
            severity=WARNING,
        ),
        _none("lost_gaps", "no_gap_is_lost", severity=WARNING),
    ]


def _provider(_settings: QualitySettings) -> Checks:
    column, near, far = "difference_share", _PROVIDER_SHARE, _PROVIDER_FAR_SHARE
    return [
        _at_most(column, "the_archive_is_near_the_provider", far),
        _at_most(column, "the_archive_agrees_with_the_provider", near, severity=WARNING),
    ]


def _stream(settings: QualitySettings) -> Checks:
    skew, kind = settings.max_clock_skew_seconds, ExpectColumnValuesToBeBetween
    return [
        _at_most("heartbeat_age_s", "the_stream_is_alive", _HEARTBEAT_SECONDS),
        _check(kind, "clocks_agree", column="clock_skew_s", min_value=-skew, max_value=skew),
        _none("negative_windows", "recent_volumes_are_not_negative"),
        _none("bad_baselines", "baselines_are_possible"),
        _at_most("future_age_s", "the_future_is_fresh", settings.max_future_silence_seconds),
        _at_least("records", "records_arrive", 1, severity=WARNING),
        _at_most("missing_share", "little_is_missing", _MISSING_SHARE, severity=WARNING),
    ]


_SUITES: Final[dict[str, Callable[[QualitySettings], Checks]]] = {
    batches.ARCHIVE: _archive,
    batches.ORDERS: _orders,
    batches.INSTRUMENTS: _instruments,
    batches.WINDOWS: _windows,
    batches.FLOW: _flow,
    batches.BARS: _bars,
    batches.BASELINES: _baselines,
    batches.SIGNALS: _signals,
    batches.COVERAGE: _coverage,
    batches.PROVIDER: _provider,
    batches.STREAM: _stream,
}
_ROW_NAMES: Final = {
    batches.ARCHIVE: "file",
    batches.ORDERS: "instrument_id",
    batches.INSTRUMENTS: "raw_symbol",
    batches.WINDOWS: "instrument_id",
    batches.BASELINES: "metric",
    batches.SIGNALS: "signal_id",
}
