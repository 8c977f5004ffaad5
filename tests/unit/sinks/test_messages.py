"""What a person reads: complete, honest about its source, within Slack's limits."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ifd.signals import Signal
from ifd.units import NANOS_PER_SECOND
from models.signals import NoticeRow, SignalRow
from simulator.slack_rules import problem_with
from sinks.messages import SlackMessage, notice_message, signal_message

EVENT_NS = 1_764_000_000_123_456_789
"""24 November 2025, 11:00 in New York."""


def message(
    signal: Signal,
    *,
    source: str = "live",
    after_ns: int = 350_000_000,
    received_ns: int | None = None,
    multiplier: float | None = None,
) -> SlackMessage:
    row = SignalRow.from_signal(
        signal, source=source, committed_ns=EVENT_NS + 1_000_000, received_ns=received_ns
    )
    return signal_message(
        row,
        kind="signal",
        dashboard_url="http://127.0.0.1:8050/",
        now_ns=EVENT_NS + after_ns,
        max_age_ns=900 * NANOS_PER_SECOND,
        multiplier=multiplier,
    )


def all_text(said: SlackMessage) -> str:
    return json.dumps(said.blocks, ensure_ascii=False)


def test_the_header_says_who_does_what_and_how_sure_it_is(
    make_signal: Callable[..., Signal],
) -> None:
    said = message(make_signal())

    header: dict[str, Any] = said.blocks[0]["text"]
    assert header["text"] == "BUY pressure · NQZ5 17100C 28-Nov · 95 % (EXTREME)"
    assert said.text == f"{header['text']}: 312 lots bought &amp; 20 sold in 60 s"


def test_every_reason_is_a_bullet_and_none_can_forge_a_link(
    make_signal: Callable[..., Signal],
) -> None:
    said = message(make_signal(why=("a & b", "<https://evil.example|click>", "c > d")))

    assert said.blocks[2]["text"]["text"] == (
        "*Why*\n• a &amp; b\n• &lt;https://evil.example|click&gt;\n• c &gt; d"
    )


def test_numbers_are_said_in_words(make_signal: Callable[..., Signal]) -> None:
    said = all_text(message(make_signal(), multiplier=20.0))

    assert "NQZ5 at 17,084.25" in said
    assert "312 lots at 52.25 ($326,040)" in said
    assert "14.25x in 60 s, z +6.4, stronger than 99.8 % of its past" in said
    assert "STRONG BUY, risk 0.31, position 2.4x" in said
    assert "4 % likely" in said


def test_a_missing_baseline_is_admitted(make_signal: Callable[..., Signal]) -> None:
    said = all_text(message(make_signal(baseline_zscore=None, percentile_rank=None)))

    assert "no baseline yet" in said


def test_the_link_opens_this_signal(make_signal: Callable[..., Signal]) -> None:
    said = all_text(message(make_signal()))

    assert "<http://127.0.0.1:8050/?signal=0123456789abcdef|Open in the dashboard>" in said


def test_the_context_says_when_whence_and_what_it_is_not(
    make_signal: Callable[..., Signal],
) -> None:
    context = message(make_signal()).blocks[-1]["elements"][0]["text"]

    assert context == (
        "live market data · 24 Nov 2025 11:00:00 ET (16:00:00 UTC) · profile default · "
        "event → alert 350 ms · signal 0123456789abcdef · not investment advice"
    ).replace(">", "&gt;")


def test_a_simulated_signal_says_so_loudly(make_signal: Callable[..., Signal]) -> None:
    said = message(make_signal(), source="simulated")

    assert said.blocks[0]["text"]["text"].startswith("SIMULATED · BUY pressure")
    assert said.text.startswith("SIMULATED")
    assert "SIMULATED market, no real order behind it" in all_text(said)


def test_a_replayed_day_counts_from_its_arrival(make_signal: Callable[..., Signal]) -> None:
    long_ago = make_signal(ts_event=EVENT_NS - 400 * 86_400 * NANOS_PER_SECOND)

    assert "received → alert 250 ms" in all_text(
        message(long_ago, source="simulated", received_ns=EVENT_NS + 100_000_000)
    )
    assert "→ alert" not in all_text(message(long_ago, source="replay"))


def test_an_alert_that_waited_too_long_is_marked_as_delayed(
    make_signal: Callable[..., Signal],
) -> None:
    said = message(make_signal(), after_ns=1_020 * NANOS_PER_SECOND)

    assert said.blocks[0]["text"]["text"].startswith("DELAYED · BUY")
    assert "delayed: found 17 min ago" in all_text(said)


def test_the_message_can_be_found_by_its_metadata(make_signal: Callable[..., Signal]) -> None:
    assert message(make_signal()).metadata == {
        "event_type": "ifd_signal",
        "event_payload": {"signal_id": "0123456789abcdef", "kind": "signal"},
    }


def test_a_long_story_is_cut_at_a_reason(make_signal: Callable[..., Signal]) -> None:
    said = message(make_signal(why=tuple(f"reason {n} & its numbers" for n in range(400))))

    lines = said.blocks[2]["text"]["text"].splitlines()
    assert lines[-1] == "• …"
    assert lines[-2].endswith("&amp; its numbers")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    why=st.lists(st.text(max_size=4_000), max_size=8),
    name=st.text(min_size=1, max_size=300),
    source=st.sampled_from(["live", "simulated", "replay"]),
    after_ns=st.integers(0, 10**15),
)
def test_any_signal_is_within_the_limits_of_slack(
    make_signal: Callable[..., Signal], why: list[str], name: str, source: str, after_ns: int
) -> None:
    signal = make_signal(why=tuple(why), underlying=name, pattern=name, profile=name)

    said = message(signal, source=source, after_ns=after_ns)

    assert problem_with({"text": said.text, "blocks": said.blocks}) is None


@pytest.mark.parametrize("strike", [100.0, 17_100.0, 17_105.5])
def test_strikes_are_written_as_the_exchange_does(
    make_signal: Callable[..., Signal], strike: float
) -> None:
    said = message(make_signal(strike=strike, right="P"))

    assert f" {str(strike).removesuffix('.0')}P " in said.blocks[0]["text"]["text"]


@given(st.text(min_size=1), st.text(min_size=1), st.none() | st.just("http://127.0.0.1:4200/runs"))
def test_a_notice_obeys_slacks_rules_whatever_it_says(
    title: str, text: str, link: str | None
) -> None:
    row = NoticeRow(notice_key="run-1-ended", title=title, text=text, link=link, created_ns=1)

    said = notice_message(row)

    assert problem_with({"text": said.text, "blocks": said.blocks}) is None


def test_a_notice_says_what_happened_when_and_leads_to_prefect() -> None:
    row = NoticeRow(
        notice_key="run-1-ended",
        title="Stream nq ended unasked",
        text="its process was gone",
        link="http://127.0.0.1:4200/runs/flow-run/1",
        created_ns=EVENT_NS,
    )

    said = notice_message(row)

    assert said.text == "Stream nq ended unasked: its process was gone"
    assert "flow-run/1|Open in Prefect" in json.dumps(said.blocks)
    assert "24 Nov 2025 11:00:00 ET" in json.dumps(said.blocks)
    assert said.metadata["event_payload"] == {"notice_key": "run-1-ended"}
