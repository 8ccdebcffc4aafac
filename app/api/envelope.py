"""The outermost layer of every HTTP request: its id, its size limit, its errors in OpenAI form, its log line."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from itertools import count
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import GATEWAY_STOPPING, ApiError, unavailable
from app.record.logs import request_id
from app.record.metrics import OTHER, Metrics

log = logging.getLogger("atelier.http")

MAX_URL_BYTES = 8 * 1024


class BodyTooLarge(ApiError):
    """The body passed the route's limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            413, "body_too_large", f"The body is larger than {limit:,} bytes, the limit of this route."
        )


class Envelope:
    """A plain ASGI middleware, so that streamed answers pass through it without being copied."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        max_body: int,
        max_upload: int,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._max_body = max_body
        self._max_upload = max_upload
        self._ids = _identities()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; every other scope type passes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = next(self._ids)
        scope["atelier_request_id"] = identity
        token = request_id.set(identity)
        reply = _Reply(send, identity)
        started = perf_counter()
        try:
            await self._app(scope, self._limited(scope, receive), reply)
        except ApiError as error:
            await reply.fail(error, scope, receive)
        except asyncio.CancelledError:
            # The drain time is over. A client that waits for a whole answer gets told, not just cut off.
            if not reply.status:
                await reply.fail(unavailable("shutting_down", GATEWAY_STOPPING), scope, receive)
            raise
        except Exception:
            log.exception("unexpected error")
            problem = ApiError(
                500, "internal_error", f"Something went wrong here. Report request id {identity}."
            )
            await reply.fail(problem, scope, receive)
        finally:
            route = getattr(scope.get("route"), "path", OTHER)
            self._note(scope["method"], route, reply.status, perf_counter() - started)
            request_id.reset(token)

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        upload = scope["method"] == "POST" and scope["path"].rstrip("/") == "/v1/adapters"
        limit = self._max_upload if upload else self._max_body
        if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_URL_BYTES:
            raise ApiError(414, "url_too_long", f"The URL is longer than {MAX_URL_BYTES} bytes.")
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > limit:
                raise BodyTooLarge(limit)
        taken = 0

        async def counted() -> Message:
            # A chunked body has no length to refuse beforehand.
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > limit:
                    raise BodyTooLarge(limit)
            return message

        return counted

    def _note(self, method: str, route: str, status: int, seconds: float) -> None:
        if not route.endswith("completions"):
            self._metrics.control.labels(route, str(status)).inc()
        log.info(
            "request",
            extra={
                "method": method,
                "route": route,
                "status": status,
                "ms": round(seconds * 1000, 2),
            },
        )


def _identities() -> Iterator[str]:
    """Names of requests, 32 hex digits: of this process for the first half, of the request for the second.

    They need not be hard to guess, only different everywhere; so the system is asked for chance once.
    """
    process, first = os.urandom(8).hex(), int.from_bytes(os.urandom(6))
    return (f"{process}{number:016x}" for number in count(first))


class _Reply:
    """Sends messages on, adds the request id, remembers whether the answer has begun."""

    __slots__ = ("_identity", "_send", "status")

    def __init__(self, send: Send, identity: str) -> None:
        self._send = send
        self._identity = (b"x-request-id", identity.encode())
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.setdefault("headers", [])
            if not any(name == b"x-request-id" for name, _ in headers):
                message["headers"] = [*headers, self._identity]
        await self._send(message)

    async def fail(self, error: ApiError, scope: Scope, receive: Receive) -> None:
        """Answer with `error`, unless an answer has begun: then the connection is all that can be ended."""
        if self.status:
            log.error("failed after the answer had begun", extra={"code": error.code})
            raise error
        await error.response()(scope, receive, self)
