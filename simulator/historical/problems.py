"""What the API answers when it does not answer: Databento's two shapes of an error body.

A case that a program may act on comes as `{"detail": {case, message, status_code, docs,
payload}}`, everything else as `{"detail": "text"}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import JSONResponse

_DOCS: Final = "https://databento.com/docs/api-reference-historical/basics/errors"


class ApiProblem(Exception):  # noqa: N818 - not a failure of ours: it becomes the answer
    """A request that is answered with an error.

    Without `case` the body is the plain shape. `payload` holds what a program may read.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        case: str | None = None,
        payload: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self._message = message
        self._case = case
        self._payload = payload
        self._headers = headers

    def response(self) -> JSONResponse:
        """Return the answer."""
        return JSONResponse(
            {"detail": self._detail()}, status_code=self.status, headers=self._headers
        )

    def _detail(self) -> str | dict[str, Any]:
        if self._case is None:
            return self._message
        return {
            "case": self._case,
            "message": self._message,
            "status_code": self.status,
            "docs": _DOCS,
            "payload": self._payload,
        }


def invalid(message: str) -> ApiProblem:
    """Return the answer to a parameter that does not mean anything."""
    return ApiProblem(400, message)


def not_authenticated() -> ApiProblem:
    """Return the answer to a request without a key."""
    return ApiProblem(401, "Not authenticated")


def authentication_failed() -> ApiProblem:
    """Return the answer to a key that is not known."""
    return ApiProblem(401, "Authentication failed.", case="auth_authentication_failed")


def too_many_requests(retry_after_seconds: int) -> ApiProblem:
    """Return the answer to a client that asks faster than it may."""
    return ApiProblem(
        429,
        "Exceeded rate limit.",
        case="rate_limit_exceeded",
        headers={"Retry-After": str(retry_after_seconds)},
    )


def unlicensed(after: str) -> ApiProblem:
    """Return the answer to a request for data so new that it takes a live license."""
    return ApiProblem(
        403,
        f"A live data license is required to access this dataset after {after}.",
        case="license_not_found_unauthorized",
    )


def unresolved(symbols: list[str]) -> ApiProblem:
    """Return the answer when not one of the symbols means an instrument."""
    return ApiProblem(
        422,
        "None of the symbols could be resolved.",
        case="symbology_invalid_request",
        payload={"symbols": symbols},
    )
