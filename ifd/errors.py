"""Every error the engine and its tools raise, one class per decision a caller can take.

IfdError
├── InputError (ValueError)          what was handed in cannot be used: mend it and run again
│   ├── CorruptFileError             a DBN file is damaged or cut short
│   ├── UnsupportedDataError         a DBN file of another schema or a newer version
│   ├── CorruptStreamError           bytes that are no DBN records: fetch or connect again
│   └── ConfigurationError           a setting, profile or secret is missing or wrong
├── EnvironmentProblemError          the machine is in the way: port in use, no network
│   ├── PortInUseError
│   └── DatabaseError                the database cannot be used
│       └── NewerDatabaseError       it was written by a newer version of this project
├── FeedError                        the live feed ended or could not begin
│   ├── GatewayUnreachableError      nobody answered: retry
│   ├── AuthenticationFailedError    the key was refused: do not retry
│   ├── GatewayRefusedError          a fatal error code: do not retry
│   ├── FeedInterruptedError         the connection was lost: reconnect and resume
│   └── IngestLostError              the process that reads the socket is gone: start again
├── HistoryError                     a request for history was not fulfilled
│   ├── HistoryDelayedError          busy, broken or unreachable: ask again later
│   ├── DownloadBrokenError          paid bytes came, but not whole: look, then pay again
│   ├── HistoryRefusedError          the request is wrong as it is: never send it again
│   │   └── SymbolsUnknownError      none of its symbols exists in its range
│   ├── HistoryUnlicensedError       it takes a license this account has not
│   ├── RangeUnavailableError        the range is not (yet) there: ask for another
│   └── BudgetExceededError          it would cost more than may be spent
├── BackfillBusyError                another process fills the holes of this shard
└── AlreadyStreamingError            another process streams this shard
"""

from __future__ import annotations

from pathlib import Path


class IfdError(Exception):
    """Root of every error this project raises on purpose."""


class InputError(IfdError, ValueError):
    """What was handed in cannot be used."""


class CorruptFileError(InputError):
    """A DBN file is damaged or ends in the middle of a record."""

    def __init__(self, path: Path | str, reason: str, *, records: int = 0) -> None:
        self.path = Path(path)
        self.reason = reason
        self.records = records
        super().__init__(
            f"{path} is not a whole DBN file: {reason} ({records:,} good records before it). "
            "Fetch it again, or cut it to whole records."
        )


class UnsupportedDataError(InputError):
    """A DBN file or stream holds data this version does not read."""


class CorruptStreamError(InputError):
    """Bytes that should be DBN records are not."""


class ConfigurationError(InputError):
    """A setting, profile or secret is missing or wrong."""


class EnvironmentProblemError(IfdError):
    """The machine is in the way."""


class PortInUseError(EnvironmentProblemError):
    """A port that a server needs is taken."""

    def __init__(self, port: int, purpose: str, option: str) -> None:
        self.port = port
        super().__init__(
            f"port {port} is in use, and the {purpose} needs it: stop what holds it, "
            f"or choose another with {option}"
        )


class DatabaseError(EnvironmentProblemError):
    """The database cannot be used."""


class NewerDatabaseError(DatabaseError):
    """The database was written by a newer version of this project."""

    def __init__(self, url: str, found: str) -> None:
        self.found = found
        super().__init__(
            f"the database {url} was written by a newer version (its migration {found} is not "
            "known here): update this checkout, or point --database elsewhere"
        )


class FeedError(IfdError):
    """The live feed ended or could not begin."""


class GatewayUnreachableError(FeedError):
    """Nobody answered at the gateway's address."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"the gateway at {host}:{port} was not reached ({reason}): "
            "check the network, IFD_FEED__HOST and IFD_FEED__PORT"
        )


class AuthenticationFailedError(FeedError):
    """The gateway refused the key."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the gateway refused the key ({reason}): check DATABENTO_API_KEY")


class GatewayRefusedError(FeedError):
    """The gateway sent a fatal error record."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        super().__init__(f"the gateway ended the session with error {code}: {reason}")


class FeedInterruptedError(FeedError):
    """The connection was lost, or never made, while the session was wanted.

    `cause` is one word for the gap's row: unreachable, timeout, closed, reset, silence, corrupt,
    error, skipped or aged-out.
    """

    def __init__(self, cause: str, detail: str) -> None:
        self.cause = cause
        self.detail = detail
        super().__init__(f"the feed was interrupted ({cause}): {detail}")


class IngestLostError(FeedError):
    """The process that reads the socket ended without a word."""

    def __init__(self) -> None:
        super().__init__(
            "the process that reads the feed is gone; what it had written is in the archive, and "
            "the next stream goes on from there"
        )


class HistoryError(IfdError):
    """A request for history was not fulfilled.

    `bytes_received` came over the wire before it failed and are paid for; 0 for a request that is
    free or was refused.
    """

    def __init__(self, message: str, *, bytes_received: int = 0) -> None:
        self.bytes_received = bytes_received
        super().__init__(message)


class HistoryDelayedError(HistoryError):
    """The provider is busy, broken or unreachable, and stayed so while it was asked again."""

    def __init__(self, reason: str, *, retry_after_ns: int | None = None) -> None:
        self.retry_after_ns = retry_after_ns
        super().__init__(f"history is not to be had now ({reason}): try again later")


class DownloadBrokenError(HistoryError):
    """Bytes that are paid for came, but not the whole of what was asked for, or not that."""

    def __init__(self, name: str, reason: str, *, bytes_received: int) -> None:
        super().__init__(
            f"{name} did not arrive whole ({reason}); {bytes_received:,} bytes were received and "
            "count as spent: run it again to fetch what is missing",
            bytes_received=bytes_received,
        )


class HistoryRefusedError(HistoryError):
    """The provider will never fulfil this request as it is."""


class SymbolsUnknownError(HistoryRefusedError):
    """None of the symbols means an instrument in the range."""


class HistoryUnlicensedError(HistoryError):
    """The request takes a license that this account has not."""


class RangeUnavailableError(HistoryError):
    """The provider has not, or not yet, what the range asks for."""


class BudgetExceededError(HistoryError):
    """The request would cost more than may be spent; nothing was sent."""

    def __init__(self, needed_micro_dollars: int, left_micro_dollars: int) -> None:
        self.needed_micro_dollars = needed_micro_dollars
        self.left_micro_dollars = left_micro_dollars
        super().__init__(
            f"this costs ${needed_micro_dollars / 1e6:,.6f} and ${left_micro_dollars / 1e6:,.6f} "
            "may still be spent: raise the cap, or ask for less"
        )


class BackfillBusyError(IfdError):
    """Another process of this machine fills the holes of this shard."""

    def __init__(self, shard: str) -> None:
        self.shard = shard
        super().__init__(
            f"another process is filling the holes of shard {shard}: wait until it is done"
        )


class AlreadyStreamingError(IfdError):
    """Another live process streams this shard."""

    def __init__(self, shard: str, pid: int | None) -> None:
        self.shard = shard
        self.pid = pid
        super().__init__(
            f"shard {shard} is already streaming (process {pid}): stop it with the market-close "
            "deployment, or wait until it has drained"
        )
