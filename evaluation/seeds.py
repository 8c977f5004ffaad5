"""Which seeds may be used for what: ranges that never meet, so that no score is of seen data."""

from __future__ import annotations

from typing import Final, Literal

from ifd.errors import ConfigurationError

Split = Literal["train", "validation", "test"]

SEEDS_EACH: Final = 1_000_000
_FIRST: Final[dict[Split, int]] = {
    "train": 1_000_000,
    "validation": 2_000_000,
    "test": 3_000_000,
}
"""Models are fitted on train, thresholds chosen on validation; test is only ever scored."""


def seeds_of(split: Split, count: int) -> range:
    """Return the first `count` seeds of a split.

    Raises
    ------
    ConfigurationError
        If none is asked for, or more than a split has.

    Examples
    --------
    >>> list(seeds_of("test", 2))
    [3000000, 3000001]
    """
    if not 1 <= count <= SEEDS_EACH:
        raise ConfigurationError(f"ask for 1 to {SEEDS_EACH:,} seeds, not {count:,}")
    return range(_FIRST[split], _FIRST[split] + count)


def split_of(seed: int) -> Split | None:
    """Return the split a seed belongs to, or None when it belongs to none."""
    for split, first in _FIRST.items():
        if first <= seed < first + SEEDS_EACH:
            return split
    return None
