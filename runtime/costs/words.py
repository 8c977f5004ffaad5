"""A cost report for people: one line, a page of Markdown, rows for a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from runtime.costs.figures import CostReport, KindCosts

_NAMED: Final = 3


def dollars(micro_dollars: int) -> str:
    """Return an amount in US dollars, rounded up to a cent: no cost is ever shown as none.

    >>> dollars(9_476_190), dollars(1)
    ('$9.48', '$0.01')
    """
    return f"${-(-micro_dollars // 10_000) / 100:,.2f}"


def percent(share: float | None) -> str:
    """Return a share of a cap in whole percent, rounded down; a dash where the cap is 0."""
    return "-" if share is None else f"{int(100 * share)} %"


def symbol_words(kind: str, symbols: str) -> str:
    """Return what was paid for: a few symbols by name, many by their number.

    >>> symbol_words("streaming", ""), symbol_words("backfill", "NQ.OPT,QNE.OPT,QN1.OPT,QN2.OPT")
    ('subscription', 'NQ.OPT and 3 more')
    """
    if not symbols:
        return "subscription" if kind == "streaming" else "unknown"
    names = symbols.split(",")
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{names[0]} and {len(names) - 1} more"


def headline(report: CostReport) -> str:
    """Return the report as one sentence."""
    return (
        f"{report.day}: {dollars(report.day_micro_dollars)} "
        f"({_kinds(report.kinds)}); this week {dollars(report.week_micro_dollars)}, "
        f"{report.month} {dollars(report.month_micro_dollars)}, projected "
        f"{dollars(report.projected_micro_dollars)}"
    )


def digest(report: CostReport) -> str:
    """Return what is told in Slack: the sentence, and the shares of the caps that are used."""
    used = [
        f"{kind.kind} {percent(kind.day_share)} of the day's cap, "
        f"{percent(kind.month_share)} of the month's"
        for kind in report.kinds
        if kind.month_micro_dollars
    ]
    return "\n".join([headline(report), *used, report.live])


def kind_rows(report: CostReport) -> list[dict[str, str]]:
    """Return a row for every kind of spending and one for all, ready for a table."""
    return [*map(_kind_row, report.kinds), _total_row(report)]


def cost_markdown(report: CostReport) -> str:
    """Return the report as a Markdown page."""
    symbols = [
        {
            "kind": one.kind,
            "symbols": symbol_words(one.kind, one.symbols),
            "entries": f"{one.entries:,}",
            "cost": dollars(one.micro_dollars),
        }
        for one in report.symbols
    ]
    days = [{"day (UTC)": one.day, "cost": dollars(one.micro_dollars)} for one in report.days]
    sections = [f"# Costs as of {report.day}", f"**{headline(report)}**", _table(kind_rows(report))]
    if symbols:
        sections += [f"## By symbol, from {report.first_day}", _table(symbols)]
    if days:
        sections += ["## By day", _table(days)]
    sections.append(
        f"{report.trading_days_left} of {report.trading_days} trading days are left in "
        f"{report.month}; {report.live}."
    )
    return "\n\n".join(sections) + "\n"


def _kinds(kinds: Iterable[KindCosts]) -> str:
    spent = [
        f"{one.kind} {dollars(one.day_micro_dollars)}" for one in kinds if one.day_micro_dollars
    ]
    return ", ".join(spent) or "nothing was spent"


def _kind_row(one: KindCosts) -> dict[str, str]:
    return {
        "kind": one.kind,
        "today": dollars(one.day_micro_dollars),
        "cap": dollars(one.caps.daily_micro_dollars),
        "used": percent(one.day_share),
        "week": dollars(one.week_micro_dollars),
        "month": dollars(one.month_micro_dollars),
        "month's cap": dollars(one.caps.monthly_micro_dollars),
        "month used": percent(one.month_share),
        "projected": dollars(one.projected_micro_dollars),
    }


def _total_row(report: CostReport) -> dict[str, str]:
    return {
        "kind": "all",
        "today": dollars(report.day_micro_dollars),
        "cap": "",
        "used": "",
        "week": dollars(report.week_micro_dollars),
        "month": dollars(report.month_micro_dollars),
        "month's cap": "",
        "month used": "",
        "projected": dollars(report.projected_micro_dollars),
    }


def _table(rows: Sequence[dict[str, str]]) -> str:
    headings = list(rows[0])
    lines = [headings, ["---"] * len(headings), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
