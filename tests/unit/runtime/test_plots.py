"""The plot of a session, as any reader of SVG would find it."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

from sqlalchemy.engine import Engine

from ifd.units import NANOS_PER_SECOND
from models.base import transaction
from models.operations import HealthSampleRow
from runtime.plots import POINTS, as_data_url, throughput, throughput_svg

OPEN_NS = 1_795_617_000 * NANOS_PER_SECOND
"""Wednesday 2026-11-25, 09:30 in New York."""


def sample(engine: Engine, seconds: range) -> None:
    with transaction(engine) as session:
        for second in seconds:
            session.add(
                HealthSampleRow(
                    ts_ns=OPEN_NS + second * NANOS_PER_SECOND,
                    component="stream",
                    run_id=1,
                    metrics={"records_per_s": float(second)},
                )
            )


def test_a_day_becomes_a_few_hundred_means_of_equal_stretches(engine: Engine) -> None:
    sample(engine, range(2_400))

    points = throughput(engine, 1)

    assert len(points) in (POINTS, POINTS + 1)
    assert points[0][0] == OPEN_NS
    assert 4 <= points[0][1] <= 5
    assert [rate for _, rate in points] == sorted(rate for _, rate in points)


def test_a_run_without_samples_has_no_points(engine: Engine) -> None:
    assert throughput(engine, 1) == []


def test_the_picture_spans_the_session_and_names_its_highest_rate() -> None:
    points = [(OPEN_NS, 0.0), (OPEN_NS + 3_600 * NANOS_PER_SECOND, 1_500.0)]

    picture = ElementTree.fromstring(throughput_svg(points, "nq 2026-11-25"))

    texts = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")]
    (line,) = picture.iter("{http://www.w3.org/2000/svg}polyline")
    assert texts[0] == "nq 2026-11-25: records a second"
    assert {"1,500", "0", "09:30:00", "10:00:00", "10:30:00"} <= set(texts)
    assert line.attrib["points"] == "70.0,232.0 790.0,34.0"


def test_the_address_holds_the_picture() -> None:
    kind, _, content = as_data_url(b"<svg/>", "svg+xml").partition(",")

    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content) == b"<svg/>"
