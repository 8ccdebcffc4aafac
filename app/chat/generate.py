"""Asking an engine: which one, what to send, and trying another one as long as the client has seen nothing."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from app.chat.assistants import Assistant
from app.chat.events import EventSplitter
from app.chat.route import Route
from app.engine.pool import Engine, EnginePool, NoEngine, no_engine_error
from app.errors import ApiError
from app.record.metrics import Metrics

log = logging.getLogger("atelier.generate")

BASE_MODEL = "base"
_MAX_ATTEMPTS = 3
# Answers that say something about this engine at this moment, not about the request.
_ELSEWHERE = frozenset({404, 500, 502, 503, 504})
_STREAMED_ERROR = b'data: {"error"'


def answer_tokens(body: Mapping[str, Any], assistant: Assistant | None, default: int) -> int:
    """The longest one answer may become: what the client asks for, else the presets; never over the ceiling."""
    preset = assistant.defaults.get("max_tokens") if assistant is not None else None
    wanted = int(body.get("max_completion_tokens") or body.get("max_tokens") or preset or default)
    return min(wanted, assistant.max_tokens or wanted) if assistant is not None else wanted


def engine_body(body: Mapping[str, Any], route: Route, *, default_max_tokens: int) -> dict[str, Any]:
    """The request for the engine: the assistant's prompt and defaults, the version as model."""
    out = dict(body)
    assistant = route.assistant
    if assistant is not None:
        for name, value in assistant.defaults.items():
            out.setdefault(name, value)
        if assistant.system_prompt and "messages" in out:
            out["messages"] = [{"role": "system", "content": assistant.system_prompt}, *out["messages"]]
    out["max_tokens"] = answer_tokens(body, assistant, default_max_tokens)
    out.pop("max_completion_tokens", None)
    out["model"] = route.version or BASE_MODEL
    if out.get("stream"):
        # Tokens are counted whether the client wants to see them or not.
        out["stream_options"] = (out.get("stream_options") or {}) | {"include_usage": True}
    return out


class Attempt:
    """An engine's answer whose status is good: its body has not been read yet."""

    __slots__ = ("engine", "first", "response")

    def __init__(self, engine: Engine, response: aiohttp.ClientResponse, first: bytes) -> None:
        self.engine = engine
        self.response = response
        self.first = first


@asynccontextmanager
async def ask(
    pool: EnginePool, path: str, payload: bytes, version: str | None, metrics: Metrics, timeout: float
) -> AsyncIterator[Attempt]:
    """Ask engines in turn until one answers; the first bytes are read before this yields.

    Once it has yielded the client may have seen something, so a later failure is the caller's to report.
    Leaving the block closes the connection, which makes the engine stop generating.
    Raises ApiError: the engine's 4xx as it is, 503 when no engine serves the version, 502 when all failed.
    """
    tried: frozenset[str] = frozenset()
    once_more: frozenset[str] = frozenset()
    failure = ApiError(
        502, "engine_failed", "The engine failed before it answered. Try again.", retry_after=1
    )
    limits = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=timeout)
    for _ in range(_MAX_ATTEMPTS):
        try:
            engine = await pool.pick(version, tried)
        except NoEngine as error:
            raise (failure if tried else no_engine_error(error)) from None
        tried |= {engine.id}
        with pool.use(engine):
            try:
                response = await engine.session.post(engine.base_url + path, data=payload, timeout=limits)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if _closed(error) and engine.id not in once_more:
                    # A kept connection that the engine closed as it was used again says nothing about it.
                    once_more |= {engine.id}
                    tried -= {engine.id}
                    continue
                _failed(pool, engine, metrics, error)
                continue
            try:
                if response.status >= 400:
                    failure = await _refusal(response)
                    if response.status not in _ELSEWHERE:
                        raise failure
                    metrics.engine_errors.labels(engine.id).inc()
                    metrics.retries.labels(engine.id).inc()
                    continue
                try:
                    first = await response.content.readany()
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    _failed(pool, engine, metrics, error)
                    continue
                if not first:
                    _failed(pool, engine, metrics, EOFError("empty answer"))
                    continue
                if first.startswith(_STREAMED_ERROR):
                    failure, elsewhere = _streamed_refusal(first)
                    if not elsewhere:
                        raise failure
                    metrics.engine_errors.labels(engine.id).inc()
                    metrics.retries.labels(engine.id).inc()
                    continue
                yield Attempt(engine, response, first)
                return
            finally:
                response.close()
    raise failure


def _closed(error: Exception) -> bool:
    return isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError) and not isinstance(
        error, aiohttp.ClientConnectorError
    )


def _failed(pool: EnginePool, engine: Engine, metrics: Metrics, error: Exception) -> None:
    metrics.engine_errors.labels(engine.id).inc()
    metrics.retries.labels(engine.id).inc()
    if not isinstance(error, TimeoutError):
        pool.mark_down(engine, repr(error))
    log.warning("engine call failed", extra={"engine": engine.id, "error": repr(error)})


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    """The engine's error as ours."""
    raw = await response.read()
    try:
        error = orjson.loads(raw)["error"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        error = None
    return _as_ours(response.status, error)


def _streamed_refusal(first: bytes) -> tuple[ApiError, bool]:
    """An error told as a stream's first event, and whether another engine may do better.

    The engine looks at some fields of a streamed request only after it has answered 200; the client has seen
    nothing yet and gets the status that an unstreamed request gets.
    """
    try:
        error = orjson.loads(EventSplitter().feed(first)[0])["error"]
        status = int(error["code"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, IndexError):
        error, status = None, 500
    status = status if 400 <= status < 600 else 500
    return _as_ours(status, error), status in _ELSEWHERE


def _as_ours(status: int, error: Any) -> ApiError:
    """An engine's error for the client. A 5xx text stays inside: it may name paths or parts of the prompt."""
    if status >= 500 or status == 404:
        return ApiError(
            503 if status in {404, 503} else 502,
            "engine_failed",
            f"The engine answered {status}. Try again.",
            retry_after=1,
        )
    try:
        message, param = str(error["message"]), error.get("param")
    except (KeyError, TypeError, AttributeError):
        message, param = f"The engine refused the request ({status}).", None
    return ApiError(
        status, "invalid_request", message[:2000], param=param if isinstance(param, str) else None
    )
