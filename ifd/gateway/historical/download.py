"""One slice at a time: reserved, downloaded, verified, settled, and put in its place.

What a broken or killed download received is booked as spent: the provider bills what it has sent,
and a repetition pays again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from ifd.errors import DownloadBrokenError, InputError
from ifd.gateway.historical.client import ProviderClient
from ifd.gateway.historical.purse import Purse
from ifd.gateway.historical.quote import Quote
from ifd.gateway.historical.request import HistoricalRequest
from ifd.gateway.historical.verify import received_bytes, verified_bytes

log = structlog.get_logger(__name__)

PART_SUFFIX: Final = ".part"


class Download:
    """The slices of one fetch, and what they have cost so far.

    Parameters
    ----------
    quote : callable of HistoricalRequest
        Asks what a slice costs now.
    attempts : int
        How often the download of one slice may be begun.
    """

    def __init__(
        self,
        client: ProviderClient,
        quote: Callable[[HistoricalRequest], Quote],
        purse: Purse,
        *,
        attempts: int,
    ) -> None:
        self.bytes_received = 0
        self.bytes_abandoned = 0
        self.micro_dollars = 0
        self._client = client
        self._quote = quote
        self._purse = purse
        self._attempts = attempts

    def obtain(self, request: HistoricalRequest, path: Path) -> bool:
        """Pay for a slice and put it in its place; False when there is nothing in it.

        Raises
        ------
        HistoryError, AuthenticationFailedError
            As the provider or the purse demands; what came is booked before.
        """
        quote = self._quote(request)
        partial = path.with_name(path.name + PART_SUFFIX)
        if partial.exists() and self._take_over(request, quote, partial):
            _put_in_place(partial, path)
            return True
        if not quote.billable_bytes:
            return False
        self._client.retried(lambda: self._attempt(request, quote, partial), self._attempts)
        self._require_whole(request, quote, partial)
        _put_in_place(partial, path)
        return True

    def _attempt(self, request: HistoricalRequest, quote: Quote, partial: Path) -> None:
        fingerprint = request.fingerprint()
        self._purse.reserve(fingerprint, quote.micro_dollars)
        whole = False
        try:
            self._client.download(request, partial)
            whole = True
        finally:
            # Whatever ended it, Ctrl-C included, what came is booked before anything else.
            size = partial.stat().st_size if partial.exists() else 0
            # A range that touches the present may have grown since the quote, and costs more.
            cost = quote.share(received_bytes(partial)) if whole else _cost_of_part(partial, quote)
            self._purse.settle(fingerprint, cost, size)
            self.bytes_received += size
            self.micro_dollars += cost
            if not whole:
                partial.unlink(missing_ok=True)

    def _require_whole(self, request: HistoricalRequest, quote: Quote, partial: Path) -> None:
        try:
            found = verified_bytes(partial, request)[1]
        except InputError as error:
            reason = str(error)
        else:
            expected = quote.billable_bytes
            if found == expected or found == self._quote(request).billable_bytes:
                return  # the second: it has grown
            reason = f"{found:,} bytes of records came, {expected:,} were quoted"
        size = partial.stat().st_size
        partial.unlink()
        log.warning("a download is not whole", file=partial.name, bytes=size, reason=reason)
        raise DownloadBrokenError(
            partial.name.removesuffix(PART_SUFFIX), reason, bytes_received=self.bytes_received
        )

    def _take_over(self, request: HistoricalRequest, quote: Quote, partial: Path) -> bool:
        """Book what a process that died had received; True when only its name is missing."""
        size = partial.stat().st_size
        cost = _cost_of_part(partial, quote)
        self._purse.book_abandoned(request.fingerprint(), cost, size)
        self.micro_dollars += cost
        if _is_whole(request, quote, partial):
            return True
        partial.unlink()
        self.bytes_abandoned += size
        log.warning("an earlier download was abandoned", file=partial.name, bytes=size)
        return False


def _is_whole(request: HistoricalRequest, quote: Quote, partial: Path) -> bool:
    try:
        return verified_bytes(partial, request)[1] == quote.billable_bytes
    except InputError:
        return False


def _cost_of_part(partial: Path, quote: Quote) -> int:
    """Return what a broken download cost: its share of the quote, and no more."""
    if not partial.exists():
        return 0
    return quote.share(min(received_bytes(partial), quote.billable_bytes))


def _put_in_place(partial: Path, path: Path) -> None:
    """Have the file survive a power cut, then let its name say that it is finished."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
