"""The way of one request: authorise → limits → input rails → route → generate → output rails → record."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import orjson
from starlette.types import Receive, Send

from adapters.leases import Leases, VersionGone
from app.chat.assistants import Assistant
from app.chat.client_watch import ClientGone, ClientWatch
from app.chat.events import DONE, EngineFailed, StreamRewriter, event, only_checked
from app.chat.exchange import Exchange, audit_event, measure
from app.chat.fixed_answer import fixed_answer, fixed_chunk
from app.chat.generate import Attempt, answer_tokens, ask, engine_body
from app.chat.guarded import ChoiceGuard
from app.chat.rails import InputResult, OutputRail, Rails, Turn
from app.chat.relay import relay
from app.chat.request import (
    ChatCompletionRequest,
    CompletionRequest,
    SamplingRequest,
    check,
    parse_json,
    prompt_count,
    token_estimate,
)
from app.chat.route import Router
from app.engine.pool import EnginePool
from app.errors import GATEWAY_STOPPING, ApiError, bad_request, unavailable
from app.identity.guard import Guard
from app.identity.limits import Limiter, LimitExceeded
from app.record.audit import AuditLog
from app.record.metrics import Metrics

log = logging.getLogger("atelier.chat")

_EVENT_STREAM = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
# Who has more does not notice a slot that is free a few microseconds after the answer.
FEW_SLOTS = 64
STREAM_BROKEN = "The engine stopped before the answer was complete. Send the request again."


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of the two OpenAI resources."""

    path: str
    action: str
    schema: type[SamplingRequest]


CHAT = Endpoint("/v1/chat/completions", "chat.completion", ChatCompletionRequest)
COMPLETION = Endpoint("/v1/completions", "completion", CompletionRequest)


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """What an operator may tune. Times in seconds."""

    max_choices: int
    default_max_tokens: int
    engine_timeout: float
    audit_text: bool
    digest_key: bytes


