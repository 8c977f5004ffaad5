"""The methods of the API, as routes: parameters in, JSON or a stream of records out."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from simulator.historical.body import compressed_body
from simulator.historical.catalogue import Catalogue
from simulator.historical.holding import dtype_of
from simulator.historical.library import Library
from simulator.historical.prices import MODES, cost_usd
from simulator.historical.problems import ApiProblem
from simulator.historical.query import (
    Fields,
    RangeQuery,
    one_of,
    parse_date,
    parse_range,
    required,
)
from simulator.historical.resolve import resolve
from simulator.historical.terms import Terms
from simulator.live.control import SCHEMAS

PATH: Final = "/v0/"


class Endpoints:
    """Answers from a library, under its terms."""

    def __init__(self, library: Library, terms: Terms) -> None:
        self._library = library
        self._catalogue = Catalogue(library, terms)

    def app(self) -> Starlette:
        """Return the routes; a problem becomes the answer."""
        answers: dict[str, Callable[[Fields], Any]] = {
            # Any: whatever JSON a method answers.
            "metadata.list_publishers": lambda _: self._catalogue.publishers(),
            "metadata.list_datasets": self._list_datasets,
            "metadata.list_schemas": lambda f: self._catalogue.schemas(required(f, "dataset")),
            "metadata.list_fields": self._list_fields,
            "metadata.list_unit_prices": self._list_unit_prices,
            "metadata.get_dataset_condition": self._dataset_condition,
            "metadata.get_dataset_range": self._dataset_range,
            "metadata.get_record_count": lambda f: self._library.count(self._query(f)),
            "metadata.get_billable_size": lambda f: self._billable_size(self._query(f)),
            "metadata.get_cost": self._cost,
            "symbology.resolve": self._resolve,
        }
        routes = [_route(method, _json(answer)) for method, answer in answers.items()]
        routes.append(_route("timeseries.get_range", self._get_range))
        return Starlette(routes=routes, exception_handlers={ApiProblem: _refuse})

    async def _get_range(self, request: Request) -> Response:
        fields = await _fields(request)
        return await run_in_threadpool(self._stream, fields)

    def _stream(self, fields: Fields) -> Response:
        one_of(fields.get("encoding") or "dbn", {"dbn"}, "encoding")
        one_of(fields.get("compression") or "zstd", {"zstd"}, "compression")
        query = parse_range(fields)
        not_found = self._catalogue.require(query)
        headers = self._warnings(query, not_found)
        body = compressed_body(self._library, query, not_found)
        return StreamingResponse(body, media_type="application/octet-stream", headers=headers)

    def _warnings(self, query: RangeQuery, not_found: list[str]) -> Mapping[str, str]:
        warnings = []
        if not_found:
            warnings.append(
                "BentoWarning: The streaming request had one or more symbols which did not "
                f"resolve: {', '.join(not_found)}."
            )
        if degraded := self._catalogue.degraded_days(query):
            days = ", ".join(f"{day.isoformat()} (degraded)" for day in degraded)
            warnings.append(
                "BentoWarning: The streaming request contained one or more days which have "
                f"reduced quality: {days}."
            )
        return {"X-Warning": json.dumps(warnings)} if warnings else {}

    def _query(self, fields: Fields) -> RangeQuery:
        query = parse_range(fields)
        self._catalogue.require(query)
        return query

    def _billable_size(self, query: RangeQuery) -> int:
        return self._library.count(query) * dtype_of(query.schema).itemsize

    def _cost(self, fields: Fields) -> float:
        query = self._query(fields)
        unit_price = self._catalogue.unit_price(query.schema)
        return cost_usd(self._billable_size(query), unit_price)

    def _list_datasets(self, fields: Fields) -> list[str]:
        return self._catalogue.datasets(*_dates(fields))

    def _list_fields(self, fields: Fields) -> list[dict[str, str]]:
        one_of(fields.get("encoding") or "dbn", {"dbn"}, "encoding")
        return self._catalogue.fields(one_of(required(fields, "schema"), SCHEMAS, "schema"))

    def _list_unit_prices(self, fields: Fields) -> list[dict[str, Any]]:
        # Any: a name and a mapping of prices.
        prices = dict(self._catalogue.unit_prices(required(fields, "dataset")))
        return [{"mode": mode, "unit_prices": prices} for mode in MODES]

    def _dataset_condition(self, fields: Fields) -> list[dict[str, str | None]]:
        return self._catalogue.conditions(required(fields, "dataset"), *_dates(fields))

    def _dataset_range(self, fields: Fields) -> dict[str, Any]:
        # Any: moments, and the same again by schema.
        return self._catalogue.dataset_range(required(fields, "dataset"))

    def _resolve(self, fields: Fields) -> dict[str, Any]:
        # Any: the shape of Databento's answer.
        self._catalogue.require_dataset(required(fields, "dataset"))
        return resolve(self._library.symbology, fields)


def _route(method: str, endpoint: Callable[[Request], Any]) -> Route:
    # Any: a coroutine of a response, in the framework's own terms.
    return Route(f"{PATH}{method}", endpoint, methods=["GET", "POST"])


def _json(answer: Callable[[Fields], Any]) -> Callable[[Request], Any]:
    # Any: as `_route`.
    async def endpoint(request: Request) -> Response:
        fields = await _fields(request)
        return JSONResponse(await run_in_threadpool(answer, fields))

    return endpoint


async def _fields(request: Request) -> Fields:
    # The body is parsed here: the framework's own parser needs one more package for any form.
    body = (await request.body()).decode("utf-8", errors="replace")
    return {**request.query_params, **dict(parse_qsl(body))}


async def _refuse(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, ApiProblem)
    return problem.response()


def _dates(fields: Fields) -> tuple[dt.date | None, dt.date | None]:
    return (
        parse_date(fields.get("start_date"), "start_date"),
        parse_date(fields.get("end_date"), "end_date"),
    )
