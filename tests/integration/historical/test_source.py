"""Our side of history: the real client, the local API, money counted to the micro-dollar."""

from __future__ import annotations

import datetime as dt
import logging
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import databento
import numpy as np
import pytest

from ifd.clock import ManualClock
from ifd.errors import (
    AuthenticationFailedError,
    BudgetExceededError,
    DownloadBrokenError,
    EnvironmentProblemError,
    HistoryDelayedError,
    HistoryRefusedError,
    HistoryUnlicensedError,
    InputError,
    RangeUnavailableError,
    SymbolsUnknownError,
)
from ifd.gateway.historical import (
    CappedPurse,
    HistoricalRequest,
    HistoricalSource,
    Patience,
    Progress,
    Quote,
)
from ifd.records import MboArray
from ifd.replay import read_mbo
from ifd.units import NANOS_PER_MINUTE, ns_from_datetime
from simulator.historical import HistoricalServer
from simulator.live import DEFAULT_KEY

pytestmark = pytest.mark.integration

OPENING_NS = ns_from_datetime(dt.datetime(2026, 10, 5, 13, 30, tzinfo=dt.UTC))
QUICK = Patience(
    free_attempts=3,
    paid_attempts=2,
    first_seconds=0.01,
    cap_seconds=0.02,
    timeout_seconds=5.0,
    metadata_per_second=1_000,
)
RICH = 1_000_000_000


def request(**changes: Any) -> HistoricalRequest:
    """The future and the quarterly options, forty minutes from the opening: two half hours."""
    facts: dict[str, Any] = {
        "schema": "mbo",
        "symbols": ("NQ.FUT", "NQ.OPT"),
        "start_ns": OPENING_NS,
        "end_ns": OPENING_NS + 40 * NANOS_PER_MINUTE,
    }
    return HistoricalRequest(**(facts | changes))


@pytest.fixture
def make_source(api: HistoricalServer) -> Callable[..., HistoricalSource]:
    """Make sources that hardly wait; keywords change what differs."""

    def make(**changes: Any) -> HistoricalSource:
        facts: dict[str, Any] = {"key": DEFAULT_KEY, "gateway": api.address, "patience": QUICK}
        return HistoricalSource(**(facts | changes))

    return make


@pytest.fixture
def source(make_source: Callable[..., HistoricalSource]) -> HistoricalSource:
    return make_source()


def downloads(api: HistoricalServer) -> int:
    return sum(one.method == "timeseries.get_range" for one in list(api.door.exchanges))


def in_order(records: MboArray) -> bytes:
    return records[np.lexsort((records["sequence"], records["ts_recv"]))].tobytes()


def test_a_quote_is_the_providers_own_rounded_up_to_the_micro_dollar(
    source: HistoricalSource, client: databento.Historical
) -> None:
    asked = request()
    theirs = {
        "dataset": asked.dataset,
        "start": asked.start_ns,
        "end": asked.end_ns,
        "symbols": list(asked.symbols),
        "schema": "mbo",
        "stype_in": "parent",
    }

    quote = source.quote(asked)

    cost = client.metadata.get_cost(**theirs)
    assert quote.billable_bytes == client.metadata.get_billable_size(**theirs)
    assert quote.billable_bytes == source.record_count(asked) * 56
    assert quote.micro_dollars == math.ceil(Decimal(str(cost)) * 1_000_000)
    assert quote.dollars == Decimal(quote.micro_dollars) / 1_000_000
    assert 0 <= quote.micro_dollars - cost * 1e6 < 1


def test_conditions_and_prices_are_what_the_provider_says(source: HistoricalSource) -> None:
    days = source.conditions(dt.date(2026, 10, 5), dt.date(2026, 10, 7))

    assert [one.condition for one in days] == ["available", "degraded", "missing"]
    assert [one.degraded for one in days] == [False, True, False]
    assert days[2].last_modified is None
    assert source.unit_prices()["mbo"] == Decimal("1.8")


