"""`POST /v1/chat/completions` and `POST /v1/completions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pydantic.json_schema import models_json_schema
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.chat.exchange import Exchange
from app.chat.request import ChatCompletionRequest, CompletionRequest
from app.chat.turn import CHAT, COMPLETION, Endpoint

if TYPE_CHECKING:
    from app.gateway import Gateway

_REF = "#/components/schemas/{model}"


class CompletionsApp:
    """One of the two resources as a bare ASGI application.

    These are the two hot routes: FastAPI's parsing and dependency solving would cost more than all of
    Atelier's own work, and its response classes copy every streamed chunk once more.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises ApiError as long as nothing was sent."""
        exchange = Exchange(scope["atelier_request_id"], self._endpoint.action)
        raw = await _body(receive)
        if raw is None:
            return
        turns = cast("Gateway", scope["app"].state.gateway).turns
        await turns.answer(self._endpoint, exchange, _authorization(scope), raw, receive, send)


async def _body(receive: Receive) -> bytes | None:
    """The request's body; None when the client left before its end."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        whole: bytes = message.get("body", b"")
        return whole
    parts = []
    while message["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    return None


def _authorization(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            header: str = value.decode("latin-1")
            return header
    return ""


def hot_routes() -> list[Route]:
    """The two resources as routes whose endpoint is an ASGI application."""
    return [
        Route(endpoint.path, CompletionsApp(endpoint), methods=["POST"]) for endpoint in (CHAT, COMPLETION)
    ]


def describe(document: dict[str, Any]) -> None:
    """Add the two resources, which FastAPI does not see, to its OpenAPI `document`."""
    models = (ChatCompletionRequest, CompletionRequest)
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
    errors = {
        str(status): {"description": text, "content": {"application/json": {"schema": {"type": "object"}}}}
        for status, text in (
            (400, "The request is wrong"), (401, "No or unknown key"), (403, "The key may not"),
            (404, "No such model"), (413, "Body too large"), (422, "The engine refused the request"),
            (429, "Over a limit"), (502, "The engine failed"), (503, "Not available now"),
        )
    }  # fmt: skip
    for endpoint, model in zip((CHAT, COMPLETION), models, strict=True):
        ref = {"$ref": _REF.format(model=model.__name__)}
        document["paths"][endpoint.path] = {
            "post": {
                "tags": ["chat"],
                "summary": f"OpenAI-compatible {endpoint.action}",
                "operationId": endpoint.action.replace(".", "_"),
                "requestBody": {"required": True, "content": {"application/json": {"schema": ref}}},
                "responses": {
                    "200": {
                        "description": "The answer; a stream of events with `stream: true`",
                        "content": {
                            "application/json": {"schema": {"type": "object"}},
                            "text/event-stream": {"schema": {"type": "string"}},
                        },
                    },
                    **errors,
                },
                "security": [{"HTTPBearer": []}],
            }
        }
