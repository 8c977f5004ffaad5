"""`ifd book` and `ifd replay`: DBN files through the engine's own stages."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import orjson
import typer

from cli.common import AsJson, Database, Profile, print_json, settings_for

if TYPE_CHECKING:
    from ifd.baseline import Baselines
    from ifd.book.books import CompiledBook
    from ifd.book.quotes import Best
    from ifd.params import EngineParams
    from ifd.pipeline import Output, Pipeline

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="DBN files of MBO records, oldest first")
]

_BOOK_NUMBERS = (
    "instrument_id",
    "records",
    "events",
    "orders",
    "bid_levels",
    "ask_levels",
    "unknown_cancels",
    "unknown_modifies",
    "unknown_fills",
    "crossed_events",
    "buy_volume",
    "sell_volume",
    "unsided_volume",
)
BBO_COLUMNS = "ts_recv,instrument_id,bid_px,bid_sz,bid_ct,ask_px,ask_sz,ask_ct"


def book(
    files: Files,
    bbo: Annotated[
        Path | None,
        typer.Option("--bbo", metavar="OUT.csv", help="write the best prices at each end of event"),
    ] = None,
    as_json: AsJson = False,
    database: Database = None,
    profile: Profile = None,
) -> None:
    """Rebuild the order books of DBN files and show what rests at the end.

    Example: ifd book 2026-11-23.mbo.dbn.zst --bbo best.csv --json
    """
    settings_for(database, profile)
    from cli.terminal import record_progress
    from cli.whole_file import whole_file
    from ifd.replay import read_mbo
    from ifd.tape import Market

    market = Market()
    with ExitStack() as stack:
        out = None if bbo is None else stack.enter_context(whole_file(bbo))
        if out is not None:
            out.write(BBO_COLUMNS + "\n")
        advance = stack.enter_context(record_progress(files))
        for path in files:
            for records in read_mbo([path]):
                if out is None:
                    market.update(records)
                else:
                    out.writelines(map(_bbo_line, market.best_prices(records)))
                advance(path, len(records))
    found = [_summary(one) for one in market.instruments()]
    if as_json:
        print_json(found)
    else:
        _print_books(found)


def replay(
    files: Files,
    definitions: Annotated[
        list[Path],
        typer.Option("--definitions", metavar="FILE", help="DBN file that defines the instruments"),
    ],
    signals: Annotated[
        Path,
        typer.Option("--signals", metavar="OUT.jsonl", help="write one JSON object a signal"),
    ],
    as_json: AsJson = False,
    database: Database = None,
    profile: Profile = None,
) -> None:
    """Run DBN files through the same engine as live and write the signals it finds.

    Baselines are read from the database when it exists and holds some for this profile.

    Example: ifd replay 2026-11-23.mbo.dbn.zst --definitions definitions.dbn.zst --signals out.jsonl
    """
    settings = settings_for(database, profile)
    from cli.terminal import record_progress
    from cli.whole_file import whole_file
    from ifd.pipeline import Pipeline
    from ifd.replay import read_mbo
    from runtime.baselines import read_all_definitions

    params = settings.engine_params()
    instruments = read_all_definitions(definitions)
    baselines = _stored_baselines(settings.database_url, params)
    pipeline = Pipeline(params, baselines=baselines)
    pipeline.define(instruments)
    begun = time.perf_counter()
    bars = 0
    with whole_file(signals) as out, record_progress(files) as advance:
        for path in files:
            for records in read_mbo([path]):
                bars += _write(out, pipeline.update(records))
                advance(path, len(records))
        bars += _write(out, pipeline.finish())
    found = _replay_summary(pipeline, baselines, time.perf_counter() - begun)
    found |= {"bars": bars, "peak_memory_bytes": _peak_memory_bytes(), "profile": settings.profile}
    if as_json:
        print_json(found)
    else:
        _print_replay(found, signals)


def _bbo_line(best: Best) -> str:
    bid, ask = best.bid, best.ask
    left = ",," if bid is None else f"{bid.price},{bid.size},{bid.orders}"
    right = ",," if ask is None else f"{ask.price},{ask.size},{ask.orders}"
    return f"{best.ts_recv},{best.instrument_id},{left},{right}\n"


def _summary(book: CompiledBook) -> dict[str, Any]:
    # Any: counts, quotes and one flag.
    bid, ask = book.best_bid(), book.best_ask()
    return {name: getattr(book, name) for name in _BOOK_NUMBERS} | {
        "best_bid": None if bid is None else list(bid),
        "best_ask": None if ask is None else list(ask),
        "complete": book.complete,
    }


def _print_books(found: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    from cli.terminal import print_table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("instrument", "records", "orders", "levels", "best bid", "best ask"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("lots bought/sold", justify="right", no_wrap=True)
    table.add_column("book")
    for one in found:
        table.add_row(
            str(one["instrument_id"]),
            f"{one['records']:,}",
            f"{one['orders']:,}",
            f"{one['bid_levels']:,}/{one['ask_levels']:,}",
            _quote(one["best_bid"]),
            _quote(one["best_ask"]),
            f"{one['buy_volume']:,}/{one['sell_volume']:,}",
            _condition(one),
        )
    print_table(table)


def _condition(one: dict[str, Any]) -> str:
    unknown = one["unknown_cancels"] + one["unknown_modifies"] + one["unknown_fills"]
    words = ["complete" if one["complete"] else "incomplete"]
    if unknown:
        words.append(f"{unknown:,} unknown orders")
    if one["crossed_events"]:
        words.append(f"crossed at {one['crossed_events']:,} of {one['events']:,} events")
    if one["unsided_volume"]:
        words.append(f"{one['unsided_volume']:,} lots without side")
    return ", ".join(words)


def _quote(quote: list[int] | None) -> str:
    from ifd.units import price_to_float

    if quote is None:
        return "none"
    price, size, orders = quote
    return f"{price_to_float(price):,.2f} x {size:,} ({orders:,})"


def _stored_baselines(database_url: str, params: EngineParams) -> Baselines | None:
    """Return the baselines of an existing, migrated database; never make one."""
    from models.base import make_engine, parse_url
    from models.baselines import load_baselines
    from models.database import current_revision, readable_errors, require_current

    parsed = parse_url(database_url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        return None
    if current_revision(database_url) is None:
        return None
    require_current(database_url)
    engine = make_engine(database_url)
    try:
        with readable_errors(database_url):
            return load_baselines(engine, params)
    finally:
        engine.dispose()


def _write(out: IO[str], output: Output) -> int:
    for signal in output.signals:
        out.write(orjson.dumps(signal.to_json()).decode() + "\n")
    return sum(bar.closed for bar in output.bars)


def _replay_summary(
    pipeline: Pipeline, baselines: Baselines | None, seconds: float
) -> dict[str, Any]:
    counters = pipeline.counters.as_dict()
    return {
        **counters,
        "seconds": round(seconds, 3),
        "records_per_second": round(counters["records"] / seconds) if seconds else 0,
        "baselines": 0 if baselines is None else len(baselines),
        "baselines_as_of": None if baselines is None else baselines.as_of,
    }


def _peak_memory_bytes() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _print_replay(found: dict[str, Any], signals: Path) -> None:
    baselines = (
        f"{found['baselines']:,} as of {found['baselines_as_of']}"
        if found["baselines"]
        else "none stored for this profile: judged by its prior"
    )
    typer.echo(
        f"{found['records']:,} records in {found['seconds']:.2f} s: "
        f"{found['records_per_second']:,} records/s, "
        f"peak memory {found['peak_memory_bytes'] / 2**20:,.0f} MB"
    )
    typer.echo(
        f"{found['windows']:,} windows, {found['bars']:,} bars, {found['trades']:,} trades; "
        f"baselines: {baselines}"
    )
    troubles = {
        "of instruments without a definition": found["undefined_records"],
        "late": found["late_records"],
        "of unknown orders": found["unknown_orders"],
        "malformed": found["malformed_records"],
    }
    named = [f"{count:,} {name}" for name, count in troubles.items() if count]
    if named:
        typer.echo(f"records that stand out: {', '.join(named)}")
    typer.echo(f"{found['signals']:,} signals in {signals}")