def test_slices_together_are_the_whole_and_cost_what_was_quoted(
    source: HistoricalSource, api: HistoricalServer, served_days: Path, tmp_path: Path
) -> None:
    purse = CappedPurse(RICH)
    seen: list[Progress] = []
    asked = request()
    quotes = [source.quote(part) for part in asked.slices()]

    fetched = source.fetch(asked, tmp_path, purse, seen.append)

    day = np.concatenate(list(read_mbo([served_days / "2026-10-05.mbo.dbn.zst"])))
    options = {
        one.instrument_id
        for one in source.definitions(
            dt.date(2026, 10, 5), asked.symbols, tmp_path / "definitions", purse
        )
    }
    expected = day[np.isin(day["instrument_id"], list(options))]
    found = np.concatenate(list(read_mbo(fetched.files)))
    assert in_order(found) == in_order(expected)
    assert (fetched.records, fetched.bytes) == (len(expected), expected.nbytes)
    assert fetched.bytes == sum(quote.billable_bytes for quote in quotes)
    assert fetched.micro_dollars == sum(quote.micro_dollars for quote in quotes)
    assert [one.slices_done for one in seen] == [1, 2, 3, 4]
    assert seen[-1].bytes_done == fetched.bytes
    assert [path.name for path in fetched.files] == [one.file_name() for one in asked.slices()]
    assert fetched.bytes_received == sum(path.stat().st_size for path in fetched.files)
    sent = [x.bytes_sent for x in api.door.exchanges if x.method == "timeseries.get_range"]
    assert fetched.bytes_received == sum(sent[:4])


def test_what_is_finished_is_never_paid_again(
    source: HistoricalSource, api: HistoricalServer, tmp_path: Path
) -> None:
    first = source.fetch(request(), tmp_path, CappedPurse(RICH))
    asked = downloads(api)

    again = source.fetch(request(), tmp_path, CappedPurse(0))

    assert downloads(api) == asked == 4
    assert again.files == first.files
    assert (again.micro_dollars, again.bytes_received, again.slices_on_disk) == (0, 0, 4)
    assert source.quote_missing(request(), tmp_path).micro_dollars == 0


def test_a_whole_download_whose_process_died_before_naming_it_is_kept(
    source: HistoricalSource, api: HistoricalServer, tmp_path: Path
) -> None:
    first = source.fetch(request(), tmp_path, CappedPurse(RICH))
    asked = downloads(api)
    finished = first.files[1]
    finished.rename(finished.with_name(f"{finished.name}.part"))

    again = source.fetch(request(), tmp_path, CappedPurse(0))

    assert downloads(api) == asked
    assert (again.files, again.records, again.bytes_abandoned) == (first.files, first.records, 0)


def test_a_fetch_stops_before_the_slice_it_cannot_pay_and_goes_on_later(
    source: HistoricalSource, api: HistoricalServer, tmp_path: Path
) -> None:
    quotes = [source.quote(part).micro_dollars for part in request().slices()]
    purse = CappedPurse(quotes[0] + quotes[1] + quotes[2] - 1)

    with pytest.raises(BudgetExceededError) as stopped:
        source.fetch(request(), tmp_path, purse)

    assert purse.spent_micro_dollars == quotes[0] + quotes[1]
    assert downloads(api) == 2
    assert stopped.value.bytes_received > 0
    assert source.quote_missing(request(), tmp_path).micro_dollars == quotes[2] + quotes[3]
    rest = source.fetch(request(), tmp_path, CappedPurse(quotes[2] + quotes[3]))
    assert rest.slices_on_disk == 2


