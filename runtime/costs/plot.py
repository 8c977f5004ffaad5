"""What each day has cost, drawn as stacked columns in SVG."""

from __future__ import annotations

import datetime as dt
from typing import Final

from runtime.costs.figures import CostReport, DayCosts
from runtime.costs.words import dollars

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 800, 260, 70, 50, 28
COLOURS: Final = {
    "streaming": "#1764c0",
    "backfill": "#e08214",
    "history": "#4d9221",
    "definitions": "#8073ac",
}


def costs_svg(report: CostReport) -> str:
    """Return the plot of the report's days: a column for each, from zero to the dearest."""
    days = _all_days(report)
    highest = max(day.micro_dollars for day in days) or 1
    step = (WIDTH - LEFT - 10) / len(days)
    columns = "".join(
        _column(day, LEFT + number * step, step, highest) for number, day in enumerate(days)
    )
    bottom = HEIGHT - BOTTOM
    labels = "".join(
        f'<text x="{x}" y="{HEIGHT - 8}" text-anchor="{anchor}">{day}</text>'
        for day, x, anchor in (
            (days[0].day, LEFT, "start"),
            (days[-1].day, WIDTH - 10, "end"),
        )
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
        f'<text x="{LEFT}" y="18" font-size="14">Costs by day, as of {report.day}</text>'
        f'<path d="M{LEFT} {TOP}V{bottom}H{WIDTH - 10}" fill="none" stroke="#888"/>'
        f'<text x="{LEFT - 6}" y="{TOP + 4}" text-anchor="end">{dollars(highest)}</text>'
        f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">0</text>'
        f"{_legend()}{labels}{columns}</svg>"
    )


def _all_days(report: CostReport) -> list[DayCosts]:
    """Return every day, those without any cost too: a week must look like a week."""
    spent = {day.day: day for day in report.days}
    first, last = map(dt.date.fromisoformat, (report.first_day, report.day))
    names = [str(first + dt.timedelta(days=n)) for n in range((last - first).days + 1)]
    return [spent.get(name, DayCosts(name, {})) for name in names]


def _column(day: DayCosts, x: float, step: float, highest: int) -> str:
    top, parts = float(HEIGHT - BOTTOM), []
    for kind, colour in COLOURS.items():
        height = day.by_kind.get(kind, 0) / highest * (HEIGHT - BOTTOM - TOP)
        if height:
            top -= height
            parts.append(
                f'<rect x="{x + 0.1 * step:.1f}" y="{top:.1f}" width="{0.8 * step:.1f}" '
                f'height="{height:.1f}" fill="{colour}"/>'
            )
    return f"<g><title>{day.day}: {dollars(day.micro_dollars)}</title>{''.join(parts)}</g>"


def _legend() -> str:
    return "".join(
        f'<rect x="{LEFT + 110 * number}" y="28" width="10" height="10" fill="{colour}"/>'
        f'<text x="{LEFT + 110 * number + 16}" y="38">{kind}</text>'
        for number, (kind, colour) in enumerate(COLOURS.items())
    )
