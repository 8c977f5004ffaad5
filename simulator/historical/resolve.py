"""`symbology.resolve`: names and ids by date, in the shape of Databento's answer."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from simulator.historical.problems import invalid
from simulator.historical.query import (
    Fields,
    one_of,
    parse_date,
    parse_stype,
    parse_symbols,
    required,
)
from simulator.historical.symbols import DatedSymbology, days_between
from simulator.live.symbology import ALL_SYMBOLS

_MESSAGES: Final = ("OK", "Partially resolved", "Not found")


def resolve(symbology: DatedSymbology, fields: Fields) -> dict[str, Any]:
    """Return what the symbols of a request mean, by intervals of dates.

    A symbol that means many instruments, a parent, is answered under the name of each.

    Raises
    ------
    ApiProblem
        400 or 422, as the field that cannot be used demands.
    """
    # Any: the shape of the answer.
    stype_in = parse_stype(required(fields, "stype_in"), "stype_in")
    stype_out = one_of(required(fields, "stype_out"), {"instrument_id", "raw_symbol"}, "stype_out")
    symbols = parse_symbols(fields)
    first, after = _dates(fields)
    result: dict[str, list[dict[str, str]]] = {}
    covered: dict[str, set[dt.date]] = {symbol: set() for symbol in symbols}
    many = stype_in == "parent" or ALL_SYMBOLS in symbols
    days = days_between(first, after)
    for (asked, name), intervals in symbology.intervals(symbols, stype_in, days).items():
        for one in intervals:
            meant = one.symbol if stype_out == "instrument_id" else name
            entry = {"d0": one.first.isoformat(), "d1": one.after.isoformat(), "s": meant}
            result.setdefault(name if many else asked, []).append(entry)
            symbol = asked if asked in covered else ALL_SYMBOLS
            covered[symbol].update(days_between(one.first, one.after))
    not_found = [symbol for symbol in symbols if not covered[symbol]]
    partial = [symbol for symbol in symbols if 0 < len(covered[symbol]) < len(days)]
    status = 2 if len(not_found) == len(symbols) else int(bool(not_found or partial))
    return {
        "result": result,
        "symbols": list(symbols),
        "stype_in": stype_in,
        "stype_out": stype_out,
        "start_date": first.isoformat(),
        "end_date": after.isoformat(),
        "partial": partial,
        "not_found": not_found,
        "message": _MESSAGES[status],
        "status": status,
    }


def _dates(fields: Fields) -> tuple[dt.date, dt.date]:
    first = parse_date(required(fields, "start_date"), "start_date")
    assert first is not None
    after = parse_date(fields.get("end_date"), "end_date") or first + dt.timedelta(days=1)
    if after <= first:
        raise invalid("`start_date` must be before `end_date`.")
    return first, after
