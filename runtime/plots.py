"""A session's records a second, drawn from its health samples as SVG."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from ifd.sessions import MARKET_ZONE
from ifd.units import utc_from_ns
from models.operations import HealthSampleRow

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 800, 260, 70, 34, 28
POINTS: Final = 240
"""A pixel or two of the width each: a day has 23,400 samples."""

Point = tuple[int, float]
"""When, ns UTC, and records a second."""


def throughput(engine: Engine, run_id: int) -> list[Point]:
    """Return the records a second of a run, the mean of each of `POINTS` stretches of its time."""
    with Session(engine) as session:
        rows = session.exec(
            select(HealthSampleRow)
            .where(HealthSampleRow.run_id == run_id, HealthSampleRow.component == "stream")
            .order_by(col(HealthSampleRow.ts_ns))
        ).all()
    samples = [(row.ts_ns, float(row.metrics["records_per_s"])) for row in rows]
    if not samples:
        return []
    first, last = samples[0][0], samples[-1][0]
    width_ns = max((last - first) // POINTS, 1)
    stretches: defaultdict[int, list[float]] = defaultdict(list)
    for ts_ns, rate in samples:
        stretches[(ts_ns - first) // width_ns].append(rate)
    return [
        (first + number * width_ns, sum(rates) / len(rates))
        for number, rates in sorted(stretches.items())
    ]


def throughput_svg(points: Sequence[Point], title: str) -> str:
    """Return the plot of at least two points; time in New York, from zero to the highest mean."""
    first, last = points[0][0], points[-1][0]
    highest = max(rate for _, rate in points) or 1.0
    bottom = HEIGHT - BOTTOM

    def x(ts_ns: int) -> float:
        return LEFT + (ts_ns - first) / (last - first) * (WIDTH - LEFT - 10)

    line = " ".join(
        f"{x(ts_ns):.1f},{bottom - rate / highest * (bottom - TOP):.1f}" for ts_ns, rate in points
    )
    marks = [first, (first + last) // 2, last]
    labels = "".join(
        f'<text x="{x(ts_ns):.0f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{_clock(ts_ns)}</text>'
        for ts_ns, anchor in zip(marks, ("start", "middle", "end"), strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
        f'<text x="{LEFT}" y="18" font-size="14">{title}: records a second</text>'
        f'<path d="M{LEFT} {TOP}V{bottom}H{WIDTH - 10}" fill="none" stroke="#888"/>'
        f'<text x="{LEFT - 6}" y="{TOP + 4}" text-anchor="end">{highest:,.0f}</text>'
        f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">0</text>{labels}'
        f'<polyline points="{line}" fill="none" stroke="#1764c0" stroke-width="1.5"/></svg>'
    )


def as_data_url(picture: bytes, kind: str) -> str:
    """Return an address that holds a picture itself, an `svg+xml` or `png`: no server keeps it."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _clock(ts_ns: int) -> str:
    return f"{utc_from_ns(ts_ns).astimezone(MARKET_ZONE):%H:%M:%S}"
