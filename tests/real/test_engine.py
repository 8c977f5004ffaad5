"""Recorded exchange files: the compiled engine and the plain one agree on every one of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ifd.errors import InputError
from ifd.params import WindowParams
from ifd.records import MBO_DTYPE, MboArray
from ifd.reference.stage import ReferenceStage
from ifd.reference.tape import Market as ReferenceMarket
from ifd.replay import read_definitions, read_mbo
from ifd.symbols import Instrument
from ifd.tape import Market
from ifd.windows.stage import WindowStage
from tests.properties.test_engine import assert_same_book, told

ESM4_DEFINITION = "glbx/esm4_20240508/orderbooks_definition.dbn.zst"


def mbo_files(data_dir: Path) -> list[tuple[Path, MboArray]]:
    """Return every file that holds MBO records, with them."""
    found = []
    for path in sorted(data_dir.rglob("*.dbn*")):
        if path.suffix not in (".dbn", ".zst") or ".frag" in path.suffixes:
            continue
        try:
            arrays = list(read_mbo([path]))
        except InputError:
            continue  # of another schema, or damaged on purpose
        if arrays:
            found.append((path, np.concatenate(arrays)))
    return found


def test_the_books_of_every_file_agree(data_dir: Path) -> None:
    files = mbo_files(data_dir)

    for path, records in files:
        compiled, plain = Market(), ReferenceMarket()
        assert compiled.best_prices(records) == plain.update(records), path.name
        for book in compiled.instruments():
            assert_same_book(book, plain.instruments[book.instrument_id].book)
    assert len(files) >= 8


def test_the_windows_of_every_file_agree(data_dir: Path) -> None:
    future = read_definitions(data_dir / ESM4_DEFINITION)
    for path, records in mbo_files(data_dir):
        instruments = [*future, *as_options(records, future[0])]
        stages: list[Any] = [WindowStage(WindowParams()), ReferenceStage(WindowParams())]
        for stage in stages:
            stage.define(instruments)
        found, expected = (told(stage, [records], wake_every_ns=10**9) for stage in stages)
        assert found == expected, path.name


def as_options(records: MboArray, future: Instrument) -> list[Instrument]:
    """Return a call for each instrument of a file that nothing defines."""
    ids = set(np.unique(records["instrument_id"]).tolist()) - {future.instrument_id}
    return [
        dataclasses.replace(
            future,
            instrument_id=key,
            raw_symbol=f"CALL {key}",
            instrument_class="C",
            right="C",
            strike_price=5_200 * 10**9,
            underlying=future.raw_symbol,
            underlying_id=future.instrument_id,
        )
        for key in sorted(ids)
    ]


@pytest.mark.parametrize("size", [1, 97, 5_000])
def test_a_real_morning_gives_the_same_however_it_is_cut(data_dir: Path, size: int) -> None:
    records = next(one for path, one in mbo_files(data_dir) if "esm4" in str(path))
    instruments = read_definitions(data_dir / ESM4_DEFINITION)
    if size == 1:
        records = records[-300:]
    results = []
    for parts in ([records], np.split(records, range(size, len(records), size))):
        stage = WindowStage(WindowParams())
        stage.define(instruments)
        results.append(told(stage, parts, wake_every_ns=10**9))

    assert results[0] == results[1]
    assert records.dtype == MBO_DTYPE
