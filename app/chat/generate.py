"""Asking an engine: which one, what to send, and trying another one as long as the client has seen nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import orjson

from app.chat.assistants import Assistant
from app.chat.events import EventSplitter
from app.chat.route import Route
from app.engine.pool import Engine, EnginePool, NoEngine, no_engine_error
from app.engine.wire import ConnectionStale, Line
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
    """A request given to an engine. Leave it as a context: that counts it off, and makes an engine that has
    not finished stop generating."""

    __slots__ = ("_line", "complete", "engine", "first", "status")

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.status = 0
        self.first = b""
        # Set by who reads a stream: its end mark has come.
        self.complete = False
        self._line: Line | None = None
        engine.inflight += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Give everything back, once."""
        self.engine.inflight -= 1
        if self._line is not None:
            self._line.end(complete=self.complete)

    async def begin(self, path: str, payload: bytes, silence: float) -> None:
        """Ask, and read as far as the first bytes of the answer. Raises OSError, EOFError for an empty one."""
        self._line = line = await self.engine.wire.post(path, payload, silence)
        self.status = await line.head()
        self.first = await line.read()
        if not self.first and self.status < 400:
            raise EOFError("empty answer")

    async def read(self) -> bytes:
        """What has come since; nothing at the end. Raises OSError."""
        return await self._line.read() if self._line is not None else b""

    def hold(self) -> None:
        """Let what comes gather until the next `read`."""
        if self._line is not None:
            self._line.hold()

    async def whole(self) -> bytes:
        """The whole body. Raises OSError."""
        parts = [self.first]
        while part := await self.read():
            parts.append(part)
        return b"".join(parts) if len(parts) > 1 else parts[0]


async def ask(
    pool: EnginePool, path: str, payload: bytes, version: str | None, metrics: Metrics, timeout: float
) -> Attempt:
    """Ask engines in turn until one answers with a good status and some bytes.

    Once it has returned the client may have seen something, so a later failure is the caller's to report.
    Raises ApiError: the engine's 4xx as it is, 503 when no engine serves the version, 502 when all failed.
    """
    tried: frozenset[str] = frozenset()
    once_more: frozenset[str] = frozenset()
    failure: ApiError | None = None
    for _ in range(_MAX_ATTEMPTS):
        try:
            engine = await pool.pick(version, tried)
        except NoEngine as error:
            raise ((failure or _not_answered()) if tried else no_engine_error(error)) from None
        tried |= {engine.id}
        attempt = Attempt(engine)
        good = False
        try:
            await attempt.begin(path, payload, timeout)
            refusal, elsewhere = await _refused(attempt)
            if refusal is None:
                good = True
                return attempt
            if not elsewhere:
                raise refusal
            failure = refusal
            metrics.engine_errors.labels(engine.id).inc()
            metrics.retries.labels(engine.id).inc()
        except ConnectionStale as error:
            if engine.id in once_more:
                _failed(pool, engine, metrics, error)
            else:
                once_more |= {engine.id}
                tried -= {engine.id}
        except (OSError, EOFError) as error:
            _failed(pool, engine, metrics, error)
        finally:
            if not good:
                attempt.end()
    raise failure or _not_answered()


def _not_answered() -> ApiError:
    return ApiError(502, "engine_failed", "The engine failed before it answered. Try again.", retry_after=1)


def _failed(pool: EnginePool, engine: Engine, metrics: Metrics, error: Exception) -> None:
    metrics.engine_errors.labels(engine.id).inc()
    metrics.retries.labels(engine.id).inc()
    if not isinstance(error, TimeoutError):
        pool.mark_down(engine, repr(error))
    log.warning("engine call failed", extra={"engine": engine.id, "error": repr(error)})


async def _refused(attempt: Attempt) -> tuple[ApiError | None, bool]:
    """The engine's error as ours, if it is one, and whether another engine may do better."""
    if attempt.status < 400:
        return (
            _streamed_refusal(attempt.first) if attempt.first.startswith(_STREAMED_ERROR) else (None, False)
        )
    try:
        error = orjson.loads(await attempt.whole())["error"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        error = None
    return _as_ours(attempt.status, error), attempt.status in _ELSEWHERE


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
