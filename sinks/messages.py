"""Say a signal in Slack's Block Kit: what, how sure, why, where to look, and what it is not.

A notice to operators is said shorter.

The limits are Slack's own and hold for any signal: what is too long is cut at a bullet, never in
the middle of a reason that then says something else.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from typing import Any, Final

from ifd.sessions import MARKET_ZONE
from ifd.units import NANOS_PER_SECOND, price_to_float, utc_from_ns
from models.signals import NoticeRow, SignalRow

HEADER_CHARACTERS: Final = 150
SECTION_CHARACTERS: Final = 3_000
FIELD_CHARACTERS: Final = 2_000
FIELDS: Final = 10
EVENT_TYPE: Final = "ifd_signal"
NOTICE_EVENT_TYPE: Final = "ifd_notice"
SOURCES: Final = {
    "live": "live market data",
    "simulated": "SIMULATED market, no real order behind it",
    "replay": "REPLAY of recorded data",
}
_DAY_NS: Final = 86_400 * NANOS_PER_SECOND


@dataclasses.dataclass(frozen=True, slots=True)
class SlackMessage:
    """One message: `text` is what a phone's notification shows, `metadata` how we find it again."""

    text: str
    blocks: list[dict[str, Any]]
    metadata: dict[str, Any]


def signal_message(
    signal: SignalRow,
    *,
    kind: str,
    dashboard_url: str,
    now_ns: int,
    max_age_ns: int,
    multiplier: float | None = None,
) -> SlackMessage:
    """Return the message of one signal.

    Parameters
    ----------
    kind : str
        Kind of alert; with the signal's id it names the message in its metadata.
    now_ns : int
        The present, ns UTC.
    max_age_ns : int
        A signal committed longer ago is marked as delayed.
    multiplier : float, optional
        US dollars a point; None leaves the premium out.
    """
    age_ns = now_ns - signal.committed_ns
    words = ["DELAYED"] if age_ns > max_age_ns else []
    if signal.source != "live":
        words.append(signal.source.upper())
    words += [
        f"{signal.side} pressure",
        contract(signal),
        f"{percent(signal.confidence)} ({signal.tier.replace('_', ' ')})",
    ]
    title = " · ".join(words)
    link = f"{dashboard_url.rstrip('/')}/?signal={signal.signal_id}"
    return SlackMessage(
        text=_cut(_escaped(": ".join([title, *signal.why[:1]])), SECTION_CHARACTERS),
        blocks=[
            {"type": "header", "text": _plain(title)},
            {"type": "section", "fields": _fields(signal, multiplier)},
            {"type": "section", "text": _markdown(_reasons(signal.why))},
            {"type": "section", "text": _markdown(f"<{link}|Open in the dashboard>")},
            {"type": "context", "elements": [_markdown(_context(signal, now_ns, max_age_ns))]},
        ],
        metadata={
            "event_type": EVENT_TYPE,
            "event_payload": {"signal_id": signal.signal_id, "kind": kind},
        },
    )


def notice_message(notice: NoticeRow) -> SlackMessage:
    """Return the message of a notice to operators."""
    moment = utc_from_ns(notice.created_ns)
    said = f"{moment.astimezone(MARKET_ZONE):%d %b %Y %H:%M:%S} ET · notice {notice.notice_key}"
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(notice.title)},
        {"type": "section", "text": _markdown(_escaped(notice.text))},
    ]
    if notice.link is not None:
        blocks.append({"type": "section", "text": _markdown(f"<{notice.link}|Open in Prefect>")})
    return SlackMessage(
        text=_cut(_escaped(f"{notice.title}: {notice.text}"), SECTION_CHARACTERS),
        blocks=[*blocks, {"type": "context", "elements": [_markdown(_escaped(said))]}],
        metadata={
            "event_type": NOTICE_EVENT_TYPE,
            "event_payload": {"notice_key": notice.notice_key},
        },
    )


