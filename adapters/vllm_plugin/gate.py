"""The engine's door: what is not on the list is answered here, before vLLM sees it."""

import hashlib
import hmac
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = frozenset(
    {
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/tokenize"),
        ("GET", "/health"),
        ("GET", "/metrics"),
        ("GET", "/v1/models"),
        ("GET", "/atelier/base"),
        ("GET", "/atelier/residency"),
        ("POST", "/atelier/adapters"),
    }
)
ADAPTER = re.compile(r"/atelier/adapters/[a-z0-9][a-z0-9_-]{0,62}@[0-9a-f]{12}", re.ASCII)
WITHOUT_TOKEN = "/health"
REFUSALS = {
    401: "this engine needs the header `Authorization: Bearer <token>` with the token it was started with",
    404: "no such path here: this engine is reached through the gateway only",
}


class Gate:
    """Pure ASGI, so an open stream passes through untouched: no wrapper around `send`, no task, no copy.

    Lets in exactly the method and path pairs of `OPEN` and `DELETE /atelier/adapters/{version}`; with a
    token, all but `/health` also need it as bearer token. Others get 401 or 404; WebSockets are closed.
    """

    def __init__(self, app: App, token: str | None = None) -> None:
        """`token` None or empty: no token is asked for."""
        self.app = app
        self._expected = hashlib.sha256(f"Bearer {token}".encode()).digest() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind == "http":
            status = self._refusal(scope)
            if status:
                await _refuse(send, status)
            else:
                await self.app(scope, receive, send)
        elif kind == "lifespan":
            await self.app(scope, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        # No other kind of connection is known; not answering it keeps it closed.

    def _refusal(self, scope: Scope) -> int:
        """The status to refuse with, 0 to let in."""
        method, path = scope["method"], scope["path"]
        if self._expected is not None and path != WITHOUT_TOKEN and not self._knows_token(scope):
            return 401
        if (method, path) in OPEN or (method == "DELETE" and ADAPTER.fullmatch(path)):
            return 0
        return 404

    def _knows_token(self, scope: Scope) -> bool:
        # Exactly one header: with two, a proxy in front might have judged the other one.
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1 or self._expected is None:
            return False
        # Digests of equal length, so that the time tells nothing of the token's length either.
        return hmac.compare_digest(hashlib.sha256(given[0]).digest(), self._expected)


async def _refuse(send: Send, status: int) -> None:
    error = {"message": REFUSALS[status], "type": "invalid_request_error", "code": status}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
