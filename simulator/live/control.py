"""The text half of the live protocol: greeting, challenge, authentication, subscriptions.

Lines of `key=value|key=value`, ended by a newline, exactly as Databento's clients write and read
them. The client's parser refuses unknown keys, so nothing may be added to what is sent here; what
is received is checked as strictly.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import databento_dbn as dbn

from ifd.errors import ConfigurationError

GATEWAY_VERSION: Final = "0.7.2"
DEFAULT_KEY: Final = "db-simulated-exchange-0000000000"
AUTHENTICATION_FAILED: Final = "Authentication failed."
TOO_MANY_SESSIONS: Final = "User has reached their open connection limit"
SYMBOLS_PER_LINE: Final = 500
_KEY_PREFIX: Final = "db-"
_SHORTEST_KEY: Final = 32
_BUCKET_LENGTH: Final = 5
_CHALLENGE_LENGTH: Final = 32
_DEFAULT_HEARTBEAT_SECONDS: Final = 30
_HEARTBEAT_RANGE: Final = range(5, 1_801)
_AUTHENTICATION_KEYS: Final = frozenset(
    {
        "auth",
        "client",
        "compression",
        "dataset",
        "details",
        "encoding",
        "heartbeat_interval_s",
        "pretty_px",
        "pretty_ts",
        "slow_reader_behavior",
        "ts_out",
    }
)
_SUBSCRIPTION_KEYS: Final = frozenset(
    {"id", "is_last", "schema", "snapshot", "start", "stype_in", "symbols"}
)
SYMBOLOGIES: Final = frozenset({"parent", "raw_symbol", "instrument_id", "continuous"})
SCHEMAS: Final = frozenset(str(schema) for schema in dbn.Schema.variants())


class ProtocolError(Exception):
    """The client said something that the protocol does not allow; the text is sent to it."""


@dataclass(frozen=True, slots=True)
class Authentication:
    """What a session is opened with."""

    response: str
    dataset: str
    ts_out: bool
    compressed: bool
    heartbeat_seconds: int


@dataclass(frozen=True, slots=True)
class SubscriptionLine:
    """One line of a subscription; a long list of symbols comes in several with the same id."""

    schema: str
    stype_in: str
    symbols: tuple[str, ...]
    start_ns: int | None
    snapshot: bool
    subscription_id: int | None
    is_last: bool


class SessionStart:
    """The line that ends the text half."""


class KeyRing:
    """The API keys that are let in, found by the last five characters a client reveals.

    Raises
    ------
    ConfigurationError
        If a key does not look like one of Databento's: the real gateway would not know it either.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._by_bucket: dict[str, list[str]] = {}
        for key in keys:
            self.add(key)

    def add(self, key: str) -> None:
        """Let a key in."""
        if not key.startswith(_KEY_PREFIX) or len(key) < _SHORTEST_KEY:
            raise ConfigurationError(
                f"an API key begins with {_KEY_PREFIX!r} and has at least {_SHORTEST_KEY} "
                f"characters; one of {len(key)} was given"
            )
        self._by_bucket.setdefault(key[-_BUCKET_LENGTH:], []).append(key)

    def remove(self, key: str) -> bool:
        """Let a key in no longer; return False if it was not let in before."""
        held = self._by_bucket.get(key[-_BUCKET_LENGTH:], [])
        if key not in held:
            return False
        held.remove(key)
        return True

    def find(self, challenge: str, response: str) -> str | None:
        """Return the key with which `response` answers `challenge`, None if it is none of them."""
        digest, _, bucket = response.rpartition("-")
        for key in self._by_bucket.get(bucket, ()):
            expected = hashlib.sha256(f"{challenge}|{key}".encode()).hexdigest()
            if hmac.compare_digest(expected.encode(), digest.lower().encode()):
                return key
        return None


def new_challenge() -> str:
    """Return 32 random letters and digits."""
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(_CHALLENGE_LENGTH))


def greeting(challenge: str) -> bytes:
    """Return the two lines every connection begins with."""
    return f"lsg_version={GATEWAY_VERSION}\ncram={challenge}\n".encode()


