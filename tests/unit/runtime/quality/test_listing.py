"""The grid of strikes, as the exchange lists them: closer near the money."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ifd.replay import read_metadata
from ifd.symbols import Instrument
from ifd.units import PRICE_SCALE
from runtime.quality.listing import instruments_batch, strike_grid

FAR = [float(strike) for strike in range(20_000, 24_500, 100)]
NEAR = [float(strike) for strike in range(24_500, 25_500, 25)]
NEAREST = [24_910.0, 24_920.0, 24_930.0, 24_940.0]


def option(strike: float, **changes: object) -> Instrument:
    facts: dict[str, object] = {
        "session_date": "2026-10-05",
        "instrument_id": round(strike * 100),
        "raw_symbol": f"Q1AV6 C{strike:g}",
        "asset": "Q1A",
        "instrument_class": "C",
        "underlying": "NQZ6",
        "underlying_id": 1,
        "expiration_ns": 1_793_000_000_000_000_000,
        "strike_price": round(strike * PRICE_SCALE),
        "right": "C",
        "multiplier": 20.0,
        "min_price_increment": 250_000_000,
        "user_defined": False,
    }
    return Instrument(**(facts | changes))  # type: ignore[arg-type]


def off_grid(strikes: list[float]) -> list[str]:
    listed = {one.instrument_id: one for one in map(option, strikes)}
    frame = instruments_batch(listed, "2026-10-05").frame
    return frame[frame["off_grid"]]["raw_symbol"].tolist()


@pytest.mark.parametrize("strikes", [FAR, NEAR, FAR + NEAR, FAR + NEAR + NEAREST])
def test_a_chain_that_grows_closer_near_the_money_is_on_its_grid(strikes: list[float]) -> None:
    assert off_grid(strikes) == []


@pytest.mark.parametrize("strike", [24_907.0, 20_051.25, 26_000.5])
def test_one_strike_read_wrongly_is_named(strike: float) -> None:
    assert off_grid([*FAR, *NEAR, strike]) == [f"Q1AV6 C{strike:g}"]


def test_real_chains_lie_on_one_grid_though_each_expiry_uses_other_distances(
    data_dir: Path,
) -> None:
    names = read_metadata(data_dir / "glbx" / "definition-glbx-es-opt.dbn.zst").mappings
    found = [re.fullmatch(r"(\w+) [CP](\d+)", name) for name in names]
    listed = [
        option(float(name[2]), asset=name[1], instrument_id=number)
        for number, name in enumerate(found)
        if name is not None
    ]

    frame = instruments_batch({one.instrument_id: one for one in listed}, "d").frame

    assert len(frame) > 1_500
    assert strike_grid(listed) == 5 * PRICE_SCALE
    assert not frame["off_grid"].any()


def test_too_few_strikes_have_no_grid() -> None:
    assert strike_grid(map(option, [100.0, 150.0, 213.0])) is None


def test_combinations_of_users_have_strikes_of_their_own() -> None:
    listed = [option(strike) for strike in NEAR]
    made = option(24_907.0, user_defined=True)

    frame = instruments_batch({one.instrument_id: one for one in [*listed, made]}, "d").frame

    assert not frame["off_grid"].any()
