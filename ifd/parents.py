"""Which parents a chain has: derived from definitions, and held against those subscribed to.

A parent is the asset of a definition with its kind (`Q1A.OPT`), and the exchange lists the options
on one future under many: quarterly, end of month, weekly, daily. One that is not subscribed to is
a part of the market nobody watches.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from ifd.symbols import Instrument

_MONTH_AND_YEAR = r"[FGHJKMNQUVXZ]\d{1,2}"


@dataclasses.dataclass(frozen=True, slots=True)
class ParentDrift:
    """What definitions list beside what is subscribed to.

    `listed` are the parents that definitions name; `undeclared` of them nobody subscribed to,
    which is an alarm; `unlisted` are subscribed to and have no listing now, which is ordinary: not
    every week has a fifth Monday.
    """

    listed: tuple[str, ...]
    undeclared: tuple[str, ...]
    unlisted: tuple[str, ...]


def option_parents(instruments: Iterable[Instrument], futures: Iterable[str]) -> list[str]:
    """Return the parents of all outright options on these futures, in order.

    Spreads, user-defined ones among them, are no part of the chain.

    Parameters
    ----------
    futures : iterable of str
        Parents of the futures, `NQ.FUT`.

    Examples
    --------
    >>> option_parents([], ["NQ.FUT"])
    []
    """
    roots = "|".join(re.escape(parent.split(".")[0]) for parent in futures)
    underlying = re.compile(rf"(?:{roots}){_MONTH_AND_YEAR}")
    return sorted(
        {
            f"{one.asset}.OPT"
            for one in instruments
            if one.is_option and underlying.fullmatch(one.underlying)
        }
    )


def find_drift(
    instruments: Iterable[Instrument], *, parents: Iterable[str], futures: Iterable[str]
) -> ParentDrift:
    """Return how the parents that definitions list differ from those subscribed to."""
    listed, asked = set(option_parents(instruments, futures)), set(parents)
    return ParentDrift(
        listed=tuple(sorted(listed)),
        undeclared=tuple(sorted(listed - asked)),
        unlisted=tuple(sorted(asked - listed)),
    )
