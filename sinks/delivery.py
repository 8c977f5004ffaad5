"""What became of a message: a verdict for each move that is safe, read from Slack's answers.

An answer is read with suspicion: an error that Slack documents as possibly half done, a gateway's
timeout and a connection that closed are all "perhaps delivered", never "send it again".
"""

from __future__ import annotations

import dataclasses
import enum
import errno
import re
import socket
import ssl
from typing import Any, Final
from urllib.error import URLError

from slack_sdk.errors import SlackApiError, SlackClientError

DEFAULT_RETRY_AFTER_SECONDS: Final = 30.0
MISCONFIGURED_ERRORS: Final = frozenset(
    (
        *("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"),
        *("no_permission", "missing_scope", "not_allowed_token_type", "org_login_required"),
        *("ekm_access_denied", "access_denied", "team_access_not_granted", "restricted_action"),
        *("not_in_channel", "channel_not_found", "is_archived", "channel_is_archived"),
        *("invalid_token", "no_service", "no_active_hooks", "no_team", "team_disabled"),
        *("action_prohibited", "posting_to_general_channel_denied"),
    )
)
"""Errors a person must mend; then every message that waits can still go."""
TRY_AGAIN_ERRORS: Final = frozenset(
    ("service_unavailable", "request_timeout", "team_added_to_org", "accesslimited")
)
UNCERTAIN_ERRORS: Final = frozenset(("fatal_error", "internal_error"))
"""Slack documents that some part of the operation may have succeeded."""
NOT_SENT_ERRNOS: Final = frozenset(
    (errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTDOWN)
)


class Verdict(enum.Enum):
    """What is known after an attempt."""

    DELIVERED = "delivered"
    ABSENT = "looked for and not there"
    LIMITED = "refused for now: too many messages"
    UNREACHABLE = "not sent: nobody was reached"
    MISCONFIGURED = "refused: token, channel or permission"
    NOT_DELIVERED = "not delivered, another attempt may succeed"
    UNCERTAIN = "perhaps delivered"
    REFUSED = "refused for good"


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """The outcome of an attempt or a look-up; `message_ts` is Slack's name of the message."""

    verdict: Verdict
    reason: str = ""
    message_ts: str | None = None
    retry_after_seconds: float | None = None


def delivery_after(error: Exception) -> Delivery:
    """Return what is known after the client raised `error`."""
    if isinstance(error, SlackApiError):
        answer = error.response
        return delivery_from(
            int(answer.status_code), str(answer.get("error", "")), dict(answer.headers or {})
        )
    if isinstance(error, SlackClientError):
        return Delivery(Verdict.MISCONFIGURED, str(error))
    if isinstance(error, URLError) and _never_connected(error.reason):
        return Delivery(Verdict.UNREACHABLE, f"Slack was not reached: {error.reason}")
    return Delivery(Verdict.UNCERTAIN, f"no answer: {error or type(error).__name__}")


def _never_connected(reason: str | BaseException) -> bool:
    if isinstance(reason, socket.gaierror | ssl.SSLCertVerificationError):
        return True
    return isinstance(reason, OSError) and reason.errno in NOT_SENT_ERRNOS


def delivery_from(status: int, error: str, headers: dict[str, Any]) -> Delivery:
    """Return what an answer says that is not a success.

    Parameters
    ----------
    status : int
        HTTP status.
    error : str
        Slack's error code: the field `error` of the Web API, the whole body of a webhook.
    headers : dict
        Of the answer; values are strings or lists of them.
    """
    # Any: header values are strings, or lists of them, by client.
    if status == 429 or error in ("ratelimited", "rate_limited"):
        wait = _retry_after(headers)
        return Delivery(Verdict.LIMITED, f"rate limit, wait {wait:g} s", retry_after_seconds=wait)
    named = re.fullmatch(r"[a-z0-9_]{3,60}", error) is not None
    reason = f"Slack answered {error}" if named else f"Slack answered {status}"
    if error in MISCONFIGURED_ERRORS or status in (401, 403, 404, 410):
        return Delivery(Verdict.MISCONFIGURED, reason)
    if error in TRY_AGAIN_ERRORS:
        return Delivery(Verdict.NOT_DELIVERED, reason)
    if status >= 500 or error in UNCERTAIN_ERRORS or (status == 200 and not named):
        return Delivery(Verdict.UNCERTAIN, reason)
    return Delivery(Verdict.REFUSED, reason)


def _retry_after(headers: dict[str, Any]) -> float:
    values = {name.lower(): value for name, value in headers.items()}
    value = values.get("retry-after")
    text = str(value[0] if isinstance(value, list) and value else value)
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else DEFAULT_RETRY_AFTER_SECONDS