def contract(signal: SignalRow) -> str:
    """Return the option as a desk says it.

    `NQM4 17100C 15-Mar` is the 17,100 call on the June 2024 future that expires on 15 March.
    """
    expiry = dt.date.fromisoformat(signal.expiration)
    return f"{signal.underlying} {signal.strike:g}{signal.right} {expiry:%d-%b}"


def percent(share: float) -> str:
    """Return a share (0..1) as whole per cent, cut off: 0.899 is not yet 90 %.

    Examples
    --------
    >>> percent(0.29), percent(0.899)
    ('29 %', '89 %')
    """
    return f"{math.floor(share * 100 + 1e-9)} %"


def _fields(signal: SignalRow, multiplier: float | None) -> list[dict[str, Any]]:
    price = price_to_float(signal.price)
    size = f"{signal.volume:,} lots at {price:,.2f}"
    if multiplier is not None:
        size += f" (${signal.volume * price * multiplier:,.0f})"
    underlying = signal.underlying
    if signal.underlying_price is not None:
        underlying += f" at {price_to_float(signal.underlying_price):,.2f}"
    seconds = (signal.window_end - signal.window_start) / NANOS_PER_SECOND
    named = {
        "Underlying": underlying,
        "Size": size,
        "Pressure": f"{signal.pressure_ratio:.2f}x in {seconds:g} s, {_against_baseline(signal)}",
        "Pattern": signal.pattern.replace("_", " "),
        "Market making": f"{percent(signal.market_making_probability)} likely",
        "Suggests": f"{signal.action.replace('_', ' ')}, risk {signal.risk_score:.2f}, "
        f"position {signal.position_size_multiplier:.2g}x",
    }
    fields = [
        _markdown(f"*{name}*\n{_escaped(value)}", FIELD_CHARACTERS) for name, value in named.items()
    ]
    return fields[:FIELDS]


def _against_baseline(signal: SignalRow) -> str:
    if signal.baseline_zscore is None:
        return "no baseline yet"
    words = f"z {signal.baseline_zscore:+.1f}"
    if signal.percentile_rank is not None:
        words += f", stronger than {signal.percentile_rank * 100:.1f} % of its past"
    return words


def _reasons(why: list[str]) -> str:
    text = "*Why*"
    for reason in why:
        line = f"\n• {_escaped(reason)}"
        if len(text) + len(line) > SECTION_CHARACTERS - 4:
            return f"{text}\n• …"
        text += line
    return text


def _context(signal: SignalRow, now_ns: int, max_age_ns: int) -> str:
    moment = utc_from_ns(signal.ts_event)
    parts = [
        SOURCES.get(signal.source, signal.source),
        f"{moment.astimezone(MARKET_ZONE):%d %b %Y %H:%M:%S} ET ({moment:%H:%M:%S} UTC)",
        f"profile {signal.profile}",
        *_latency(signal, now_ns, max_age_ns),
        f"signal {signal.signal_id}",
        "not investment advice",
    ]
    return _escaped(" · ".join(parts))


def _latency(signal: SignalRow, now_ns: int, max_age_ns: int) -> list[str]:
    age_ns = now_ns - signal.committed_ns
    if age_ns > max_age_ns:
        return [f"delayed: found {_duration(age_ns)} ago"]
    if 0 <= now_ns - signal.ts_event < _DAY_NS:
        return [f"event → alert {_duration(now_ns - signal.ts_event)}"]
    # A recorded day is served: its events are years old, their arrival is not.
    if signal.received_ns is not None:
        return [f"received → alert {_duration(now_ns - signal.received_ns)}"]
    return []


def _duration(ns: int) -> str:
    seconds = ns / NANOS_PER_SECOND
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": _cut(text, HEADER_CHARACTERS), "emoji": False}


def _markdown(text: str, limit: int = SECTION_CHARACTERS) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": _cut(text, limit)}


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
