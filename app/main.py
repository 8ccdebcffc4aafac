"""The gateway as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.package import PackageError
from adapters.registry import RegistryError, UnknownAlias, UnknownVersion
from adapters.store import StoreError
from app.api import adapters, audit, chat, feedback, health, keys, models, releases
from app.api.envelope import Envelope
from app.config import Settings
from app.errors import ApiError, bad_request, unavailable
from app.gateway import open_gateway
from app.record.metrics import Metrics
from app.state.connection import StateUnavailable

TITLE = "Atelier"


class Application(FastAPI):
    """FastAPI, except for the hot routes: those pass its layers and its router, which do nothing for them and
    cost a tenth of a request."""

    hot: Mapping[str, tuple[Route, ASGIApp]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection of any type."""
        known = self.hot.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if known is None:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        scope["route"], enveloped = known
        await enveloped(scope, receive, send)


def create_app(settings: Settings) -> FastAPI:
    """The application; its gateway is opened when the server starts and closed when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_gateway(settings, metrics) as gateway:
            app.state.gateway = gateway
            yield

    metrics = Metrics()
    app = Application(title=TITLE, version="1", lifespan=lifespan, docs_url="/docs", redoc_url=None)
    for resource in (models, adapters, releases, feedback, keys, audit, health):
        app.include_router(resource.router)
    _translate_errors(app)
    # The parts beside the weights are capped one by one.
    max_upload = settings.max_adapter_bytes + settings.max_body_bytes
    enveloped = partial(Envelope, metrics=metrics, max_body=settings.max_body_bytes, max_upload=max_upload)
    app.add_middleware(enveloped)
    # Also with the router, so that other methods get their 405.
    hot = chat.hot_routes()
    app.router.routes[:0] = hot
    app.hot = {route.path: (route, enveloped(route.endpoint)) for route in hot}
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=TITLE, version=app.version, routes=app.routes)
        chat.describe(document)
        app.openapi_schema = document
    return app.openapi_schema


def _translate_errors(app: FastAPI) -> None:
    """Every error a route may raise, as the OpenAI error body with the right status."""

    async def translated(request: Request, error: Exception) -> Response:
        return translate(error).response()

    for kind in (ApiError, RequestValidationError, HTTPException, RegistryError, PackageError, StoreError,
                 StateUnavailable, RedisError):  # fmt: skip
        app.add_exception_handler(kind, translated)


def translate(error: Exception) -> ApiError:
    """The client's view of an exception."""
    match error:
        case ApiError():
            return error
        case RequestValidationError():
            return _validation(error.errors())
        case HTTPException(__cause__=ApiError() as cause):
            # FastAPI takes any error while it reads a body for a wrong body: also our own "too large".
            return cause
        case HTTPException():
            return ApiError(error.status_code, "http_error", f"{error.detail}.")
        case UnknownVersion() | UnknownAlias():
            return ApiError(404, "adapter_not_found", f"{error}.")
        case RegistryError():
            return ApiError(409, "adapter_conflict", f"{error}.")
        case PackageError():
            return bad_request(f"{error}.")
        case StoreError():
            return unavailable("store_failed", f"{error}.", retry_after=5)
        case _:
            return unavailable("state_down", "The state server is away; nothing was changed. Try again.")


def _validation(errors: Any) -> ApiError:
    first: Mapping[str, Any] = errors[0]
    param = ".".join(str(part) for part in first["loc"][1:]) or None
    return bad_request(f"`{param}`: {first['msg']}." if param else f"{first['msg']}.", param=param)
