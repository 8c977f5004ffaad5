"""What a request asks for: form fields and query strings, as Databento's client writes them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ifd.units import NANOS_PER_SECOND, ns_from_datetime
from simulator.historical.problems import ApiProblem, invalid
from simulator.live.control import SCHEMAS, SYMBOLOGIES

SYMBOLS_PER_REQUEST: Final = 2_000
_FRACTION: Final = re.compile(r"\.(\d{1,9})\d*")
_DIGITS_OF_NANOS: Final = 9
Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RangeQuery:
    """Records of a schema and of symbols in `[start_ns, end_ns)`, at most `limit` of them."""

    dataset: str
    schema: str
    stype_in: str
    symbols: tuple[str, ...]
    start_ns: int
    end_ns: int
    limit: int | None


def parse_range(fields: Fields) -> RangeQuery:
    """Return the query of a form.

    Raises
    ------
    ApiProblem
        400 or 422, as the field that cannot be used demands.
    """
    start_text = required(fields, "start")
    start_ns = parse_moment(start_text, "start")
    query = RangeQuery(
        dataset=required(fields, "dataset"),
        schema=one_of(fields.get("schema") or "trades", SCHEMAS, "schema"),
        stype_in=parse_stype(fields.get("stype_in") or "raw_symbol", "stype_in"),
        symbols=parse_symbols(fields),
        start_ns=start_ns,
        end_ns=_end_ns(fields.get("end"), start_text, start_ns),
        limit=_limit(fields.get("limit")),
    )
    one_of(fields.get("stype_out") or "instrument_id", {"instrument_id"}, "stype_out")
    if query.start_ns >= query.end_ns:
        raise ApiProblem(
            422,
            "`start` must be before `end`.",
            case="data_time_range_start_on_or_after_end",
            payload={"start": start_text, "end": fields.get("end")},
        )
    return query


def parse_symbols(fields: Fields) -> tuple[str, ...]:
    """Return the symbols of a request, in its order and each once.

    Raises
    ------
    ApiProblem
        400 if there is none, 422 if there are more than one request may have.
    """
    symbols = tuple(dict.fromkeys(s for s in required(fields, "symbols").split(",") if s))
    if not symbols:
        raise invalid("`symbols` is required.")
    if len(symbols) > SYMBOLS_PER_REQUEST:
        raise ApiProblem(
            422,
            f"A request may have {SYMBOLS_PER_REQUEST} symbols at most, {len(symbols)} given.",
            case="symbology_too_many_symbols",
        )
    return symbols


def required(fields: Fields, name: str) -> str:
    """Return a field.

    Raises
    ------
    ApiProblem
        400 if it is missing or empty.
    """
    value = fields.get(name)
    if not value:
        raise invalid(f"`{name}` is required.")
    return value


def one_of(value: str, allowed: frozenset[str] | set[str], name: str) -> str:
    """Return `value` if it is allowed.

    Raises
    ------
    ApiProblem
        400 if it is not.
    """
    if value not in allowed:
        raise invalid(f"`{value}` is not a valid {name}.")
    return value


def parse_stype(value: str, name: str) -> str:
    """Return a symbology type.

    Raises
    ------
    ApiProblem
        400 if there is none of this name.
    """
    return one_of(value, SYMBOLOGIES, name)


def parse_moment(text: str, name: str) -> int:
    """Return nanoseconds UTC of an integer, a date or an ISO 8601 time; UTC unless it says so.

    >>> parse_moment("2026-10-05T13:30:00.000000001Z", "start") % 10
    1

    Raises
    ------
    ApiProblem
        400 if it is none of them.
    """
    if text.isdecimal():
        return int(text)
    fraction = _FRACTION.search(text)
    try:
        moment = dt.datetime.fromisoformat(_FRACTION.sub("", text))
    except ValueError:
        raise invalid(f"`{text}` is not a valid {name}.") from None
    whole = ns_from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC))
    return whole + (int(fraction[1].ljust(_DIGITS_OF_NANOS, "0")) if fraction else 0)


def parse_date(text: str | None, name: str) -> dt.date | None:
    """Return a date, or None where the field is absent.

    Raises
    ------
    ApiProblem
        400 if it is no date.
    """
    if not text:
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise invalid(f"`{text}` is not a valid {name}.") from None


def _end_ns(text: str | None, start_text: str, start_ns: int) -> int:
    if text:
        return parse_moment(text, "end")
    try:
        dt.date.fromisoformat(start_text)
    except ValueError:
        raise invalid("`end` is required unless `start` is a date.") from None
    return start_ns + 86_400 * NANOS_PER_SECOND


def _limit(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise invalid(f"`{text}` is not a valid limit.")
    return int(text)
