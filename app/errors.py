"""Errors that reach a client, in the OpenAI form: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.responses import Response

GATEWAY_STOPPING = "The gateway is shutting down before the answer was complete. Send the request again."

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    411: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    502: "engine_error",
    503: "service_unavailable_error",
    504: "engine_error",
}


class ApiError(Exception):
    """Something the client must be told. `code` is stable and made for programs, `message` for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.details = details
        self.shown_headers: Mapping[str, str] = {}

    def body(self) -> dict[str, object]:
        """The JSON body of the error."""
        error: dict[str, object] = {
            "message": self.message,
            "type": _TYPES.get(self.status, "server_error"),
            "param": self.param,
            "code": self.code,
        }
        if self.details:
            error.update(self.details)
        return {"error": error}

    def headers(self) -> dict[str, str]:
        """What the route adds, and `Retry-After` in whole seconds where there is something to wait for."""
        if self.retry_after is None:
            return dict(self.shown_headers)
        return {**self.shown_headers, "retry-after": str(max(1, int(self.retry_after + 0.999)))}

    def response(self) -> Response:
        """The error as an HTTP response."""
        return Response(
            orjson.dumps(self.body()), self.status, headers=self.headers(), media_type="application/json"
        )


def bad_request(message: str, *, param: str | None = None, code: str = "invalid_request") -> ApiError:
    """A request that can never succeed as it is."""
    return ApiError(400, code, message, param=param)


def unavailable(code: str, message: str, *, retry_after: float = 2.0) -> ApiError:
    """A request that may succeed later."""
    return ApiError(503, code, message, retry_after=retry_after)
