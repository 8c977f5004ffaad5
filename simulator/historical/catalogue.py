"""What may be asked of the library: ranges, conditions, fields; and the refusals that follow."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from databento import Publisher

from ifd.units import NANOS_PER_SECOND, utc_from_ns
from simulator.historical.holding import dtype_of
from simulator.historical.library import (
    NANOS_PER_DAY,
    Library,
    midnight_ns,
    query_days,
)
from simulator.historical.problems import ApiProblem, invalid, unlicensed, unresolved
from simulator.historical.query import RangeQuery
from simulator.historical.symbols import days_between
from simulator.historical.terms import Terms

Json = dict[str, Any]
_SATURDAY: Final = 5


class Catalogue:
    """The library under its terms."""

    def __init__(self, library: Library, terms: Terms) -> None:
        self._library = library
        self._terms = terms

    def publishers(self) -> list[Json]:
        """Return the publishers of the dataset that is served."""
        return [
            {
                "publisher_id": publisher.to_int(),
                "dataset": str(publisher.dataset),
                "venue": str(publisher.venue),
                "description": publisher.description,
            }
            for publisher in Publisher
            if str(publisher.dataset) == self._library.dataset
        ]

    def datasets(self, first: dt.date | None, last: dt.date | None) -> list[str]:
        """Return the dataset, if it has a day in `[first, last]`."""
        days = [one.day for one in self._library.days()]
        begins, ends = first or days[0], last or days[-1]
        return [self._library.dataset] if any(begins <= day <= ends for day in days) else []

    def schemas(self, dataset: str) -> list[str]:
        """Return the schemas of the dataset."""
        self.require_dataset(dataset)
        return self._library.schemas()

    def fields(self, schema: str) -> list[dict[str, str]]:
        """Return the name and C type of each field of a schema's binary records."""
        dtype = dtype_of(schema)
        return [{"name": name, "type": _c_type(dtype[name])} for name in dtype.names or ()]

    def unit_prices(self, dataset: str) -> Mapping[str, float]:
        """Return the price of a GiB of each schema."""
        self.require_dataset(dataset)
        return self._terms.unit_prices

    def unit_price(self, schema: str) -> float:
        """Return the price of a GiB of a schema.

        Raises
        ------
        ApiProblem
            422 if it is not for sale.
        """
        price = self._terms.unit_prices.get(schema)
        if price is None:
            raise ApiProblem(
                422, f"There is no price for schema {schema}.", case="data_schema_not_priced"
            )
        return price

    def dataset_range(self, dataset: str) -> Json:
        """Return from when to when there is history, as a whole and by schema."""
        self.require_dataset(dataset)
        schemas = self._library.schemas()
        ranges = {schema: self._range_ns(schema) for schema in schemas}
        return {
            **_range_json(
                min(start for start, _ in ranges.values()), max(end for _, end in ranges.values())
            ),
            "schema": {schema: _range_json(*ranges[schema]) for schema in schemas},
        }

    def conditions(
        self, dataset: str, first: dt.date | None, last: dt.date | None
    ) -> list[dict[str, str | None]]:
        """Return the condition of each day of `[first, last]` but Saturdays."""
        self.require_dataset(dataset)
        held = {one.day: one.modified for one in self._library.days()}
        begins, ends = first or min(held), last or max(held)
        days = days_between(begins, ends + dt.timedelta(days=1))
        return [self._condition(day, held.get(day)) for day in days if day.weekday() != _SATURDAY]

    def degraded_days(self, query: RangeQuery) -> list[dt.date]:
        """Return the days a query touches whose records are known to be poor."""
        return [day for day in query_days(query) if self._terms.conditions.get(day) == "degraded"]

    def require(self, query: RangeQuery) -> list[str]:
        """Return the symbols that mean nothing in the range, if the query may be answered.

        Raises
        ------
        ApiProblem
            As Databento refuses: dataset, schema, range, license, symbols, in this order.
        """
        self.require_dataset(query.dataset)
        if query.schema not in self._library.schemas():
            raise invalid(f"Schema `{query.schema}` is not available in {query.dataset}.")
        self._require_range(query)
        return self._require_symbols(query)

    def require_dataset(self, dataset: str) -> None:
        """Refuse a dataset that is not served.

        Raises
        ------
        ApiProblem
            422.
        """
        if dataset != self._library.dataset:
            raise ApiProblem(
                422,
                f"Dataset `{dataset}` is not available.",
                case="dataset_not_found",
                payload={"dataset": dataset},
            )

    def _require_range(self, query: RangeQuery) -> None:
        start_ns, end_ns = self._range_ns(query.schema)
        available = {"available_start": _iso(start_ns), "available_end": _iso(end_ns)}
        if query.start_ns >= end_ns or query.end_ns <= start_ns:
            raise ApiProblem(
                422,
                f"Nothing of this range is available: {query.dataset} is from "
                f"{_iso(start_ns)} to {_iso(end_ns)}.",
                case="unavailable_range",
                payload=available,
            )
        if query.end_ns > end_ns:
            raise ApiProblem(
                422,
                f"The dataset {query.dataset} has data available up to '{_iso(end_ns)}'. "
                "The `end` in the query is after the available range. Try requesting with an "
                "earlier `end`.",
                case="data_end_after_available_end",
                payload=available,
            )
        if query.start_ns < start_ns:
            raise ApiProblem(
                422,
                f"The dataset {query.dataset} has data available from '{_iso(start_ns)}'. "
                "The `start` in the query is before the available range.",
                case="data_start_before_available_start",
                payload=available,
            )
        licensed_ns = self._terms.licensed_until_ns
        if licensed_ns is not None and query.end_ns > licensed_ns:
            raise unlicensed(_iso(licensed_ns))

    def _require_symbols(self, query: RangeQuery) -> list[str]:
        unknown = set(query.symbols)
        for day in query_days(query):
            symbology = self._library.symbology.on(day)
            unknown &= set(symbology.resolve(query.symbols, query.stype_in)[1])
        if len(unknown) == len(query.symbols):
            raise unresolved(sorted(unknown))
        return sorted(unknown)

    def _range_ns(self, schema: str) -> tuple[int, int]:
        days = self._library.days(schema)
        end_ns = midnight_ns(days[-1].day) + NANOS_PER_DAY
        cap_ns = self._terms.available_until_ns
        return midnight_ns(days[0].day), end_ns if cap_ns is None else min(end_ns, cap_ns)

    def _condition(self, day: dt.date, modified: dt.date | None) -> dict[str, str | None]:
        usual = "missing" if modified is None else "available"
        condition = self._terms.conditions.get(day, usual)
        known = modified is not None and condition in ("available", "degraded")
        return {
            "date": day.isoformat(),
            "condition": condition,
            "last_modified_date": modified.isoformat() if known and modified else None,
        }


def _range_json(start_ns: int, end_ns: int) -> dict[str, str]:
    return {"start": _iso(start_ns), "end": _iso(end_ns)}


def _iso(ns: int) -> str:
    """Return a moment as Databento writes it: nine digits and a Z."""
    return f"{utc_from_ns(ns):%Y-%m-%dT%H:%M:%S}.{ns % NANOS_PER_SECOND:09d}Z"


def _c_type(dtype: np.dtype[Any]) -> str:
    # Any: a field of a record, of whatever type.
    if dtype.kind == "S":
        return "char" if dtype.itemsize == 1 else f"char[{dtype.itemsize}]"
    return f"{'u' if dtype.kind == 'u' else ''}int{dtype.itemsize * 8}_t"