def test_a_body_cut_in_the_middle_is_spent_and_fetched_once_more(
    source: HistoricalSource, api: HistoricalServer, tmp_path: Path
) -> None:
    asked = request(symbols=("NQ.OPT",), end_ns=OPENING_NS + 30 * NANOS_PER_MINUTE)
    price = source.quote(asked).micro_dollars
    purse = CappedPurse(RICH)
    api.door.faults.plan("truncated-body", "timeseries", count=1)

    fetched = source.fetch(asked, tmp_path, purse)

    sizes = [x.bytes_sent for x in api.door.exchanges if x.method == "timeseries.get_range"]
    assert fetched.bytes_received == sum(sizes)
    assert sizes[0] < sizes[1] == fetched.files[0].stat().st_size
    assert purse.spent_micro_dollars == fetched.micro_dollars
    assert price < fetched.micro_dollars < 2 * price
    assert [path.name for path in tmp_path.iterdir()] == [asked.file_name()]


def test_downloads_that_keep_breaking_are_given_up_with_all_bytes_on_the_bill(
    source: HistoricalSource, api: HistoricalServer, tmp_path: Path
) -> None:
    purse = CappedPurse(RICH)
    api.door.faults.plan("truncated-body", "timeseries")

    with pytest.raises(HistoryDelayedError) as broken:
        source.fetch(request(), tmp_path, purse)

    sizes = [x.bytes_sent for x in api.door.exchanges if x.method == "timeseries.get_range"]
    assert len(sizes) == QUICK.paid_attempts
    assert broken.value.bytes_received == sum(sizes) > 0
    assert purse.spent_micro_dollars > 0
    assert list(tmp_path.iterdir()) == []


def test_a_process_killed_in_mid_download_is_resumed_and_its_bytes_are_booked(
    serve: Any, tmp_path: Path
) -> None:
    asked = request()
    future, options = list(asked.slices())[:2]
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ifd.gateway.historical import *\n"
        "key, gateway, out, start, end = sys.argv[1:]\n"
        "request = HistoricalRequest(schema='mbo', symbols=('NQ.FUT', 'NQ.OPT'),\n"
        "    start_ns=int(start), end_ns=int(end))\n"
        "HistoricalSource(key, gateway=gateway).fetch(request, Path(out), CappedPurse(10**9))\n"
    )
    with serve(slow_seconds=1.0) as server:
        source = HistoricalSource(DEFAULT_KEY, gateway=server.address, patience=QUICK)
        source.fetch(future, tmp_path, CappedPurse(RICH))
        server.door.faults.plan("slow", "timeseries", count=1)
        span = [str(asked.start_ns), str(asked.end_ns)]
        child = subprocess.Popen(
            [sys.executable, "-c", program, DEFAULT_KEY, server.address, str(tmp_path), *span]
        )
        partial = tmp_path / f"{options.file_name()}.part"
        try:
            _until(lambda: partial.exists() and partial.stat().st_size > 0)
        finally:
            child.kill()
            child.wait()
        size = partial.stat().st_size
        price = source.quote_missing(asked, tmp_path).micro_dollars
        purse = CappedPurse(RICH)

        fetched = source.fetch(asked, tmp_path, purse)

    assert fetched.bytes_abandoned == size > 0
    assert purse.spent_micro_dollars == fetched.micro_dollars > price
    assert fetched.slices_on_disk == 1
    assert sorted(tmp_path.iterdir()) == sorted(fetched.files)
    assert len(fetched.files) == 4


def test_retry_after_is_waited_for_and_the_answer_still_comes(
    make_source: Callable[..., HistoricalSource], api: HistoricalServer
) -> None:
    waits: list[float] = []
    source = make_source(sleep=waits.append)
    api.door.faults.plan("429", "metadata", count=2)

    assert source.unit_prices()["mbo"] == Decimal("1.8")

    assert [wait for wait in waits if wait >= 1.0] == [1.0, 1.0]


def test_questions_are_spread_to_what_the_provider_allows(
    make_source: Callable[..., HistoricalSource],
) -> None:
    waits: list[float] = []
    patience = Patience(metadata_per_second=20)
    source = make_source(clock=ManualClock(1_000), patience=patience, sleep=waits.append)

    for _ in range(3):
        source.unit_prices()

    assert waits == pytest.approx([0.05, 0.1])


