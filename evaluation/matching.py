"""Which alerts were right: the rule that everything else here rests on.

An alert hits an institutional episode when it names one of its instruments and the side of that
leg, between the episode's first trade and `GRACE_NS` after its last. The first hit finds the
episode; further ones, of any leg, are repeats and count neither way. Everything else is a false
alert, charged to the confounder it falls on where there is one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from ifd.units import NANOS_PER_SECOND
from simulator.market.episodes import Episode

GRACE_NS: Final = 60 * NANOS_PER_SECOND
"""How long after the last trade an alert still is about the episode."""
UNPROVOKED: Final = "ordinary flow"
"""What a false alert is charged to where nothing was planted."""


class Alert(NamedTuple):
    """One detector's word: `score` ranks it among its own, `ts_ns` is event time."""

    instrument_id: int
    side: str
    ts_ns: int
    score: float


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """An alert and what became of it.

    `episode` is the place, in the session's institutional episodes, of the one that was hit, None
    for a false alert; `blame` is then the confounder's kind, or `UNPROVOKED`.
    """

    alert: Alert
    verdict: Literal["found", "repeat", "false"]
    episode: int | None
    blame: str


def institutional(episodes: Iterable[Episode]) -> list[Episode]:
    """Return the episodes that a detector is to find."""
    return [each for each in episodes if each.institutional]


def judge(alerts: Iterable[Alert], episodes: Sequence[Episode]) -> list[Judged]:
    """Return every alert of one session with its verdict, in the order of time.

    Parameters
    ----------
    episodes : sequence of Episode
        All that was planted in the session, confounders too.
    """
    wanted = institutional(episodes)
    places: dict[tuple[int, str], list[int]] = {}
    for place, episode in enumerate(wanted):
        for leg in episode.legs:
            places.setdefault((leg.instrument_id, leg.side), []).append(place)
    found: set[int] = set()
    judged = []
    for alert in sorted(alerts, key=lambda each: each.ts_ns):
        hits = [
            place
            for place in places.get((alert.instrument_id, alert.side), ())
            if _is_during(alert, wanted[place])
        ]
        # Where two episodes of one leg overlap, the alert is about the one not yet found.
        fresh = [place for place in hits if place not in found]
        if fresh:
            found.add(fresh[0])
            judged.append(Judged(alert, "found", fresh[0], ""))
        elif hits:
            judged.append(Judged(alert, "repeat", hits[0], ""))
        else:
            judged.append(Judged(alert, "false", None, _blame(alert, episodes)))
    return judged


def _is_during(alert: Alert, episode: Episode) -> bool:
    return episode.start_ns <= alert.ts_ns <= episode.end_ns + GRACE_NS


def _blame(alert: Alert, episodes: Sequence[Episode]) -> str:
    """Return the kind of what the alert took for an institution, the most specific first."""
    near = [each for each in episodes if _is_during(alert, each)]
    own = [each for each in near if alert.instrument_id in {leg.instrument_id for leg in each.legs}]
    market_wide = [each for each in near if not each.legs]
    for candidates in (own, market_wide):
        if candidates:
            kind = candidates[0].kind
            return f"wrong side of {kind}" if candidates[0].institutional else kind
    return UNPROVOKED
