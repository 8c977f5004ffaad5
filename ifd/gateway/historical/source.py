"""History as the rest of the project asks for it: quoted, paid within a purse, kept for good.

A slice is written under a temporary name, verified, and renamed; one that has its name is finished
and never asked for again. What a broken or killed download received is booked as spent, because
the provider bills what it has sent, and a repetition pays again.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import structlog

from ifd.clock import Clock, SystemClock
from ifd.errors import (
    HistoryError,
    SymbolsUnknownError,
)
from ifd.gateway.historical.client import Patience, ProviderClient, Sleep, parameters
from ifd.gateway.historical.download import Download
from ifd.gateway.historical.purse import Purse
from ifd.gateway.historical.quote import Quote, micro_dollars
from ifd.gateway.historical.request import HistoricalRequest
from ifd.gateway.historical.verify import verified_bytes
from ifd.replay import read_definitions, read_metadata
from ifd.symbols import Instrument
from ifd.units import NANOS_PER_SECOND, ns_from_datetime

log = structlog.get_logger(__name__)

_STREAMING: Final = "historical-streaming"


@dataclass(frozen=True, slots=True)
class DayCondition:
    """The state of one UTC day: `available`, `degraded`, `pending` or `missing`."""

    date: dt.date
    condition: str
    last_modified: dt.date | None

    @property
    def degraded(self) -> bool:
        """True when what is there is known to be poor."""
        return self.condition == "degraded"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fetch has come, after each slice; bytes are uncompressed."""

    slices_done: int
    slices: int
    bytes_done: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch gave.

    `files` are in order of time, then of symbol; a slice without a record has none. `bytes` and
    `records` are those of all files, `bytes_received` what this fetch was sent and
    `micro_dollars` what it has cost, broken attempts included. `bytes_abandoned` were received by
    an earlier process that was killed. `unknown_symbols` mean nothing in any slice; `notices` are
    the provider's own warnings.
    """

    files: tuple[Path, ...]
    records: int
    bytes: int
    bytes_received: int
    bytes_abandoned: int
    micro_dollars: int
    slices_on_disk: int
    unknown_symbols: tuple[str, ...]
    notices: tuple[str, ...]


class HistoricalSource:
    """The provider's history.

    Parameters
    ----------
    key : str
        API key; it appears in no representation, log or error.
    dataset : str
        Dataset of `conditions`, `unit_prices` and `definitions`; a request names its own.
    gateway : str or None
        `host:port` of another historical API; None is the provider's own.
    sleep : callable of float
        Waits so many seconds.
    """

    def __init__(
        self,
        key: str,
        *,
        dataset: str = "GLBX.MDP3",
        gateway: str | None = None,
        clock: Clock | None = None,
        patience: Patience | None = None,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._dataset = dataset
        patience = patience or Patience()
        self._paid_attempts = patience.paid_attempts
        self._client = ProviderClient(
            key,
            gateway=gateway,
            clock=clock or SystemClock(),
            patience=patience,
            sleep=sleep,
        )

    def quote(self, request: HistoricalRequest) -> Quote:
        """Return what a request would cost now; free.

        The provider's own quote is the authority: it knows the plan's discounts.

        Raises
        ------
        HistoryError, AuthenticationFailedError
            If it was refused or is not to be had.
        """
        asked = parameters(request.normalised())
        size = int(self._client.ask("get_billable_size", **asked))
        cost = self._client.ask("get_cost", **asked) if size else 0.0
        return Quote(micro_dollars(cost), size)

    def quote_missing(self, request: HistoricalRequest, directory: Path) -> Quote:
        """Return what `fetch` would still have to pay at most: the slices not finished; free.

        At most, because nobody asks for the price of every slice of a long request: the whole is
        asked for once, and what rounding each slice up can add is added.

        Raises
        ------
        HistoryError, AuthenticationFailedError
            As `quote`.
        """
        slices = list(request.slices())
        missing = [part for part in slices if not (directory / part.file_name()).exists()]
        if len(missing) == len(slices):
            return self.quote(request).in_parts(len(slices))
        quotes = [quote for part in missing if (quote := self._quote_if_known(part)) is not None]
        return Quote(
            sum(quote.micro_dollars for quote in quotes),
            sum(quote.billable_bytes for quote in quotes),
        )

    def record_count(self, request: HistoricalRequest) -> int:
        """Return how many records a request would give; free."""
        return int(self._client.ask("get_record_count", **parameters(request.normalised())))

    def conditions(self, start: dt.date, end: dt.date) -> list[DayCondition]:
        """Return the condition of each day of `[start, end]`; free."""
        answer = self._client.ask(
            "get_dataset_condition", dataset=self._dataset, start_date=start, end_date=end
        )
        return [
            DayCondition(
                dt.date.fromisoformat(one["date"]),
                one["condition"],
                None
                if one["last_modified_date"] is None
                else dt.date.fromisoformat(one["last_modified_date"]),
            )
            for one in answer
        ]

    def unit_prices(self) -> dict[str, Decimal]:
        """Return the list price of a GiB of each schema, in US dollars; free.

        A subscriber may pay less: `quote` knows.
        """
        answer = self._client.ask("list_unit_prices", dataset=self._dataset)
        prices: Mapping[str, float] = next(
            (one["unit_prices"] for one in answer if one["mode"] == _STREAMING), {}
        )
        return {schema: Decimal(str(price)) for schema, price in prices.items()}

    def definitions(
        self, date: dt.date, symbols: tuple[str, ...], directory: Path, purse: Purse
    ) -> list[Instrument]:
        """Return the instruments of a UTC day, fetched into `directory` unless they are there.

        Raises
        ------
        HistoryError, AuthenticationFailedError
            As `fetch`.
        """
        start_ns = ns_from_datetime(dt.datetime.combine(date, dt.time(), tzinfo=dt.UTC))
        request = HistoricalRequest(
            schema="definition",
            symbols=symbols,
            start_ns=start_ns,
            end_ns=start_ns + 86_400 * NANOS_PER_SECOND,
            dataset=self._dataset,
        )
        fetched = self.fetch(request, directory, purse)
        return [one for path in fetched.files for one in read_definitions(path)]

    def fetch(
        self,
        request: HistoricalRequest,
        directory: Path,
        purse: Purse,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> Fetched:
        """Download a request slice by slice into `directory`; finished slices are not paid again.

        Interrupted at any point, the same call resumes. One process at a time may fetch into a
        directory.

        Raises
        ------
        BudgetExceededError
            Before the slice that the purse does not pay; finished ones stay.
        HistoryError, AuthenticationFailedError
            As the provider demands; `bytes_received` says what this fetch was sent and has paid.
        InputError
            If a finished file is no longer what it was: it has to be removed by hand, since
            fetching it again costs money.
        """
        directory.mkdir(parents=True, exist_ok=True)
        download = Download(self._client, self.quote, purse, attempts=self._paid_attempts)
        try:
            return self._fetch(request, directory, download, on_progress)
        except HistoryError as error:
            error.bytes_received = download.bytes_received
            raise

    def _fetch(
        self,
        request: HistoricalRequest,
        directory: Path,
        download: Download,
        on_progress: Callable[[Progress], None],
    ) -> Fetched:
        slices = list(request.slices())
        files: list[Path] = []
        known: set[str] = set()
        records = octets = on_disk = 0
        for number, part in enumerate(slices, start=1):
            path = directory / part.file_name()
            on_disk += path.exists()
            try:
                found = path.exists() or download.obtain(part, path)
                unlisted = read_metadata(path).not_found if found else []
                known.update(set(part.symbols) - set(unlisted))
            except SymbolsUnknownError:
                found = False  # a parent may have nothing listed on a day; said below if on none
            if found:
                more_records, more_octets = verified_bytes(path, part)
                records, octets = records + more_records, octets + more_octets
                files.append(path)
            on_progress(Progress(number, len(slices), octets))
        unknown = set(request.normalised().symbols) - known
        if not known:
            raise SymbolsUnknownError(
                f"history was refused: none of {', '.join(sorted(unknown))} exists in the range"
            )
        return Fetched(
            files=tuple(files),
            records=records,
            bytes=octets,
            bytes_received=download.bytes_received,
            bytes_abandoned=download.bytes_abandoned,
            micro_dollars=download.micro_dollars,
            slices_on_disk=on_disk,
            unknown_symbols=tuple(sorted(unknown)),
            notices=tuple(self._client.notices),
        )

    def _quote_if_known(self, request: HistoricalRequest) -> Quote | None:
        try:
            return self.quote(request)
        except SymbolsUnknownError:
            return None