@pytest.mark.parametrize("fault", ["500", "504", "429", "timeout"])
def test_a_passing_trouble_is_waited_out_by_questions_and_by_downloads(
    make_source: Callable[..., HistoricalSource],
    api: HistoricalServer,
    tmp_path: Path,
    fault: str,
) -> None:
    source = make_source(
        sleep=lambda _: None, patience=Patience(timeout_seconds=0.3, metadata_per_second=1_000)
    )
    asked = request(symbols=("NQ.FUT",), end_ns=OPENING_NS + NANOS_PER_MINUTE)
    api.door.faults.plan(fault, "metadata", count=1)
    api.door.faults.plan(fault, "timeseries", count=1)

    fetched = source.fetch(asked, tmp_path, CappedPurse(RICH))

    assert fetched.records > 0
    assert fetched.micro_dollars == source.quote(asked).micro_dollars


def test_trouble_that_stays_is_given_up_after_the_attempts_allowed(
    make_source: Callable[..., HistoricalSource], api: HistoricalServer, tmp_path: Path
) -> None:
    source = make_source(sleep=lambda _: None)
    api.door.faults.plan("500", "metadata.list_unit_prices")
    api.door.faults.plan("429", "timeseries")
    purse = CappedPurse(RICH)

    with pytest.raises(HistoryDelayedError):
        source.unit_prices()
    with pytest.raises(HistoryDelayedError) as delayed:
        source.fetch(request(), tmp_path, purse)

    asked = [one.method for one in api.door.exchanges]
    assert asked.count("metadata.list_unit_prices") == QUICK.free_attempts
    assert asked.count("timeseries.get_range") == QUICK.paid_attempts
    assert (delayed.value.retry_after_ns, delayed.value.bytes_received) == (1_000_000_000, 0)
    assert (purse.spent_micro_dollars, purse.left_micro_dollars) == (0, RICH)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"end_ns": OPENING_NS + 4 * 1_440 * NANOS_PER_MINUTE}, RangeUnavailableError),
        ({"symbols": ("XX.FUT", "YY.FUT")}, SymbolsUnknownError),
        ({"dataset": "XNAS.ITCH"}, HistoryRefusedError),
        ({"schema": "trades"}, HistoryRefusedError),
        ({"stype_in": "name"}, InputError),
    ],
)
def test_what_will_never_be_answered_is_asked_once(
    source: HistoricalSource, api: HistoricalServer, changes: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        source.quote(request(**changes))

    assert len(api.door.exchanges) <= 1


def test_a_refused_license_is_not_asked_for_twice(
    source: HistoricalSource, api: HistoricalServer, tmp_path: Path
) -> None:
    purse = CappedPurse(RICH)
    api.door.faults.plan("403", "timeseries")

    with pytest.raises(HistoryUnlicensedError):
        source.fetch(request(), tmp_path, purse)

    assert downloads(api) == 1
    assert (purse.spent_micro_dollars, purse.left_micro_dollars) == (0, RICH)


def test_a_parent_without_listings_is_named_and_does_not_stop_the_others(
    source: HistoricalSource, tmp_path: Path
) -> None:
    asked = request(symbols=("NQ.FUT", "XX.OPT"), end_ns=OPENING_NS + NANOS_PER_MINUTE)

    fetched = source.fetch(asked, tmp_path, CappedPurse(RICH))

    assert fetched.unknown_symbols == ("XX.OPT",)
    assert len(fetched.files) == 1


def test_a_slice_without_a_record_costs_nothing_and_has_no_file(
    source: HistoricalSource, api: HistoricalServer, tmp_path: Path
) -> None:
    night = request(start_ns=OPENING_NS - 60 * NANOS_PER_MINUTE, end_ns=OPENING_NS)

    fetched = source.fetch(night, tmp_path, CappedPurse(0))

    assert (fetched.files, fetched.records, downloads(api)) == ((), 0, 0)


def test_the_providers_warning_reaches_the_caller(source: HistoricalSource, tmp_path: Path) -> None:
    day_ns = 1_440 * NANOS_PER_MINUTE
    tuesday = request(
        symbols=("NQ.FUT",),
        start_ns=OPENING_NS + day_ns,
        end_ns=OPENING_NS + day_ns + NANOS_PER_MINUTE,
    )

    fetched = source.fetch(tuesday, tmp_path, CappedPurse(RICH))

    assert len(fetched.notices) == 1
    assert "2026-10-06 (degraded)" in fetched.notices[0]


def test_a_finished_file_that_was_damaged_is_not_quietly_paid_again(
    source: HistoricalSource, api: HistoricalServer, tmp_path: Path
) -> None:
    asked = request(symbols=("NQ.FUT",), end_ns=OPENING_NS + NANOS_PER_MINUTE)
    path = source.fetch(asked, tmp_path, CappedPurse(RICH)).files[0]
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(InputError, match="zstd frame"):
        source.fetch(asked, tmp_path, CappedPurse(RICH))

    assert downloads(api) == 1


def test_records_that_are_not_those_quoted_are_an_error_and_spent(
    make_source: Callable[..., HistoricalSource], api: HistoricalServer, tmp_path: Path
) -> None:
    source = make_source()
    asked = request(symbols=("NQ.FUT",), end_ns=OPENING_NS + NANOS_PER_MINUTE)
    quote = source.quote(asked)
    other = source.quote(request(symbols=("NQ.FUT",)))
    source.quote = lambda _: other  # type: ignore[method-assign]
    purse = CappedPurse(RICH)

    with pytest.raises(DownloadBrokenError) as broken:
        source.fetch(asked, tmp_path, purse)

    assert f"{quote.billable_bytes:,} bytes of records came" in str(broken.value)
    assert broken.value.bytes_received > 0
    assert purse.spent_micro_dollars == other.share(quote.billable_bytes) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_range_that_grew_between_quote_and_download_is_paid_as_it_came(
    make_source: Callable[..., HistoricalSource], tmp_path: Path
) -> None:
    source = make_source()
    asked = request(symbols=("NQ.FUT",), end_ns=OPENING_NS + NANOS_PER_MINUTE)
    grown = source.quote(asked)
    answers = iter([Quote(grown.micro_dollars // 2, grown.billable_bytes // 2), grown])
    source.quote = lambda _: next(answers)  # type: ignore[method-assign]

    fetched = source.fetch(asked, tmp_path, CappedPurse(RICH))

    assert fetched.bytes == grown.billable_bytes
    assert abs(fetched.micro_dollars - grown.micro_dollars) <= 2


def test_an_unknown_key_is_said_once_and_no_key_is_ever_shown(
    make_source: Callable[..., HistoricalSource],
    api: HistoricalServer,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = "db-secret-key-that-nobody-may-see"
    caplog.set_level(logging.DEBUG)
    source = make_source(key=key)

    with pytest.raises(AuthenticationFailedError) as refused:
        source.unit_prices()

    shown = [str(refused.value), repr(source), str(vars(source)), caplog.text]
    shown += [*capsys.readouterr()]
    assert len(api.door.exchanges) == 1
    assert not [text for text in shown if "secret" in text]


def test_a_certificate_that_is_not_trusted_is_said_at_once(
    source: HistoricalSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")

    with pytest.raises(EnvironmentProblemError, match="REQUESTS_CA_BUNDLE"):
        source.unit_prices()


def test_nobody_listening_and_a_full_disk_are_told_apart(
    api: HistoricalServer, make_source: Callable[..., HistoricalSource], tmp_path: Path
) -> None:
    nowhere = make_source(gateway="127.0.0.1:1", sleep=lambda _: None)
    with pytest.raises(HistoryDelayedError):
        nowhere.unit_prices()

    import resource

    asked = request(symbols=("NQ.OPT",))
    source = make_source()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, hard))
    try:
        with pytest.raises(EnvironmentProblemError, match="cannot be written"):
            source.fetch(asked, tmp_path, CappedPurse(RICH))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert downloads(api) == 1


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
