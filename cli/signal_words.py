"""Signals in words and columns for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ifd.sessions import MARKET_ZONE
from ifd.units import NANOS_PER_MILLISECOND, NANOS_PER_SECOND, price_to_float, utc_from_ns
from models.market import BaselineRow, PressureWindowRow
from models.search import Explanation
from models.signals import AlertOutboxRow, SignalRow
from sinks.messages import SOURCES, contract, percent


def table(signals: Iterable[SignalRow]) -> str:
    """Return one line for each signal under a line of headings."""
    rows = [
        (
            _moment(row.ts_event),
            contract(row),
            row.side,
            f"{row.confidence:.2f}",
            row.tier,
            f"{row.volume:,}",
            row.pattern,
            row.action,
            row.source + (" late" if row.late else ""),
            row.signal_id,
        )
        for row in signals
    ]
    headings = "time (ET)", "contract", "side", "conf", "tier", "lots", "pattern", "action"
    return "\n".join(_columns([(*headings, "source", "signal"), *rows]))


def values(row: SignalRow) -> str:
    """Return every value of a signal, one a line."""
    facts = row.model_dump(exclude={"id", "why", "factors"})
    lines = _columns([(name, _plain(value)) for name, value in facts.items()])
    return "\n".join([*lines, *(f"why  {reason}" for reason in row.why)])


def words(explanation: Explanation) -> str:
    """Return everything that explains a signal, section by section."""
    return "\n".join(_sections(explanation))


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Return the same as an object for JSON."""
    window = explanation.window
    return {
        "signal": explanation.signal.to_signal_json(),
        "window": None if window is None else window.model_dump(),
        "baselines": [row.model_dump() for row in explanation.baselines],
        "params": explanation.params,
        "alerts": [row.model_dump(exclude={"id"}) for row in explanation.alerts],
    }


def _sections(explanation: Explanation) -> Iterator[str]:
    row = explanation.signal
    yield (
        f"{row.side} {contract(row)} · {percent(row.confidence)} ({row.tier}) · "
        f"{row.action.replace('_', ' ')} · {row.pattern}"
    )
    yield f"{_moment(row.ts_event)} ET · session {row.session_date} · signal {row.signal_id}"
    yield SOURCES.get(row.source, row.source) + (
        " · found late, while catching up" if row.late else ""
    )
    yield from ("", "Why", *(f"  • {reason}" for reason in row.why))
    yield from ("", "Factors", *_columns(_factor_rows(row.factors), indent=2))
    yield from ("", "Window", *_window_lines(row, explanation.window))
    yield from ("", "Baseline", *_baseline_lines(row, explanation.baselines))
    yield from ("", f"Parameters of profile {row.profile}, {row.params_fingerprint}")
    yield from _params_lines(explanation.params)
    yield from ("", "Alerts", *_alert_lines(explanation.alerts))


def _factor_rows(factors: dict[str, float]) -> list[tuple[str, str]]:
    ordered = sorted(factors.items(), key=lambda item: -abs(item[1]))
    return [(name.replace("_", " "), f"{value:.4g}") for name, value in ordered]


def _window_lines(row: SignalRow, window: PressureWindowRow | None) -> Iterator[str]:
    seconds = (row.window_end - row.window_start) / NANOS_PER_SECOND
    yield f"  {_moment(row.window_start)} ET, {seconds:g} s, pressure {row.pressure_ratio:.2f}x"
    if window is None:
        yield "  its closed window is not stored (yet)"
        return
    yield f"  bought {window.buy_volume:,} lots in {window.buy_trades:,} trades"
    yield f"  sold {window.sell_volume:,} lots in {window.sell_trades:,} trades"
    yield f"  of no side {window.unsided_volume:,} lots"
    yield f"  largest print {window.largest_print:,}, swept {window.sweep_levels} levels"
    yield f"  quoted in: bid {window.bid_adds:,} lots, ask {window.ask_adds:,}"
    yield f"  pulled: bid {window.bid_pulls:,} lots, ask {window.ask_pulls:,}"
    yield f"  order flow imbalance {window.order_flow_imbalance:+,}, mid {_mids(window)}"


def _mids(window: PressureWindowRow) -> str:
    return " → ".join(
        "none" if mid is None else f"{price_to_float(mid):,.2f}"
        for mid in (window.mid_open, window.mid_close)
    )


def _baseline_lines(row: SignalRow, baselines: Sequence[BaselineRow]) -> Iterator[str]:
    if row.baseline_zscore is None:
        yield "  none yet when it was found: judged by the profile's prior"
    else:
        rank = "unknown" if row.percentile_rank is None else f"{row.percentile_rank * 100:.1f} %"
        yield f"  z {row.baseline_zscore:+.2f}, stronger than {rank} of the past"
    if baselines:
        headings = "stored now", "metric", "as of", "sessions", "windows", "median", "mad"
        cells = [
            (
                baseline.key,
                baseline.metric,
                baseline.as_of,
                str(baseline.sessions),
                f"{baseline.samples:,}",
                f"{baseline.median:.4g}",
                f"{baseline.mad:.4g}",
            )
            for baseline in baselines
        ]
        yield from _columns([headings, *cells], indent=2)


def _params_lines(params: dict[str, Any] | None) -> Iterator[str]:
    if params is None:
        yield "  are not stored"
        return
    rows = [
        (f"{section}.{name}", _plain(value))
        for section, values in params.items()
        if isinstance(values, dict)
        for name, value in values.items()
    ]
    yield from _columns(rows, indent=2)


def _alert_lines(alerts: Sequence[AlertOutboxRow]) -> Iterator[str]:
    if not alerts:
        yield "  none was owed"
    for alert in alerts:
        line = f"  {alert.channel}: {alert.state}, attempts {alert.attempts}"
        if alert.sent_ns is not None:
            line += f", {(alert.sent_ns - alert.created_ns) / NANOS_PER_MILLISECOND:,.0f} ms"
        yield line + (f" ({alert.error})" if alert.error else "")


def _columns(rows: Sequence[Sequence[str]], *, indent: int = 0) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        " " * indent
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _plain(value: object) -> str:
    return "-" if value is None else str(value)


def _moment(ns: int) -> str:
    return f"{utc_from_ns(ns).astimezone(MARKET_ZONE):%Y-%m-%d %H:%M:%S.%f}"[:-3]
