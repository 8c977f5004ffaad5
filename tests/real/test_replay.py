"""Recorded exchange files: our records are, byte for byte, those of the official decoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import databento_dbn as dbn
import numpy as np
import pytest
import zstandard

from ifd.errors import UnsupportedDataError
from ifd.replay import read_chunks, read_definitions, read_mbo, read_metadata

ESM4 = "glbx/esm4_20240508/orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst"


def dbn_files(directory: Path) -> list[Path]:
    return sorted(
        path
        for path in directory.rglob("*.dbn*")
        if path.suffixes[-1] in (".dbn", ".zst") and ".frag" not in path.suffixes
    )


def ours(path: Path) -> Iterator[bytes]:
    for chunk in read_chunks(path):
        if isinstance(chunk, np.ndarray):
            yield from (record.tobytes() for record in chunk)
        else:
            yield bytes(chunk)


def official(path: Path) -> Iterator[bytes]:
    raw = path.read_bytes()
    if path.suffix == ".zst":
        raw = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True).read()
    decoder = dbn.DBNDecoder(upgrade_policy=dbn.VersionUpgradePolicy.UPGRADE_TO_V3)
    return (bytes(record) for record in decoder.write_and_decode(raw)[1:])


def test_every_file_reads_as_the_official_decoder_reads_it(data_dir: Path) -> None:
    files = dbn_files(data_dir)

    different = [path.name for path in files if list(ours(path)) != list(official(path))]

    assert len(files) > 90
    assert different == []


def test_a_mixed_live_recording_gives_every_type_in_order(data_dir: Path) -> None:
    path = data_dir / "databento_official/python_tests_data/LIVE/test_data.live.dbn.zst"

    chunks = list(read_chunks(path))

    assert read_metadata(path).schema is None
    assert sum(isinstance(chunk, dbn.SymbolMappingMsg) for chunk in chunks) == 20
    assert sum(len(array) for array in read_mbo([path])) == 5
    assert len(read_definitions(path)) == 2


def test_two_seconds_of_the_future_hold_the_snapshot_and_the_live_events(data_dir: Path) -> None:
    records = np.concatenate(list(read_mbo([data_dir / ESM4])))

    assert len(records) == 13_796
    assert int((records["flags"] & 0x20 != 0).sum()) == 13_601
    assert chr(records["action"][0]) == "R"


def test_definitions_of_options_carry_their_strike_and_right(data_dir: Path) -> None:
    path = data_dir / "glbx/es_options_20240509/options_definition.dbn.zst"

    found = read_definitions(path)

    assert [instrument.right for instrument in found] == ["P", "P"]
    assert all(instrument.strike and instrument.multiplier == 50 for instrument in found)


@pytest.mark.parametrize("name", ["test_data.mbo.dbz", "test_data.definition.v1.dbn.frag"])
def test_legacy_files_and_fragments_are_named_as_such(data_dir: Path, name: str) -> None:
    path = data_dir / "databento_official/dbn_tests_data" / name

    with pytest.raises(UnsupportedDataError):
        list(read_chunks(path))