def accepted(session_id: int | str) -> bytes:
    """Return the answer to a good key."""
    return f"success=1|session_id={session_id}\n".encode()


def refused(reason: str) -> bytes:
    """Return the answer after which the connection is closed."""
    clean = reason.replace("|", "/").replace("\n", " ")
    return f"success=0|error={clean}\n".encode()


def parse_authentication(line: bytes) -> Authentication:
    """Return what the client's first line asks for.

    Raises
    ------
    ProtocolError
        If it is no authentication request, or asks for what no gateway offers.
    """
    fields = _fields(line, _AUTHENTICATION_KEYS)
    if "auth" not in fields or "dataset" not in fields:
        raise ProtocolError(AUTHENTICATION_FAILED)
    encoding = fields.get("encoding", "dbn")
    if encoding != "dbn":
        raise ProtocolError(f"Encoding '{encoding}' is not served here, use 'dbn'")
    heartbeat = _integer(fields, "heartbeat_interval_s", _DEFAULT_HEARTBEAT_SECONDS)
    if heartbeat not in _HEARTBEAT_RANGE:
        raise ProtocolError("heartbeat_interval_s must be between 5 and 1800")
    return Authentication(
        response=fields["auth"],
        dataset=fields["dataset"],
        ts_out=_flag(fields, "ts_out"),
        compressed=_one_of(fields, "compression", {"none", "zstd"}, "none") == "zstd",
        heartbeat_seconds=heartbeat,
    )


def parse_request(line: bytes) -> SubscriptionLine | SessionStart:
    """Return the subscription or session start of a later line.

    Raises
    ------
    ProtocolError
        If it is neither, or breaks a rule of subscriptions.
    """
    if line.startswith(b"start_session="):
        return SessionStart()
    fields = _fields(line, _SUBSCRIPTION_KEYS)
    symbols = tuple(symbol for symbol in fields.get("symbols", "").split(",") if symbol)
    start = _integer(fields, "start", -1)
    number = _integer(fields, "id", -1)
    request = SubscriptionLine(
        schema=_one_of(fields, "schema", SCHEMAS, None),
        stype_in=_one_of(fields, "stype_in", SYMBOLOGIES, "raw_symbol"),
        symbols=symbols,
        start_ns=start if start >= 0 else None,
        snapshot=_flag(fields, "snapshot"),
        subscription_id=number if number >= 0 else None,
        is_last="is_last" not in fields or _flag(fields, "is_last"),
    )
    _check_subscription(request)
    return request


def _check_subscription(request: SubscriptionLine) -> None:
    if not request.symbols:
        raise ProtocolError("A subscription needs symbols")
    if len(request.symbols) > SYMBOLS_PER_LINE:
        raise ProtocolError(f"More than {SYMBOLS_PER_LINE} symbols in one subscription request")
    if request.snapshot and request.start_ns is not None:
        raise ProtocolError("A subscription may ask for a snapshot or a start, not for both")
    if request.snapshot and request.schema != "mbo":
        raise ProtocolError("Snapshots are available for the mbo schema only")


def _fields(line: bytes, known: frozenset[str]) -> dict[str, str]:
    try:
        text = line.decode("ascii").strip()
    except UnicodeDecodeError:
        raise ProtocolError("Control messages are ASCII text") from None
    fields = {}
    for token in text.split("|"):
        key, equals, value = token.partition("=")
        if not equals or key not in known:
            raise ProtocolError(f"Unknown subscription param '{key[:40]}'")
        fields[key] = value
    return fields


def _one_of(fields: dict[str, str], key: str, allowed: Iterable[str], default: str | None) -> str:
    value = fields.get(key, default)
    if value is None or value not in allowed:
        raise ProtocolError(f"Invalid value '{value or ''}' for '{key}'")
    return value


def _flag(fields: dict[str, str], key: str) -> bool:
    return _one_of(fields, key, {"0", "1"}, "0") == "1"


def _integer(fields: dict[str, str], key: str, default: int) -> int:
    value = fields.get(key, "")
    if not value:
        return default
    if not value.isdecimal():
        raise ProtocolError(f"Invalid value '{value[:40]}' for '{key}'")
    return int(value)
