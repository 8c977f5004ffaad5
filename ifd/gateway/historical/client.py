"""Every call to the provider: paced, retried, and its failures turned into decisions.

The provider's client does neither. Free questions are asked again patiently; a download is asked
again only a few times, since what was received of a broken one is paid for. Both wait as long as
`Retry-After` asks.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import databento
import requests
import structlog
from databento.common.error import BentoError, BentoHttpError, BentoWarning

from ifd.clock import Clock
from ifd.errors import (
    AuthenticationFailedError,
    EnvironmentProblemError,
    HistoryDelayedError,
    HistoryError,
    HistoryRefusedError,
    HistoryUnlicensedError,
    InputError,
    RangeUnavailableError,
    SymbolsUnknownError,
)
from ifd.gateway.backoff import Backoff
from ifd.gateway.historical.request import HistoricalRequest
from ifd.units import NANOS_PER_SECOND

log = structlog.get_logger(__name__)

T = TypeVar("T")
Sleep = Callable[[float], None]

_SYMBOL_CASES: Final = frozenset({"symbology_invalid_request"})
_RANGE_CASES: Final = frozenset(
    {
        "data_end_after_available_end",
        "data_start_before_available_start",
        "data_start_after_available_end",
        "unavailable_range",
    }
)
_WORTH_ANOTHER_TRY: Final = frozenset({408, 425, 429})
"""Of the statuses below 500; every one from 500 on is."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long a call is repeated.

    `paid_attempts` is the number of downloads that may be begun for one slice. `timeout_seconds`
    is the longest silence. `metadata_per_second` is the provider's own limit.
    """

    free_attempts: int = 6
    paid_attempts: int = 2
    first_seconds: float = 1.0
    cap_seconds: float = 60.0
    timeout_seconds: float = 100.0
    metadata_per_second: int = 20


class ProviderClient:
    """The provider's client with manners; for one thread at a time.

    Parameters
    ----------
    key : str
        API key. It is handed on and kept nowhere else.
    gateway : str or None
        `host:port` of another historical API; None is the provider's own.
    sleep : callable of float
        Waits so many seconds.
    """

    def __init__(
        self, key: str, *, gateway: str | None, clock: Clock, patience: Patience, sleep: Sleep
    ) -> None:
        self.notices: list[str] = []
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._next_metadata_ns = 0
        self._client = (
            databento.Historical(key)
            if gateway is None
            # Without a scheme the client would take the host for one.
            else databento.Historical(key, gateway=f"https://{gateway.removeprefix('https://')}")
        )
        for group in (self._client.metadata, self._client.timeseries):
            # Any: the library declares an int, and hands it on to one that takes fractions.
            seconds: Any = patience.timeout_seconds
            group.TIMEOUT = seconds

    def ask(self, method: str, **parameters: Any) -> Any:
        """Return the answer to a free question; `method` is one of the metadata group.

        Raises
        ------
        HistoryError, AuthenticationFailedError
            If it was refused, or was not to be had in `free_attempts`.
        EnvironmentProblemError
            If the other side's certificate is not trusted.
        """
        # Any: whatever JSON the method answers, and what it takes.
        call = getattr(self._client.metadata, method)

        def paced() -> Any:
            self._wait_for_turn()
            return self._call(lambda: call(**parameters))

        return self.retried(paced, self._patience.free_attempts)

    def download(self, request: HistoricalRequest, path: Path) -> None:
        """Fetch the records of a request into a new file, once; it costs money.

        Whatever happens, all that was received is on disk when this returns or raises.

        Raises
        ------
        HistoryError, AuthenticationFailedError
            If it was refused, or broke.
        EnvironmentProblemError
            If the file cannot be written, or the certificate is not trusted.
        """

        def fetch() -> None:
            self._client.timeseries.get_range(**parameters(request), path=path)

        self._call(fetch)

    def retried(self, call: Callable[[], T], attempts: int) -> T:
        """Return what `call` gives, in at most so many attempts; only delays are worth another.

        Raises
        ------
        HistoryError, AuthenticationFailedError
            What the last attempt, or one not worth repeating, raised.
        """
        backoff = Backoff(
            first_seconds=self._patience.first_seconds, cap_seconds=self._patience.cap_seconds
        )
        while True:
            try:
                return call()
            except HistoryDelayedError as error:
                if backoff.failures >= attempts - 1:
                    raise
                wait_seconds = backoff.next_seconds()
                if error.retry_after_ns is not None:
                    wait_seconds = max(wait_seconds, error.retry_after_ns / NANOS_PER_SECOND)
                log.info("asking again", reason=str(error), wait_seconds=round(wait_seconds, 1))
                self._sleep(wait_seconds)

    def _call(self, call: Callable[[], T]) -> T:
        failure: Exception
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore", ResourceWarning)
            warnings.simplefilter("always", BentoWarning)
            try:
                return call()
            except (BentoError, requests.RequestException) as error:
                failure = _decision(error)
                # The library leaves its half-written file open; this closes, and so flushes, it.
                traceback.clear_frames(error.__traceback__)
            except ValueError as error:
                failure = InputError(f"this request cannot be sent: {error}")
            finally:
                self._note(caught)
        raise failure

    def _note(self, caught: list[warnings.WarningMessage]) -> None:
        for one in caught:
            if not issubclass(one.category, BentoWarning):
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
            elif (text := str(one.message)) not in self.notices:
                log.warning("the provider warns", text=text)
                self.notices.append(text)

    def _wait_for_turn(self) -> None:
        now_ns = self._clock.now_ns()
        if now_ns < self._next_metadata_ns:
            self._sleep((self._next_metadata_ns - now_ns) / NANOS_PER_SECOND)
        interval_ns = NANOS_PER_SECOND // self._patience.metadata_per_second
        self._next_metadata_ns = max(now_ns, self._next_metadata_ns) + interval_ns


def parameters(request: HistoricalRequest) -> dict[str, Any]:
    """Return a request as the provider's client takes it, alike for a quote and for a download."""
    # Any: texts, integers and a list of symbols.
    return {
        "dataset": request.dataset,
        "start": request.start_ns,
        "end": request.end_ns,
        "symbols": list(request.symbols),
        "schema": request.schema,
        "stype_in": request.stype_in,
        "limit": request.limit,
    }


