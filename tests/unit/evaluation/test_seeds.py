"""Seeds for learning, for choosing and for scoring never meet."""

from __future__ import annotations

import itertools

import pytest

from evaluation.seeds import SEEDS_EACH, Split, seeds_of, split_of
from ifd.errors import ConfigurationError

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def test_no_seed_is_in_two_splits() -> None:
    every = [seeds_of(split, SEEDS_EACH) for split in SPLITS]

    assert all(one[-1] < other[0] for one, other in itertools.pairwise(every))


@pytest.mark.parametrize("split", SPLITS)
def test_a_seed_knows_its_split(split: Split) -> None:
    assert {split_of(seed) for seed in seeds_of(split, 3)} == {split}
    assert split_of(seeds_of(split, SEEDS_EACH)[-1]) == split


def test_a_seed_of_everyday_use_belongs_to_no_split() -> None:
    assert split_of(7) is None


@pytest.mark.parametrize("count", [0, SEEDS_EACH + 1])
def test_a_split_gives_no_more_than_it_has(count: int) -> None:
    with pytest.raises(ConfigurationError):
        seeds_of("test", count)
