"""The historical API without its sockets: files, faults, limits, moments."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import numpy as np
import pytest
import zstandard

from ifd.clock import ManualClock
from ifd.errors import ConfigurationError, UnsupportedDataError
from ifd.records import MBO_DTYPE, RTYPE_MBO, MboArray
from ifd.replay import read_mbo
from ifd.units import NANOS_PER_MINUTE, NANOS_PER_SECOND, ns_from_datetime
from simulator.historical import Faults, Library, Limits, parse_fault
from simulator.historical.library import midnight_ns
from simulator.historical.limits import RateMeter
from simulator.historical.problems import ApiProblem
from simulator.historical.query import RangeQuery, parse_moment, parse_range
from simulator.market import definition_messages, list_chain

DAY = dt.date(2026, 10, 5)
NOON_NS = midnight_ns(DAY) + 720 * NANOS_PER_MINUTE


def orders(idents: list[int], times: list[int]) -> MboArray:
    records = np.zeros(len(times), dtype=MBO_DTYPE)
    records["length"], records["rtype"], records["publisher_id"] = 14, RTYPE_MBO, 1
    records["instrument_id"], records["ts_recv"], records["ts_event"] = idents, times, times
    records["action"], records["side"] = ord("A"), ord("B")
    return records


def query(**changes: Any) -> RangeQuery:
    facts: dict[str, Any] = {
        "dataset": "GLBX.MDP3",
        "schema": "mbo",
        "stype_in": "parent",
        "symbols": ("NQ.FUT",),
        "start_ns": NOON_NS,
        "end_ns": NOON_NS + NANOS_PER_MINUTE,
        "limit": None,
    }
    return RangeQuery(**(facts | changes))


@pytest.fixture
def recording(tmp_path: Path) -> tuple[Path, MboArray]:
    """A segment as the archive writes it: no schema, no end, mixed records, several frames."""
    header = dbn.Metadata(
        dataset="GLBX.MDP3",
        start=NOON_NS,
        stype_in=None,
        stype_out=dbn.SType.from_str("instrument_id"),
        schema=None,
    ).encode()
    messages = definition_messages(list_chain(DAY), DAY)
    future = messages[0].instrument_id
    times = [NOON_NS, NOON_NS + 5, NOON_NS + 2, NOON_NS + NANOS_PER_MINUTE]
    #        in        in           in, late     the first that is out
    records = orders([future, messages[1].instrument_id, future, future], times)
    parts = [header, b"".join(bytes(one) for one in messages), records.tobytes()]
    path = tmp_path / "2026-10-05" / "nq" / "1-120000.dbn.zst"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(zstandard.ZstdCompressor().compress(part) for part in parts))
    return tmp_path, records


def test_a_live_recording_is_served_by_schema(recording: tuple[Path, MboArray]) -> None:
    directory, records = recording
    library = Library([directory])

    found = np.concatenate(list(library.select(query())))
    definitions = query(schema="definition", start_ns=midnight_ns(DAY), end_ns=midnight_ns(DAY) + 1)

    assert library.schemas() == ["definition", "mbo"]
    assert [one.day for one in library.days("mbo")] == [DAY]
    assert found.tobytes() == records[[0, 2]].tobytes()
    assert library.count(definitions) == 1
    assert library.count(query(symbols=("ALL_SYMBOLS",), limit=2)) == 2
    library.close()


def test_only_the_blocks_of_a_range_are_read_and_none_is_missed(tmp_path: Path) -> None:
    from simulator.historical.holding import BLOCK_RECORDS, Holding

    count = 3 * BLOCK_RECORDS + 7
    times = NOON_NS + np.arange(count, dtype=np.int64)
    records = orders([3] * count, times.tolist())
    records["ts_recv"][5] = NOON_NS + count + 50  # a snapshot's time stands out of order
    holding = Holding("mbo")
    holding.append(records)

    for start, end in ((0, count), (5, 6), (BLOCK_RECORDS, BLOCK_RECORDS + 1), (count, count + 99)):
        begin_ns, end_ns = NOON_NS + start, NOON_NS + end
        found = list(holding.select(np.array([3], dtype=np.uint32), begin_ns, end_ns))
        wanted = (records["ts_recv"] >= begin_ns) & (records["ts_recv"] < end_ns)
        assert b"".join(one.tobytes() for one in found) == records[wanted].tobytes()
    assert list(holding.select(np.array([4], dtype=np.uint32), NOON_NS, NOON_NS + count)) == []
    holding.close()


def test_recorded_orders_are_found_by_the_name_in_their_header(data_dir: Path) -> None:
    (path,) = (data_dir / "glbx" / "esm4_20240508").glob("*_mbo_*")
    library = Library([path])
    midnight = midnight_ns(dt.date(2024, 5, 8))

    found = np.concatenate(
        list(
            library.select(
                query(
                    stype_in="raw_symbol",
                    symbols=("ESM4",),
                    start_ns=midnight,
                    end_ns=midnight + 2 * NANOS_PER_SECOND,
                )
            )
        )
    )

    assert len(found) == 13_796
    assert found.tobytes() == np.concatenate(list(read_mbo([path]))).tobytes()
    library.close()


def test_files_of_two_datasets_and_a_directory_without_any_are_refused(
    tmp_path: Path, recording: tuple[Path, MboArray]
) -> None:
    other = dbn.Metadata(
        dataset="XNAS.ITCH",
        start=0,
        stype_in=None,
        stype_out=dbn.SType.from_str("instrument_id"),
        schema=None,
    )
    (tmp_path / "other.dbn").write_bytes(other.encode())
    os.mkdir(empty := tmp_path / "empty")

    with pytest.raises(UnsupportedDataError, match="2 datasets"):
        Library([recording[0]])
    with pytest.raises(ConfigurationError, match="no DBN file"):
        Library([empty])


def test_a_fault_meets_its_target_as_often_as_planned_and_the_oldest_goes_first() -> None:
    faults = Faults()
    faults.plan("429", "metadata", count=1)
    faults.plan("500", "metadata.get_cost", count=1)
    faults.plan("slow")

    met = [faults.take(f"metadata.{name}") for name in ("get_cost", "get_cost", "list_schemas")]

    assert met == ["429", "500", "slow"]
    assert faults.take("timeseries.get_range") == "slow"
    faults.clear()
    assert faults.take("timeseries.get_range") is None


def test_faults_are_written_on_one_line() -> None:
    assert parse_fault("500") == ("500", "", None)
    assert parse_fault("timeseries/truncated-body:2") == ("truncated-body", "timeseries", 2)
    with pytest.raises(ConfigurationError, match="TARGET"):
        parse_fault("500:often")
    with pytest.raises(ConfigurationError, match="at least once"):
        Faults().plan("500", count=0)


def test_a_second_later_as_many_requests_pass_again() -> None:
    clock = ManualClock(NOON_NS)
    meter = RateMeter(Limits(metadata=2), clock)

    first = [meter.admits("a", "metadata") for _ in range(3)]
    others = meter.admits("b", "metadata"), meter.admits("a", "symbology")
    clock.advance_to(NOON_NS + NANOS_PER_SECOND)

    assert first == [True, True, False]
    assert others == (True, True)
    assert meter.admits("a", "metadata")


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("1791158400000000001", 1),
        ("2026-10-05", 0),
        ("2026-10-05T00:00:00.000000007+00:00", 7),
        ("2026-10-05 02:00:00.5+02:00", 500_000_000),
    ],
)
def test_moments_keep_their_nanoseconds(text: str, nanos: int) -> None:
    midnight = ns_from_datetime(dt.datetime(2026, 10, 5, tzinfo=dt.UTC))

    assert parse_moment(text, "start") == midnight + nanos


def test_a_date_alone_is_a_whole_day_and_anything_finer_needs_an_end() -> None:
    fields = {"dataset": "GLBX.MDP3", "symbols": "NQ.FUT,NQ.FUT", "schema": "mbo"}

    day = parse_range(fields | {"start": "2026-10-05"})

    assert day.end_ns - day.start_ns == 86_400 * NANOS_PER_SECOND
    assert day.symbols == ("NQ.FUT",)
    with pytest.raises(ApiProblem, match="`end` is required"):
        parse_range(fields | {"start": "2026-10-05T13:30"})
    with pytest.raises(ApiProblem, match="2000 symbols at most"):
        parse_range(fields | {"start": "2026-10-05", "symbols": ",".join(map(str, range(2_001)))})