class Turns:
    """Answers chat and completion requests; holds the parts one request passes through."""

    def __init__(
        self,
        *,
        guard: Guard,
        limiter: Limiter,
        router: Router,
        rails: Rails,
        pool: EnginePool,
        leases: Leases,
        audit: AuditLog,
        metrics: Metrics,
        settings: TurnSettings,
    ) -> None:
        self._guard = guard
        self._limiter = limiter
        self._router = router
        self._rails = rails
        self._pool = pool
        self._leases = leases
        self._audit = audit
        self._metrics = metrics
        self._settings = settings

    async def answer(
        self,
        endpoint: Endpoint,
        exchange: Exchange,
        authorization: str,
        raw: bytes,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer one request over `send`. Raises ApiError as long as nothing was sent."""
        with self._metrics.inflight.track_inprogress():
            try:
                body = await self._admit(endpoint, exchange, authorization, raw)
                result = await self._rails.check_input(_turn(exchange, body))
                exchange.checked(result)
                if result.answer is not None:
                    await self._send_fixed(endpoint, exchange, body, result.answer, send)
                else:
                    await self._generate(endpoint, exchange, result, receive, send)
            except ApiError as error:
                self._close(exchange, error.status, error.code)
                error.shown_headers = exchange.headers()
                raise
            except ClientGone:
                self._close(exchange, 499, "client_gone")
            finally:
                # Whatever went wrong, the request's slot and its record are not lost.
                self._close(exchange, 500, "internal_error")

    async def _admit(
        self, endpoint: Endpoint, exchange: Exchange, authorization: str, raw: bytes
    ) -> dict[str, Any]:
        """Key, body, route, limits. Sets them on `exchange`; returns the parsed body."""
        exchange.key = key = await self._guard.authorise(authorization, "chat")
        if not self._audit.accepting:
            raise unavailable(
                "audit_full", "Requests cannot be recorded now, so none are answered.", retry_after=10
            )
        body = parse_json(raw)
        check(body, endpoint.schema, max_choices=self._settings.max_choices)
        exchange.model = body["model"]
        exchange.route = await self._router.resolve(exchange.model, key)
        exchange.text = _keyed_digest(self._settings.digest_key, raw)
        if self._settings.audit_text:
            exchange.asked_text = orjson.dumps(body.get("messages", body.get("prompt"))).decode()
        try:
            assistant = exchange.route.assistant
            longest = answer_tokens(body, assistant, self._settings.default_max_tokens)
            estimate = token_estimate(body, longest, assistant.system_prompt if assistant else "")
            exchange.admission = await self._limiter.admit(key, exchange.request_id, estimate)
        except LimitExceeded as error:
            self._metrics.limited.labels(error.which).inc()
            if error.retry_after_seconds is None:
                # Clients repeat a 429 by themselves; this request would be refused again and again.
                raise bad_request(str(error), param="max_tokens", code="over_token_limit") from None
            raise ApiError(
                429, "rate_limit_exceeded", str(error), retry_after=error.retry_after_seconds
            ) from None
        self._metrics.admission.observe(perf_counter() - exchange.started)
        return body

    async def _generate(
        self, endpoint: Endpoint, exchange: Exchange, result: InputResult, receive: Receive, send: Send
    ) -> None:
        for attempts_left in (2, 1, 0):
            try:
                await self._held(endpoint, exchange, result, receive, send)
                return
            except VersionGone as gone:
                # The alias moved on and its old target began to drain after the model was resolved:
                # nothing was sent yet, so resolve again.
                if not attempts_left:
                    raise unavailable("adapter_gone", str(gone)) from None
                assert exchange.key is not None
                exchange.route = await self._router.resolve(exchange.model, exchange.key)

    async def _held(
        self, endpoint: Endpoint, exchange: Exchange, result: InputResult, receive: Receive, send: Send
    ) -> None:
        """Generate while holding the version's lease, so that nobody removes it before the answer's end."""
        body, rail = result.body, result.open_output()
        route = exchange.route
        assert route is not None
        prepared = engine_body(body, route, default_max_tokens=self._settings.default_max_tokens)
        payload = orjson.dumps(prepared)
        held = self._leases.hold(route.version) if route.version else nullcontext()
        patience = self._settings.engine_timeout
        with (
            held,
            ClientWatch(receive) as client,
            await ask(self._pool, endpoint.path, payload, route.version, self._metrics, patience) as attempt,
        ):
            exchange.engine = attempt.engine.id
            if body.get("stream"):
                await self._stream(exchange, body, rail, attempt, client, send)
            else:
                await self._whole(exchange, rail, attempt, send)

    async def _whole(self, exchange: Exchange, rail: OutputRail | None, attempt: Attempt, send: Send) -> None:
        try:
            answer: dict[str, Any] = orjson.loads(await attempt.whole())
        except (OSError, orjson.JSONDecodeError) as error:
            self._pool.mark_down(attempt.engine, repr(error))
            raise ApiError(502, "engine_failed", STREAM_BROKEN, retry_after=1) from None
        answer["model"] = exchange.model
        exchange.usage = answer.get("usage")
        if rail is not None:
            only_checked(answer)
            # A whole answer is checked in one go, which may take longer than the other requests should wait.
            for text in await asyncio.to_thread(_guarded, answer, rail):
                exchange.on_text(text)
            exchange.guarded(rail)
        else:
            for choice in answer.get("choices", ()):
                if text := choice["message"].get("content") if "message" in choice else choice.get("text"):
                    exchange.on_text(text)
        answer["atelier"] = exchange.atelier()
        self._close(exchange, 200, "")
        await _send_json(exchange, answer, send)

    async def _stream(
        self,
        exchange: Exchange,
        body: Mapping[str, Any],
        rail: OutputRail | None,
        attempt: Attempt,
        client: ClientWatch,
        send: Send,
    ) -> None:
        rewriter = StreamRewriter(
            model=exchange.model,
            include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
            rail=rail,
            on_text=exchange.on_text,
        )
        await send(_start(exchange, _EVENT_STREAM))
        try:
            await relay(attempt, rewriter, send, threaded=rail is not None and rail.waits)
        except (OSError, EngineFailed, EOFError, orjson.JSONDecodeError) as error:
            if not isinstance(error, EngineFailed):
                self._pool.mark_down(attempt.engine, repr(error))
            self._metrics.engine_errors.labels(attempt.engine.id).inc()
            exchange.guarded(rail)
            await self._break_off(exchange, rewriter, ApiError(502, "engine_failed", STREAM_BROKEN), send)
            return
        except asyncio.CancelledError:
            exchange.guarded(rail)
            if not client.gone:
                stopping = ApiError(503, "shutting_down", GATEWAY_STOPPING)
                await self._break_off(exchange, rewriter, stopping, send)
            raise
        exchange.usage = rewriter.usage
        exchange.guarded(rail)
        self._close(exchange, 200, "")
        await send({"type": "http.response.body", "body": rewriter.close(exchange.atelier())})

    async def _break_off(
        self, exchange: Exchange, rewriter: StreamRewriter, error: ApiError, send: Send
    ) -> None:
        """End a stream that cannot be completed: an error event, so that no client takes it for whole."""
        exchange.usage = rewriter.usage
        self._close(exchange, error.status, error.code)
        await send({"type": "http.response.body", "body": event(error.body()) + DONE})

    async def _send_fixed(
        self, endpoint: Endpoint, exchange: Exchange, body: Mapping[str, Any], text: str, send: Send
    ) -> None:
        """Answer with a text of the rails, in the form the client asked for."""
        exchange.on_text(text)
        exchange.usage = {}
        chat, choices = endpoint is CHAT, int(body.get("n") or 1) * prompt_count(body)
        self._close(exchange, 200, "")
        if not body.get("stream"):
            await _send_json(exchange, fixed_answer(exchange, text, chat=chat, choices=choices), send)
            return
        await send(_start(exchange, _EVENT_STREAM))
        chunk = fixed_chunk(exchange, text, chat=chat, choices=choices)
        await send({"type": "http.response.body", "body": event(chunk) + DONE})

    def _close(self, exchange: Exchange, status: int, code: str) -> None:
        """Release the request's slot and write it down; before its last byte, so that both can be relied on."""
        if exchange.closed:
            return
        exchange.closed = True
        outcome = "ok" if status == 200 else code
        self._settle(exchange, code)
        # Counting need not hold up the answer: it follows in this turn of the loop, before any other request.
        asyncio.get_running_loop().call_soon(measure, exchange, self._metrics, status, code)
        if exchange.key is not None:
            # Last: a full spool raises, and then the slot must be free already.
            self._audit.record(audit_event(exchange, outcome))

    def _settle(self, exchange: Exchange, code: str) -> None:
        """Give the request's hold on its key's limits back."""
        admission, key = exchange.admission, exchange.key
        if admission is None or key is None or not admission.lease:
            return
        # Who leaves before the engine has counted keeps what was reserved: leaving must not be the way
        # around a token limit.
        unknown = code == "client_gone" and exchange.usage is None
        used = admission.reserved if unknown else sum(exchange.tokens)
        if (key.limits.concurrency or 0) > FEW_SLOTS:
            # The state server's work need not hold up the answer, which is sent in this turn of the loop.
            asyncio.get_running_loop().call_soon(self._limiter.release, admission, used)
        else:
            # It is there before any request the client may send after its answer, through whichever gateway.
            self._limiter.release(admission, used)


def _assistant(exchange: Exchange) -> Assistant | None:
    return exchange.route.assistant if exchange.route else None


def _turn(exchange: Exchange, body: Mapping[str, Any]) -> Turn:
    return Turn(
        exchange.request_id, _assistant(exchange), body, exchange.key.id if exchange.key is not None else ""
    )


def _guarded(answer: dict[str, Any], rail: OutputRail) -> list[str]:
    """Pass every choice through the rail, in place; the texts that leave."""
    guard = ChoiceGuard(rail)
    return [text for choice in answer.get("choices", ()) if (text := guard.whole(choice))]


def _keyed_digest(key: bytes, prompt: bytes) -> hashlib.blake2b:
    """Digest of prompt and answer under a secret of this installation: short texts cannot be guessed from it."""
    return hashlib.blake2b(prompt, key=key, digest_size=32)


def _start(exchange: Exchange, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    own = [(name.encode(), value.encode()) for name, value in exchange.headers().items()]
    return {"type": "http.response.start", "status": 200, "headers": headers + own}


async def _send_json(exchange: Exchange, answer: Mapping[str, Any], send: Send) -> None:
    raw = orjson.dumps(answer)
    length = (b"content-length", str(len(raw)).encode())
    await send(_start(exchange, [(b"content-type", b"application/json"), length]))
    await send({"type": "http.response.body", "body": raw})