def _decision(error: BentoError | requests.RequestException) -> Exception:
    """Return the error that says what to do about this one."""
    if isinstance(error, requests.exceptions.SSLError):
        return EnvironmentProblemError(
            f"the historical API's certificate is not trusted ({error}): for the local exchange, "
            "REQUESTS_CA_BUNDLE names the file that `ifd gateway --historical-ca` wrote"
        )
    if not isinstance(error, BentoHttpError):
        cause = error.__context__
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException):
            return EnvironmentProblemError(f"a download cannot be written: {cause}")
        return HistoryDelayedError(str(error))
    text, status, case = str(error), error.http_status, _case(error)
    if status == 401:
        return AuthenticationFailedError(text)
    if status >= 500 or status in _WORTH_ANOTHER_TRY:
        return HistoryDelayedError(text, retry_after_ns=_retry_after_ns(error))
    return _refusal(status, case)(f"history was refused: {text}")


def _refusal(status: int, case: str | None) -> type[HistoryError]:
    if status == 403:
        return HistoryUnlicensedError
    if case in _SYMBOL_CASES:
        return SymbolsUnknownError
    return RangeUnavailableError if case in _RANGE_CASES else HistoryRefusedError


def _case(error: BentoHttpError) -> str | None:
    detail = (error.json_body or {}).get("detail")
    return detail.get("case") if isinstance(detail, dict) else None


def _retry_after_ns(error: BentoHttpError) -> int | None:
    # The other form, a date, is not one the provider documents.
    seconds = str(error.headers.get("Retry-After", ""))
    return int(seconds) * NANOS_PER_SECOND if seconds.isdecimal() else None
