"""The historical API against Databento's own client, over HTTPS on loopback."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import databento
import numpy as np
import pytest
from databento.common.error import (
    BentoClientError,
    BentoError,
    BentoServerError,
    BentoWarning,
)

from ifd.errors import ConfigurationError, PortInUseError
from ifd.records import MBO_DTYPE, MboArray
from ifd.replay import read_mbo, read_metadata
from ifd.units import NANOS_PER_MINUTE, ns_from_datetime
from simulator.historical import HistoricalServer, Limits, Terms
from simulator.live import DEFAULT_KEY

pytestmark = pytest.mark.integration

DATASET = "GLBX.MDP3"
OPENING_NS = ns_from_datetime(dt.datetime(2026, 10, 5, 13, 30, tzinfo=dt.UTC))
MONDAY = {"dataset": DATASET, "start": "2026-10-05", "end": "2026-10-06", "schema": "mbo"}
FUTURES = {**MONDAY, "symbols": ["NQ.FUT"], "stype_in": "parent"}
EVERYTHING = {**MONDAY, "symbols": "ALL_SYMBOLS"}


@pytest.fixture(scope="session")
def monday(served_days: Path) -> MboArray:
    return np.concatenate(list(read_mbo([served_days / "2026-10-05.mbo.dbn.zst"])))


def records_of(store: databento.DBNStore) -> MboArray:
    found = store.to_ndarray()
    assert isinstance(found, np.ndarray)
    return np.frombuffer(found.tobytes(), dtype=MBO_DTYPE)


def error_of(ask: Callable[[], Any]) -> Any:
    with pytest.raises(BentoError) as caught:
        ask()
    return caught.value


def test_a_day_arrives_as_it_lies_in_its_file(
    client: databento.Historical, monday: MboArray
) -> None:
    store = client.timeseries.get_range(**EVERYTHING)

    assert records_of(store).tobytes() == monday.tobytes()
    assert str(store.schema) == "mbo"
    assert store.metadata.start == OPENING_NS - 810 * NANOS_PER_MINUTE
    assert len(store.metadata.mappings) == 241


def test_the_range_is_half_open_on_the_time_of_receipt(
    client: databento.Historical, monday: MboArray
) -> None:
    times = monday["ts_recv"]
    first, last = int(times[100]), int(times[900])

    found = records_of(client.timeseries.get_range(**(EVERYTHING | {"start": first, "end": last})))

    expected = monday[(times >= first) & (times < last)]
    assert found.tobytes() == expected.tobytes()
    assert int(found["ts_recv"][0]) == first


def test_parents_names_and_ids_of_the_same_instrument_give_the_same_records(
    client: databento.Historical, monday: MboArray
) -> None:
    ident = client.symbology.resolve(DATASET, "NQZ6", "raw_symbol", "instrument_id", "2026-10-05")[
        "result"
    ]["NQZ6"][0]["s"]

    stores = [
        client.timeseries.get_range(**MONDAY, symbols=symbols, stype_in=stype)
        for symbols, stype in (
            ("NQ.FUT", "parent"),
            ("NQZ6", "raw_symbol"),
            (ident, "instrument_id"),
            ("NQ.c.0", "continuous"),
        )
    ]

    expected = monday[monday["instrument_id"] == int(ident)].tobytes()
    assert len(expected) > 0
    assert [records_of(store).tobytes() == expected for store in stores] == [True] * 4
    assert stores[0].metadata.mappings["NQZ6"][0]["symbol"] == ident


def test_a_limit_cuts_stream_count_and_size_alike(client: databento.Historical) -> None:
    limited = FUTURES | {"limit": 7}

    assert len(records_of(client.timeseries.get_range(**limited))) == 7
    assert client.metadata.get_record_count(**limited) == 7
    assert client.metadata.get_billable_size(**limited) == 7 * 56


def test_cost_is_size_in_gib_times_the_price(
    client: databento.Historical, monday: MboArray
) -> None:
    size = client.metadata.get_billable_size(**EVERYTHING)
    definitions = EVERYTHING | {"schema": "definition"}

    assert size == monday.nbytes
    assert client.metadata.get_record_count(**EVERYTHING) == len(monday)
    assert client.metadata.get_cost(**EVERYTHING) == size / 2**30 * 1.80
    assert client.metadata.get_billable_size(**definitions) == 241 * 520
    assert client.metadata.get_cost(**definitions) == 241 * 520 / 2**30 * 1.70


def test_definitions_are_served_as_of_their_day(client: databento.Historical) -> None:
    store = client.timeseries.get_range(
        DATASET, "2026-10-05", symbols="NQ.OPT", stype_in="parent", schema="definition"
    )

    found = list(store)
    assert {record.asset for record in found} == {"NQ"}
    assert {str(record.instrument_class) for record in found} == {"C", "P"}
    assert len({record.instrument_id for record in found}) == len(found) > 10


def test_what_is_on_offer_is_listed(client: databento.Historical) -> None:
    metadata = client.metadata

    assert metadata.list_datasets() == [DATASET]
    assert metadata.list_datasets(end_date="2026-10-01") == []
    assert metadata.list_schemas(DATASET) == ["definition", "mbo"]
    assert metadata.list_publishers()[0]["publisher_id"] == 1
    prices = {entry["mode"]: entry["unit_prices"] for entry in metadata.list_unit_prices(DATASET)}
    assert prices["historical-streaming"]["mbo"] == 1.8
    fields = metadata.list_fields("mbo", "dbn")
    assert fields[0] == {"name": "length", "type": "uint8_t"}
    assert {"name": "ts_recv", "type": "uint64_t"} in fields


def test_conditions_name_available_degraded_and_missing_days(
    client: databento.Historical,
) -> None:
    found = client.metadata.get_dataset_condition(DATASET, "2026-10-05", "2026-10-07")

    assert [one["condition"] for one in found] == ["available", "degraded", "missing"]
    assert [one["date"] for one in found] == ["2026-10-05", "2026-10-06", "2026-10-07"]
    assert found[2]["last_modified_date"] is None
    assert dt.date.fromisoformat(str(found[0]["last_modified_date"]))


def test_a_degraded_day_and_an_unknown_symbol_are_warned_of(client: databento.Historical) -> None:
    tuesday = FUTURES | {"start": "2026-10-06", "end": "2026-10-07"}

    with pytest.warns(BentoWarning) as warned:
        store = client.timeseries.get_range(**(tuesday | {"symbols": ["NQ.FUT", "XX.FUT"]}))

    assert len(warned) == 2
    assert "XX.FUT" in str(warned[0].message)
    assert "2026-10-06 (degraded)" in str(warned[1].message)
    assert store.metadata.not_found == ["XX.FUT"]


def test_answers_are_shaped_like_recorded_ones(
    client: databento.Historical, data_dir: Path
) -> None:
    def recorded(name: str) -> Any:
        return json.loads((data_dir / "http_api" / f"{name}.json").read_text())["response"]

    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shape(inner) for key, inner in value.items()}
        return [shape(value[0])] if isinstance(value, list) and value else type(value)

    ours = client.metadata.get_dataset_range(DATASET)
    theirs = recorded("get_dataset_range")
    assert shape(ours["schema"]["mbo"]) == shape(theirs["schema"]["mbo"])
    assert ours.keys() == theirs.keys()
    assert len(ours["end"]) == len(theirs["end"])
    resolved = client.symbology.resolve(
        DATASET, ["NQ.c.0"], "continuous", "instrument_id", "2026-10-05", "2026-10-07"
    )
    expected = recorded("resolve")
    expected["result"] = {"NQ.c.0": expected["result"]["ES.c.0"]}
    assert shape(resolved) == shape(expected)
    assert (resolved["message"], resolved["status"]) == (expected["message"], expected["status"])
    assert type(client.metadata.get_cost(**FUTURES)) is type(recorded("get_cost.mbp-1"))
    count = client.metadata.get_record_count(**FUTURES)
    assert type(count) is type(recorded("get_record_count.mbp-1"))


def test_recorded_market_data_of_any_schema_is_served(serve: Any, data_dir: Path) -> None:
    directory = data_dir / "glbx" / "es_nq_20240701"
    with serve(serve=[directory]) as server:
        client = databento.Historical(DEFAULT_KEY, gateway=server.address)
        span = {"dataset": DATASET, "start": "2024-07-01T23:58", "end": "2024-07-02T00:02"}
        for path in directory.glob("*_trades_*"):
            theirs = databento.DBNStore.from_bytes(path.read_bytes()).to_ndarray()
            ours = client.timeseries.get_range(**span, schema="trades", symbols="ESU4").to_ndarray()
            assert read_metadata(path).start == ns_from_datetime(
                dt.datetime(2024, 7, 1, 23, 58, tzinfo=dt.UTC)
            )
            assert len(ours) == 120
            assert ours.tobytes() == theirs.tobytes()
        bars = client.timeseries.get_range(**span, schema="ohlcv-1m", symbols=["ESU4", "NQU4"])
        assert {record.instrument_id for record in bars} == {118, 4358}


@pytest.mark.parametrize(
    ("changes", "status", "case"),
    [
        ({"end": "2026-10-08"}, 422, "data_end_after_available_end"),
        ({"start": "2026-10-04"}, 422, "data_start_before_available_start"),
        ({"start": "2026-10-07", "end": "2026-10-08"}, 422, "unavailable_range"),
        ({"end": "2026-10-05"}, 422, "data_time_range_start_on_or_after_end"),
        ({"symbols": ["XX.FUT"]}, 422, "symbology_invalid_request"),
        ({"dataset": "XNAS.ITCH"}, 422, "dataset_not_found"),
        ({"schema": "trades"}, 400, None),
        ({"start": "yesterday"}, 400, None),
    ],
)
@pytest.mark.parametrize("method", ["timeseries.get_range", "metadata.get_cost"])
def test_what_cannot_be_served_is_refused_with_its_case(
    client: databento.Historical,
    changes: dict[str, Any],
    status: int,
    case: str | None,
    method: str,
) -> None:
    group, _, name = method.partition(".")
    ask = getattr(getattr(client, group), name)

    error = error_of(lambda: ask(**(FUTURES | changes)))

    assert isinstance(error, BentoClientError)
    assert error.http_status == status
    assert error.request_id
    detail = error.json_body["detail"]
    assert isinstance(detail, str) if case is None else detail["case"] == case
    assert case is None or detail.keys() == {"case", "message", "status_code", "docs", "payload"}


def test_an_unknown_schema_is_a_bad_request(api: HistoricalServer) -> None:
    import requests

    answer = requests.post(
        f"https://{api.address}/v0/metadata.get_cost",
        data=FUTURES | {"schema": "mbx"},
        auth=(DEFAULT_KEY, ""),
        timeout=10,
    )

    assert (answer.status_code, answer.json()) == (400, {"detail": "`mbx` is not a valid schema."})


def test_an_unknown_key_is_refused(api: HistoricalServer) -> None:
    stranger = databento.Historical("db-wrong-key-0000000000000000000", gateway=api.address)

    error = error_of(stranger.metadata.list_datasets)

    assert error.http_status == 401
    assert error.json_body["detail"]["case"] == "auth_authentication_failed"


def test_the_last_hours_take_a_license(serve: Any) -> None:
    terms = Terms(licensed_until_ns=OPENING_NS)
    with serve(terms=terms) as server:
        client = databento.Historical(DEFAULT_KEY, gateway=server.address)

        error = error_of(lambda: client.timeseries.get_range(**FUTURES))

        assert error.http_status == 403
        assert error.json_body["detail"]["case"] == "license_not_found_unauthorized"
        assert client.metadata.get_record_count(**(FUTURES | {"end": OPENING_NS})) == 0


def test_more_requests_a_second_than_allowed_are_told_when_to_return(serve: Any) -> None:
    with serve(limits=Limits(metadata=2)) as server:
        client = databento.Historical(DEFAULT_KEY, gateway=server.address)

        answers = [client.metadata.list_datasets() for _ in range(2)]
        error = error_of(client.metadata.list_datasets)

        assert answers == [[DATASET]] * 2
        assert (error.http_status, error.headers["Retry-After"]) == (429, "1")
        assert (
            client.symbology.resolve(DATASET, "NQ.FUT", "parent", "instrument_id", "2026-10-05")[
                "status"
            ]
            == 0
        )


@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        ("403", BentoClientError, 403),
        ("422", BentoClientError, 422),
        ("429", BentoClientError, 429),
        ("500", BentoServerError, 500),
        ("504", BentoServerError, 504),
    ],
)
def test_a_planned_refusal_happens_as_often_as_planned(
    client: databento.Historical,
    api: HistoricalServer,
    fault: str,
    kind: type[Exception],
    status: int,
) -> None:
    api.door.faults.plan(fault, "metadata.get_cost", count=2)

    errors = [error_of(lambda: client.metadata.get_cost(**FUTURES)) for _ in range(2)]

    assert [type(error) for error in errors] == [kind] * 2
    assert [error.http_status for error in errors] == [status] * 2
    assert client.metadata.get_cost(**FUTURES) > 0


def test_a_request_that_is_never_answered_times_out(
    client: databento.Historical, api: HistoricalServer
) -> None:
    import requests

    api.door.faults.plan("timeout", "metadata", count=1)
    client.metadata.TIMEOUT = 0.2  # type: ignore[assignment]

    with pytest.raises(requests.ReadTimeout):
        client.metadata.list_datasets()

    assert client.metadata.list_datasets() == [DATASET]


def test_a_slow_answer_is_whole(client: databento.Historical, api: HistoricalServer) -> None:
    api.door.faults.plan("slow", count=1)
    begun = time.monotonic()

    store = client.timeseries.get_range(**FUTURES)

    assert time.monotonic() - begun >= 0.05
    assert store.to_ndarray().shape == (client.metadata.get_record_count(**FUTURES),)


def test_a_body_cut_in_the_middle_is_an_error_and_its_bytes_are_counted(
    client: databento.Historical, api: HistoricalServer
) -> None:
    whole = client.timeseries.get_range(**EVERYTHING)
    api.door.faults.plan("truncated-body", "timeseries", count=1)

    error = error_of(lambda: client.timeseries.get_range(**EVERYTHING))

    assert "Error streaming response" in str(error)
    sent = [exchange.bytes_sent for exchange in api.door.exchanges]
    assert sent[0] == whole.nbytes
    assert 0 < sent[1] < sent[0]


def test_the_asynchronous_client_works_too(api: HistoricalServer, monday: MboArray) -> None:
    # A process of its own: the library reads SSL_CERT_FILE once, when it is imported.
    program = (
        "import asyncio, sys, databento\n"
        "client = databento.Historical(sys.argv[1], gateway=sys.argv[2])\n"
        "ask = client.timeseries.get_range_async('GLBX.MDP3', '2026-10-05', '2026-10-06',\n"
        "    symbols='ALL_SYMBOLS', schema='mbo')\n"
        "print(len(asyncio.run(ask).to_ndarray()))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, DEFAULT_KEY, api.address],
        env=os.environ | {"SSL_CERT_FILE": str(api.ca_file)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(monday)


def test_a_port_in_use_and_an_unknown_fault_are_named(serve: Any, api: HistoricalServer) -> None:
    with (
        pytest.raises(ConfigurationError, match="there is no fault 'flood'"),
        serve(faults=["flood:2"]),
    ):
        pass
    with pytest.raises(PortInUseError, match="historical API"):
        _start_on(api)


def _start_on(api: HistoricalServer) -> None:
    from simulator.historical.server import _listen

    _listen("127.0.0.1", api.port)
