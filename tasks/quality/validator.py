"""Run suites over batches with Great Expectations, and flatten what it found into rows.

One context in memory a validation: a context on disk grows with every run. Data Docs are written
from it once, into a folder of their own, and pruned by age.
"""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any, Final

import great_expectations as gx
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.core.validation_definition import ValidationDefinition
from great_expectations.data_context.types.base import ProgressBarsConfig

from config.settings import QualitySettings
from ifd.units import NANOS_PER_SECOND
from models.quality import QualityResultRow
from models.quality_results import CRITICAL, INFO
from runtime.quality.batches import Batch
from tasks.quality.suites import row_name, suite_of

WAS_MADE: Final = "was_made"
"""Name of the check that says a suite had something to look at."""
SHOWN: Final = 5
_DAY_SECONDS: Final = 86_400
_OBSERVED_CHARACTERS: Final = 500


class Validator:
    """Validates the batches of one session, one after the other.

    Parameters
    ----------
    validation_id : str
        Common to all results.
    """

    def __init__(
        self,
        settings: QualitySettings,
        *,
        validation_id: str,
        shard: str,
        session_date: str,
        checked_ns: int,
    ) -> None:
        self._settings = settings
        # Any: a value of each column's type.
        self._common: dict[str, Any] = {
            "validation_id": validation_id,
            "shard": shard,
            "session_date": session_date,
            "checked_ns": checked_ns,
        }
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._source = self._context.data_sources.add_pandas("measures")
        self._suites: dict[str, gx.ExpectationSuite] = {}

    def validate(self, batch: Batch) -> list[QualityResultRow]:
        """Return a result for each check of a batch; one that cannot be made says why."""
        if batch.not_made is not None:
            made = self._row(batch, WAS_MADE, INFO, success=False)
            made.error = f"not made: {batch.not_made}"
            return [made]
        definition = self._definition(batch)
        found = definition.run(
            batch_parameters={"dataframe": batch.frame},
            result_format=_result_format(batch.suite),
        )
        return [self._flat(batch, one) for one in found.results]

    def write_docs(self, directory: Path) -> Path:
        """Write Data Docs of everything that was validated; return their first page.

        Raises
        ------
        OSError
            If the directory cannot be written.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._context.delete_data_docs_site("local_site")
        self._context.add_data_docs_site(
            "docs",
            {
                "class_name": "SiteBuilder",
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                "store_backend": {
                    "class_name": "TupleFilesystemStoreBackend",
                    "base_directory": str(directory.absolute()),
                },
            },
        )
        self._context.build_data_docs()
        return directory.absolute() / "index.html"

    def _definition(self, batch: Batch) -> ValidationDefinition:
        suite = self._suites.get(batch.suite)
        if suite is None:
            checks = suite_of(batch.suite, self._settings)
            suite = gx.ExpectationSuite(name=batch.suite, expectations=checks)
            suite = self._suites[batch.suite] = self._context.suites.add(suite)
        name = f"{batch.suite} {batch.name}"
        asset = self._source.add_dataframe_asset(name)
        whole: BatchDefinition[Any] = asset.add_batch_definition_whole_dataframe(name)
        # Any: whatever splits a batch of the asset; nothing does.
        return self._context.validation_definitions.add(
            ValidationDefinition(name=name, data=whole, suite=suite)
        )

    def _flat(self, batch: Batch, found: ExpectationValidationResult) -> QualityResultRow:
        config = found.expectation_config
        assert config is not None
        raised = _raised(found.exception_info)
        row = self._row(
            batch,
            str((config.meta or {})["check"]),
            CRITICAL if config.severity is None else str(config.severity.value),
            success=bool(found.success) and raised is None,
        )
        row.elements = found.result.get("element_count")
        row.unexpected = found.result.get("unexpected_count")
        row.observed = _observed(found.result)[:_OBSERVED_CHARACTERS]
        row.error = raised
        return row

    def _row(self, batch: Batch, check: str, severity: str, *, success: bool) -> QualityResultRow:
        return QualityResultRow(
            **self._common,
            suite=batch.suite,
            batch=batch.name,
            check_name=check,
            severity=severity,
            success=success,
        )


def prune_docs(directory: Path, *, now_ns: int, keep_days: int) -> int:
    """Delete folders of Data Docs that were written more than `keep_days` ago; return how many."""
    oldest = now_ns / NANOS_PER_SECOND - keep_days * _DAY_SECONDS
    old = [
        folder
        for folder in directory.glob("????-??-??-*")
        if folder.is_dir() and folder.stat().st_mtime < oldest
    ]
    for folder in old:
        shutil.rmtree(folder)
    return len(old)


def docs_name(session_date: str, shard: str, moment: dt.datetime) -> str:
    """Return the name of a validation's folder: `2026-11-24-nq-213005`."""
    return f"{session_date}-{shard}-{moment:%H%M%S}"


def _result_format(suite: str) -> dict[str, Any]:
    # Any: as the library takes it.
    name = row_name(suite)
    shown: dict[str, Any] = {"result_format": "SUMMARY", "partial_unexpected_count": SHOWN}
    return shown if name is None else shown | {"unexpected_index_column_names": [name]}


def _raised(info: Any) -> str | None:
    # Any: one dictionary, or one for each metric that raised. A check the library could not make is
    # no finding about the data: it is an error, and as good as failed.
    if not info:
        return None
    each = [info] if "raised_exception" in info else list(info.values())
    told = [str(one["exception_message"]) for one in each if one.get("raised_exception")]
    return "; ".join(told) or None


def _observed(result: dict[str, Any]) -> str:
    # Any: JSON of the library's own making.
    if "observed_value" in result:
        return str(result["observed_value"])
    # A row is a dictionary where the batch names its rows, else its number, which tells nobody.
    rows = [
        row for row in result.get("partial_unexpected_index_list") or [] if isinstance(row, dict)
    ]
    values = result.get("partial_unexpected_list") or []
    told = [", ".join(f"{name} {value}" for name, value in row.items()) for row in rows] or values
    return "; ".join(str(one) for one in told[:SHOWN])
